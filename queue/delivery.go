package queue

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/uuid"

	"routinely/shared/fault"
	"routinely/shared/routine"
	"routinely/shared/strictjson"
	"routinely/shared/trace"
)

// Delivery is one message of an event, as the trigger delivered it.
type Delivery struct {
	// MessageID is MNS's id, empty when the trigger did not say.
	MessageID string
	// Body is the message as it was received, byte for byte.
	Body []byte
	// Envelope is the job in it. It is not valid when Err is set or Callback is not nil.
	Envelope Envelope
	// Bare means that the message is another program's request, and no envelope of ours: its job may not be recorded yet.
	Bare bool
	// Callback is the callback in the message, if it holds one.
	Callback *Callback
	// ClaimsJob is the job that a message with code UnknownKey says it is about; empty if it does not say, or not in a text of 1 to 128
	// printable ASCII characters. Nothing proves it.
	ClaimsJob string
	// Err says why there is neither in the message: *routine.Invalid when a request breaks the rules, a fault with CodeUnknownKey when the
	// message is of a type of ours and no key of ours has sealed it. Of an envelope of ours the JobID can be set all the same.
	Err error
}

// CodeUnknownKey: the message is of a type of ours, and none of the keys has sealed it.
const CodeUnknownKey = "UnknownKey"

// Decode finds the messages in a trigger's event, whatever its shape: one CloudEvent or an array of them, as objects or as
// strings; raw data without the CloudEvent around it; the JSON and STREAM forms of an MNS topic. A message's body may be
// plain or Base64 and hold our envelope, a callback, a CloudEvent with a bare request, or a bare request, which is accepted at now. Envelopes and
// callbacks are taken for ours only if one of the keys has sealed them. Decode never fails: what it cannot read is a Delivery with Err.
func (k Keys) Decode(eventText []byte, now time.Time) []Delivery {
	return k.read(unwrap(eventText), now)
}

func (k Keys) read(messages []unwrapped, now time.Time) []Delivery {
	deliveries := make([]Delivery, 0, len(messages))
	for _, m := range messages {
		d := Delivery{MessageID: m.id, Body: m.body}
		d.Err = d.read(k, plain(m.body), now)
		deliveries = append(deliveries, d)
	}
	return deliveries
}

// unwrapped is one message of a trigger's event.
type unwrapped struct {
	id   string
	body []byte
}

func unwrap(eventText []byte) []unwrapped {
	trimmed := bytes.TrimSpace(eventText)
	var elements []json.RawMessage
	if len(trimmed) > 0 && trimmed[0] == '[' && json.Unmarshal(trimmed, &elements) == nil {
		messages := make([]unwrapped, 0, len(elements))
		for _, element := range elements {
			messages = append(messages, open(element))
		}
		return messages
	}
	return []unwrapped{open(eventText)}
}

// delivered is the union of the objects a trigger wraps a message in. Only the fields all samples agree on are relied upon.
type delivered struct {
	Data json.RawMessage `json:"data"` // CloudEvents from EventBridge
	// Raw data, and what Data holds.
	MessageID   string          `json:"messageId"`
	MessageBody json.RawMessage `json:"messageBody"`
	// MNS topic, JSON form.
	TopicName      string          `json:"TopicName"`
	TopicMessage   json.RawMessage `json:"Message"`
	TopicMessageID string          `json:"MessageId"`
	// MNS topic, STREAM form with attributes.
	Body  json.RawMessage `json:"body"`
	Attrs json.RawMessage `json:"attrs"`
}

// open takes the wrapping off one element of the event.
func open(element []byte) unwrapped {
	text := unquote(element)
	var d delivered
	if json.Unmarshal(text, &d) != nil {
		return unwrapped{"", text}
	}
	var inner delivered
	switch {
	case d.MessageBody != nil:
		return unwrapped{d.MessageID, unquote(d.MessageBody)}
	case d.Data != nil && json.Unmarshal(unquote(d.Data), &inner) == nil && inner.MessageBody != nil:
		return unwrapped{inner.MessageID, unquote(inner.MessageBody)}
	case d.TopicName != "" && d.TopicMessage != nil:
		return unwrapped{d.TopicMessageID, unquote(d.TopicMessage)}
	case d.Body != nil && d.Attrs != nil:
		return unwrapped{"", unquote(d.Body)}
	}
	return unwrapped{"", text}
}

// unquote returns the text of a JSON string, and anything else as it is.
func unquote(value []byte) []byte {
	if trimmed := bytes.TrimSpace(value); len(trimmed) > 0 && trimmed[0] == '"' {
		var text string
		if json.Unmarshal(trimmed, &text) == nil {
			return []byte(text)
		}
	}
	return value
}

