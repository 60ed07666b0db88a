package fcemu

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"routinely/deploy/local/mnsclient"
)

// cloudEvent is a queue message as EventBridge passes it on. Functions should rely on id, type and data only: documented samples
// differ in the rest. (fc-runtime-go-sdk v0.3.1, events/README_MNS_Queue.md.)
type cloudEvent struct {
	ID                string   `json:"id"`
	Source            string   `json:"source"`
	SpecVersion       string   `json:"specversion"`
	Type              string   `json:"type"`
	DataContentType   string   `json:"datacontenttype"`
	Subject           string   `json:"subject"`
	Time              string   `json:"time"`
	AccountID         string   `json:"aliyunaccountid"`
	PublishTime       string   `json:"aliyunpublishtime"`
	OriginalAccountID string   `json:"aliyunoriginalaccountid"`
	EventBusName      string   `json:"aliyuneventbusname"`
	RegionID          string   `json:"aliyunregionid"`
	PublishAddr       string   `json:"aliyunpublishaddr"`
	Data              rawEvent `json:"data"`
}

// rawEvent is the data of a cloudEvent, and the whole of it in the schema RawData.
type rawEvent struct {
	RequestID   string `json:"requestId"`
	MessageID   string `json:"messageId"`
	MessageBody string `json:"messageBody"`
}

// encode turns received messages into the event that the function gets: one object for event-driven, an array otherwise.
func (t *trigger) encode(messages []mnsclient.Message) ([]byte, error) {
	elements := make([]any, 0, len(messages))
	for _, m := range messages {
		element, err := t.element(m)
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
	}
	if t.config.Mode == EventDriven {
		return compact(elements[0])
	}
	return compact(elements)
}

func (t *trigger) element(m mnsclient.Message) (any, error) {
	data := rawEvent{RequestID: m.RequestID, MessageID: m.ID, MessageBody: t.body(m.Body)}
	if t.config.Shape == RawData {
		return data, nil
	}
	config := t.server.config
	now := t.server.clock.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	source := "MNS-Function-" + t.config.Name
	event := cloudEvent{
		ID: newUUID(), Source: source, SpecVersion: "1.0", Type: "mns:Queue:SendMessage",
		DataContentType: "application/json; charset=utf-8",
		Subject:         fmt.Sprintf("acs:mns:%s:%s:queues/%s", config.Region, config.AccountID, t.config.Queue),
		Time:            now, AccountID: config.AccountID, PublishTime: now, OriginalAccountID: config.AccountID,
		EventBusName: source, RegionID: config.Region, PublishAddr: "127.0.0.1", Data: data,
	}
	if t.config.Shape != CloudEventStrings {
		return event, nil
	}
	text, err := compact(event)
	return string(text), err
}

// body undoes base64 where the trigger is told to. What the platform does with a body that is not base64 is not documented; here it
// passes unchanged.
func (t *trigger) body(body string) string {
	if !t.config.Base64Decode {
		return body
	}
	decoded, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		return body
	}
	return string(decoded)
}

// compact is JSON without Go's escaping of <, > and &.
func compact(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte{'\n'}), nil
}

// newUUID makes a random (version 4) UUID.
func newUUID() string {
	b := make([]byte, 16)
	// crypto/rand never fails: it ends the program instead. (Package documentation.)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// strategy is a plan of retries.
type strategy struct {
	retries int
	delay   func(retry int, random float64) time.Duration
}

// strategyOf knows the plans of EventBridge. (FC trigger documentation: BACKOFF_RETRY three times after a random 10 to 20 s;
// EXPONENTIAL_DECAY_RETRY 176 times after 1, 2, 4 … 512 s and then every 512 s, about a day.)
func strategyOf(name RetryStrategy) strategy {
	if name == ExponentialDecayRetry {
		return strategy{retries: 176, delay: func(retry int, _ float64) time.Duration {
			return min(time.Second<<min(retry, 9), 512*time.Second)
		}}
	}
	return strategy{retries: 3, delay: func(_ int, random float64) time.Duration {
		return 10*time.Second + time.Duration(random*float64(10*time.Second))
	}}
}
