package mnsemu

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// maxBatch is how many messages or handles a batch can have; maxBatchBytes how much text together.
const (
	maxBatch      = 16
	maxBatchBytes = 65536
)

// draft is a message that was read from a request and checked.
type draft struct {
	record messageRecord
	// delay is in seconds.
	delay int64
}

// readDraft reads a Message element for a queue with these attributes.
func readDraft(e *element, attributes queueAttributes) (draft, error) {
	var d draft
	body := e.child("MessageBody")
	if body == nil || body.text == "" || int64(len(body.text)) > attributes.MaximumMessageSize {
		return d, outOfRange("MessageBody", 1, attributes.MaximumMessageSize, "bytes")
	}
	var err error
	if d.delay, err = e.integer("DelaySeconds", 0, 604800, "seconds", attributes.DelaySeconds); err != nil {
		return d, err
	}
	if d.record.Priority, err = e.integer("Priority", 1, 16, "", 8); err != nil {
		return d, err
	}
	d.record.Body, d.record.GroupID = body.text, e.value("MessageGroupId")
	if d.record.System, err = readProperties(e, "SystemProperties", "SystemPropertyValue"); err != nil {
		return d, err
	}
	d.record.User, err = readProperties(e, "UserProperties", "PropertyValue")
	return d, err
}

func readProperties(e *element, list, item string) ([]property, error) {
	parent := e.child(list)
	if parent == nil {
		return nil, nil
	}
	var out []property
	for _, c := range parent.children {
		if c.name != item {
			continue
		}
		p := property{Name: c.value("Name"), Type: c.value("Type")}
		if value := c.child("Value"); value != nil {
			p.Value = value.text
		}
		if err := p.check(list == "SystemProperties"); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (p property) check(system bool) error {
	valid := false
	switch {
	case p.Name == "":
		return invalidArgument("The Name of a message property is missing.")
	case p.Type == "STRING":
		valid = true
	case system:
		return invalidArgument("The Type of system property %s should be STRING.", p.Name)
	case p.Type == "NUMBER":
		_, err := strconv.ParseFloat(p.Value, 64)
		valid = err == nil
	case p.Type == "BOOLEAN":
		valid = strings.EqualFold(p.Value, "true") || strings.EqualFold(p.Value, "false")
	case p.Type == "BINARY":
		_, err := base64.StdEncoding.DecodeString(p.Value)
		valid = err == nil
	default:
		return invalidArgument("The Type of property %s should be STRING, NUMBER, BOOLEAN or BINARY.", p.Name)
	}
	if !valid {
		return invalidArgument("The Value of property %s is not a %s.", p.Name, p.Type)
	}
	return nil
}

// compose makes a draft a message of the queue.
func (s *Server) compose(q *queue, d draft, now int64) *message {
	m := &message{messageRecord: d.record, queue: q.Number, number: s.number()}
	m.ID, m.MD5 = newMessageID(), bodyMD5(d.record.Body)
	m.Enqueued, m.Visible = now, now+d.delay*1000
	if d.delay > 0 {
		m.Receipt = s.number()
	}
	m.lease = lease{visible: m.Visible, receipt: m.Receipt}
	return m
}

// existing finds a queue.
func (s *Server) existing(name string) (*queue, queueAttributes, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		return nil, queueAttributes{}, notExist("Queue")
	}
	return q, q.Attributes, nil
}

// keep makes messages of a queue durable and then visible.
func (s *Server) keep(q *queue, messages []*message) error {
	changes := make([]change, len(messages))
	for i, m := range messages {
		changes[i] = m.stored()
	}
	if err := s.store.add(changes...).wait(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.show(q, messages)
}

// show inserts messages that are on disk. If their queue was deleted meanwhile it drops them. The caller holds the lock.
func (s *Server) show(q *queue, messages []*message) error {
	if s.queues[q.Name] != q {
		for _, m := range messages {
			s.store.add(m.removed()...)
		}
		return notExist("Queue")
	}
	now := s.nowMillis()
	for _, m := range messages {
		q.insert(m, now)
	}
	s.settle(q)
	return nil
}

func (s *Server) sendMessage(r *request) (answer, error) {
	q, attributes, err := s.existing(r.queue)
	if err != nil {
		return answer{}, err
	}
	d, err := readDraft(r.document, attributes)
	if err != nil {
		return answer{}, err
	}
	m := s.compose(q, d, s.nowMillis())
	if err := s.keep(q, []*message{m}); err != nil {
		return answer{}, err
	}
	return created(newDocument("Message", func(d *document) {
		describeSent(d, m)
		if m.Receipt != 0 {
			d.text("ReceiptHandle", s.sealer.handle(m.queue, m.ID, m.number, m.Receipt))
		}
	})), nil
}

func describeSent(d *document, m *message) {
	d.text("MessageId", m.ID)
	d.text("MessageBodyMD5", m.MD5)
}

// batchSendMessage stores the good messages. With a bad one among them the answer is a 500, and says so in its place.
func (s *Server) batchSendMessage(r *request) (answer, error) {
	q, attributes, err := s.existing(r.queue)
	if err != nil {
		return answer{}, err
	}
	items, err := batchItems(r.document)
	if err != nil {
		return answer{}, err
	}
	now := s.nowMillis()
	sent, refused := make([]*message, len(items)), make([]error, len(items))
	var good []*message
	for i, item := range items {
		var d draft
		if d, refused[i] = readDraft(item, attributes); refused[i] == nil {
			sent[i] = s.compose(q, d, now)
			good = append(good, sent[i])
		}
	}
	if err := s.keep(q, good); err != nil {
		return answer{}, err
	}
	result := created(newDocument("Messages", func(d *document) {
		for i := range items {
			d.element("Message", func() {
				if refused[i] != nil {
					describeRefused(d, refused[i])
					return
				}
				describeSent(d, sent[i])
			})
		}
	}))
	if len(good) < len(items) {
		result.status = http.StatusInternalServerError
	}
	return result, nil
}

// batchItems are the messages of a batch, neither too many nor too large together.
func batchItems(document *element) ([]*element, error) {
	var items []*element
	total := 0
	for _, c := range document.children {
		if c.name != "Message" {
			continue
		}
		items = append(items, c)
		if body := c.child("MessageBody"); body != nil {
			total += len(body.text)
		}
	}
	if len(items) < 1 || len(items) > maxBatch {
		return nil, outOfRange("the number of messages", 1, maxBatch, "")
	}
	if total > maxBatchBytes {
		return nil, outOfRange("the size of all MessageBody", 1, maxBatchBytes, "bytes")
	}
	return items, nil
}

// describeRefused writes what became of one item of a batch.
func describeRefused(d *document, err error) {
	code, message := "InternalError", err.Error()
	if refused, isRefusal := err.(*refusal); isRefusal {
		code, message = refused.code, refused.message
	}
	d.text("ErrorCode", code)
	d.text("ErrorMessage", message)
}