// plain undoes Base64, which the MNS clients of most languages apply by default, and drops a byte-order mark. A body that begins with a brace
// is JSON.
func plain(body []byte) []byte {
	trimmed := bytes.TrimSpace(strictjson.WithoutMark(body))
	if len(trimmed) == 0 || trimmed[0] == '{' {
		return trimmed
	}
	if decoded, err := base64.StdEncoding.DecodeString(string(trimmed)); err == nil && utf8.Valid(decoded) {
		return bytes.TrimSpace(strictjson.WithoutMark(decoded))
	}
	return trimmed
}

// eventHead is what tells whose event a message is.
type eventHead struct {
	SpecVersion     string `json:"specversion"`
	Type            string `json:"type"`
	DataContentType string `json:"datacontenttype"`
	seal
	Data json.RawMessage `json:"data"`
}

// read decodes a body. A body pushed by an MNS topic carries the message one level deeper. Errors do not repeat what the SDK and encoding/json say:
// that quotes the body, which may hold secrets.
func (d *Delivery) read(k Keys, body []byte, now time.Time) error {
	var topic delivered
	if json.Unmarshal(body, &topic) == nil && topic.TopicName != "" && topic.TopicMessage != nil {
		body = plain(unquote(topic.TopicMessage))
	}
	var head eventHead
	switch err := json.Unmarshal(body, &head); {
	case err == nil && strings.HasPrefix(head.Type, ourTypes):
		return d.readOurs(k, head)
	case err != nil || head.SpecVersion == "":
		identity := d.MessageID
		if identity == "" {
			// Nothing tells a copy from the same wish made again, which must not be taken for one.
			identity = now.Format(time.RFC3339Nano) + string(body)
		}
		return d.readBare(identity, body, now)
	}
	if isJSON(head.DataContentType) {
		body = withPlainData(body)
	}
	return d.readEvent(body, now)
}

// readEvent makes the envelope of a request in another program's CloudEvent. The event's time is the other program's: it is kept, and decides
// nothing.
func (d *Delivery) readEvent(body []byte, now time.Time) error {
	var e event.Event
	if err := json.Unmarshal(body, &e); err != nil {
		return errors.New("not a CloudEvent 1.0: an attribute or the data has another form")
	}
	if err := e.Validate(); err != nil {
		var wrong event.ValidationError
		errors.As(err, &wrong)
		return fmt.Errorf("not a CloudEvent 1.0: wrong or missing is %s", strings.Join(slices.Sorted(maps.Keys(wrong)), ", "))
	}
	err := d.readBare(e.Source()+"\x00"+e.ID(), e.Data(), now)
	if !e.Time().IsZero() && writable(e.Time()) {
		d.Envelope.ProducedAt = e.Time().UTC()
	}
	if parent, ok := e.Extensions()[trace.Header].(string); ok { // the extension Distributed Tracing of CloudEvents
		d.Envelope.Trace, _ = trace.Parse(parent)
	}
	return err
}

// readOurs reads an event of one of our types, if it is ours.
func (d *Delivery) readOurs(k Keys, e eventHead) error {
	if e.Type == TypeUnverified {
		return d.readUnverified(e.Data)
	}
	if !k.valid(e.seal, e.Type, e.Data) {
		return d.unknownKey(e)
	}
	switch e.Type {
	case TypeJob:
		return d.readEnvelope(e.Data)
	case TypeCallback:
		return d.readCallback(e.Data)
	}
	return fmt.Errorf("%.80q is a type of another version of Routinely", e.Type)
}

// unknownKey notes what the message says it is about.
func (d *Delivery) unknownKey(e eventHead) error {
	var claims struct {
		JobID string `json:"jobId"`
	}
	_ = json.Unmarshal(e.Data, &claims) // of data that are none it claims nothing
	printable := !strings.ContainsFunc(claims.JobID, func(r rune) bool { return r < '!' || r > '~' })
	if len(claims.JobID) <= maxJobID && printable {
		d.ClaimsJob = claims.JobID
	}
	message := fmt.Sprintf("no key is known that has sealed the message: it names the key %.40q", e.KeyID)
	if e.MAC == "" {
		message = "the message is not sealed"
	}
	return &fault.Error{
		Kind: fault.Unauthenticated, Code: CodeUnknownKey, Message: message,
		Hint: "If a function of yours has sent it, give all functions the same ROUTINELY_MESSAGE_KEYS, then redrive it: it is checked again. " +
			"If not, somebody else writes to the queue: drop it, and look at who may.",
	}
}

// readUnverified takes the message that notify could not verify for the message received.
func (d *Delivery) readUnverified(data []byte) error {
	var inner string
	if json.Unmarshal(data, &inner) != nil {
		return fmt.Errorf("not a %s: data must be a text", TypeUnverified)
	}
	var e eventHead
	_ = json.Unmarshal(plain([]byte(inner)), &e) // of a message that is none it says nothing
	d.Body = []byte(inner)
	return d.unknownKey(e)
}

// isJSON reports whether a media type, in letters of any case, is JSON or ends in +json. Without one the data is JSON, and null is without one
// (JSON format of CloudEvents 1.0, sections 2.2 and 3.1).
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return contentType == "" || err == nil && (media == event.ApplicationJSON || strings.HasSuffix(media, "+json"))
}

