package fcemu

import (
	"bytes"
	"encoding/json"
	"fmt"

	"routinely/deploy/local/mnsclient"
)

// cloudEvent is a queue message as EventBridge passes it on. Functions should rely on id, type and data only: documented samples
// differ in the rest. (fc-runtime-go-sdk v0.3.1, events/README_MNS_Queue.md.)
type cloudEvent struct {
	ID                string      `json:"id"`
	Source            string      `json:"source"`
	SpecVersion       string      `json:"specversion"`
	Type              string      `json:"type"`
	DataContentType   string      `json:"datacontenttype"`
	Subject           string      `json:"subject"`
	Time              string      `json:"time"`
	AccountID         string      `json:"aliyunaccountid"`
	PublishTime       string      `json:"aliyunpublishtime"`
	OriginalAccountID string      `json:"aliyunoriginalaccountid"`
	EventBusName      string      `json:"aliyuneventbusname"`
	RegionID          string      `json:"aliyunregionid"`
	PublishAddr       string      `json:"aliyunpublishaddr"`
	Data              messageData `json:"data"`
}

type messageData struct {
	RequestID   string `json:"requestId"`
	MessageID   string `json:"messageId"`
	MessageBody string `json:"messageBody"`
}

// encode turns received messages into the event that the function gets: an array, also of one.
func (t *trigger) encode(messages []mnsclient.Message) ([]byte, error) {
	config, source := t.server.config, "MNS-Function-"+t.config.Name
	now := t.server.clock.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	events := make([]cloudEvent, 0, len(messages))
	for _, m := range messages {
		events = append(events, cloudEvent{
			ID: newUUID(), Source: source, SpecVersion: "1.0", Type: "mns:Queue:SendMessage",
			DataContentType: "application/json; charset=utf-8",
			Subject:         fmt.Sprintf("acs:mns:%s:%s:queues/%s", config.Region, config.AccountID, t.config.Queue),
			Time:            now, AccountID: config.AccountID, PublishTime: now, OriginalAccountID: config.AccountID,
			EventBusName: source, RegionID: config.Region, PublishAddr: "127.0.0.1",
			Data: messageData{RequestID: m.RequestID, MessageID: m.ID, MessageBody: m.Body},
		})
	}
	return compact(events)
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