// withPlainData gives an event whose data is JSON the media type application/json: the SDK takes the data of all others for text, and knows neither
// capitals nor null.
func withPlainData(body []byte) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return body
	}
	members["datacontenttype"] = []byte(`"` + event.ApplicationJSON + `"`)
	changed, err := json.Marshal(members)
	if err != nil {
		return body
	}
	return changed
}

// jobSpace is the namespace of the ids given to jobs that came without one (UUID version 5, RFC 9562).
var jobSpace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("routinely:job"))

// readBare makes the envelope of a request that another program put on the queue. Its id follows from the message's identity, so
// that a message delivered twice is one job.
func (d *Delivery) readBare(identity string, request []byte, accepted time.Time) error {
	d.Bare = true
	d.Envelope = Envelope{
		JobID: uuid.NewSHA1(jobSpace, []byte("message\x00"+identity)).String(), Caller: routine.QueueCaller, AcceptedAt: accepted, Number: 1,
	}
	req, err := routine.DecodeBare(request)
	d.Envelope.Request = req
	return err
}

// readEnvelope decodes our own envelope and holds it to the rules again: another version may have sent it.
func (d *Delivery) readEnvelope(data []byte) error {
	var parts struct {
		Envelope
		Request json.RawMessage `json:"request"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return fmt.Errorf("not a job of %s: a member is of another type", TypeJob)
	}
	e := parts.Envelope
	switch {
	case e.JobID == "" || len(e.JobID) > maxJobID:
		return fmt.Errorf("not a job of %s: jobId must have 1 to %d characters", TypeJob, maxJobID)
	case !inRange(e.Number, 1) || !inRange(e.Round, 0) || e.AcceptedAt.IsZero() || !writable(e.AcceptedAt):
		return fmt.Errorf("not a job of %s: round, number and acceptedAt are required", TypeJob)
	}
	d.Envelope = e
	req, err := routine.DecodeJob(parts.Request)
	d.Envelope.Request = req
	return err
}

func (d *Delivery) readCallback(data []byte) error {
	var c Callback
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("not a %s: a member is of another type", TypeCallback)
	}
	if err := c.check(); err != nil {
		return err
	}
	d.Callback = &c
	return nil
}

// UnreadableJobID is the id of the dead letter made of a message that cannot be carried out, from its bytes and MNS's id where that is known:
// a message that is delivered twice is one dead letter.
func UnreadableJobID(d Delivery) string {
	return uuid.NewSHA1(jobSpace, append([]byte("unreadable\x00"+d.MessageID+"\x00"), d.Body...)).String()
}

// maxReceivedText is how long a message may be as a JSON text: in Base64 none that MNS takes is longer.
const maxReceivedText = 88_000

// Received is the message as it is kept with a dead letter: as text, unless it is none, or is shorter in Base64 than with JSON's escapes.
func (d Delivery) Received() *routine.Received {
	if utf8.Valid(d.Body) && len(escaped(d.Body)) <= maxReceivedText {
		return &routine.Received{MessageID: d.MessageID, Encoding: routine.TextEncoding, Body: string(d.Body)}
	}
	return &routine.Received{MessageID: d.MessageID, Encoding: routine.Base64Encoding, Body: base64.StdEncoding.EncodeToString(d.Body)}
}

func escaped(body []byte) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(string(body)) // a text can always be written
	return out.Bytes()
}

// Reread reads a message again that was kept with a dead letter, by the keys of today.
func (k Keys) Reread(r routine.Received, now time.Time) Delivery {
	body := []byte(r.Body)
	if r.Encoding == routine.Base64Encoding {
		if bytes, err := base64.StdEncoding.DecodeString(r.Body); err == nil {
			body = bytes
		}
	}
	return k.read([]unwrapped{{r.MessageID, body}}, now)[0]
}

const maxJobID = 128

// maxCount is above every count that a message of ours can have.
const maxCount = 1_000_000

func inRange(n, least int) bool { return n >= least && n <= maxCount }

// writable reports whether a time can be written in UTC (RFC 3339): a time of another zone can lie in the year 10000.
func writable(t time.Time) bool { return t.UTC().Year() >= 0 && t.UTC().Year() <= 9999 }

// KeyedJobID is the id of the job a caller's idempotency key stands for.
func KeyedJobID(caller, key string) string {
	return uuid.NewSHA1(jobSpace, []byte("key\x00"+caller+"\x00"+key)).String()
}

// ExpiryJobID is the id of the janitor's try to end an expired routine: number tells for which time that is over, action is what the job is to do.
func ExpiryJobID(name string, number int64, action routine.Action, try int) string {
	return uuid.NewSHA1(jobSpace, fmt.Appendf(nil, "expiry\x00%s\x00%d\x00%s\x00%d", name, number, action, try)).String()
}
