package mnsemu

import (
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxBatch is how many messages or handles a batch can have; maxBatchBytes how much text together.
const (
	maxBatch      = 16
	maxBatchBytes = 65536
)

// defaultPriority is that of a message that names none.
const defaultPriority = 8

// readMessage reads a Message element that was sent to a queue or a topic. delay is in seconds.
func (s *Server) readMessage(e *element, maxSize, delay int64) (*message, error) {
	body := e.child("MessageBody")
	if body == nil || body.Text == "" || int64(len(body.Text)) > maxSize {
		return nil, outOfRange("MessageBody", 1, maxSize, "bytes")
	}
	delay, err := e.integer("DelaySeconds", 0, 604800, "seconds", delay)
	if err != nil {
		return nil, err
	}
	m := s.newMessage(body.Text, delay)
	m.GroupID = e.value("MessageGroupId")
	if m.Priority, err = e.integer("Priority", 1, 16, "", defaultPriority); err != nil {
		return nil, err
	}
	if m.System, err = readProperties(e, "SystemProperties", "SystemPropertyValue"); err != nil {
		return nil, err
	}
	m.User, err = readProperties(e, "UserProperties", "PropertyValue")
	return m, err
}

// newMessage is a message that becomes visible after some seconds. Only a delayed one has a receipt at once.
func (s *Server) newMessage(body string, delay int64) *message {
	now := s.nowMillis()
	m := &message{
		ID: newID(), Body: body, MD5: fmt.Sprintf("%X", md5.Sum([]byte(body))), Priority: defaultPriority,
		Enqueued: now, Visible: now + delay*1000,
	}
	if delay > 0 {
		m.Receipt = s.number()
	}
	return m
}

func readProperties(e *element, list, item string) ([]property, error) {
	parent := e.child(list)
	if parent == nil {
		return nil, nil
	}
	var out []property
	for _, c := range parent.all(item) {
		p := property{Name: c.value("Name"), Type: c.value("Type")}
		if value := c.child("Value"); value != nil {
			p.Value = value.Text
		}
		if err := p.check(list == "SystemProperties"); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (p property) check(system bool) error {
	if p.Name == "" {
		return invalidArgument("The Name of a message property is missing.")
	}
	if system && p.Type != "STRING" {
		return invalidArgument("The Type of system property %s should be STRING.", p.Name)
	}
	var err error
	switch p.Type {
	case "STRING":
	case "NUMBER":
		_, err = strconv.ParseFloat(p.Value, 64)
	case "BOOLEAN":
		_, err = parseBoolean(p.Name, p.Value)
	case "BINARY":
		_, err = base64.StdEncoding.DecodeString(p.Value)
	default:
		return invalidArgument("The Type of property %s should be STRING, NUMBER, BOOLEAN or BINARY.", p.Name)
	}
	if err != nil {
		return invalidArgument("The Value of property %s is not a %s.", p.Name, p.Type)
	}
	return nil
}

func sendMessage(s *Server, r *request) (answer, error) {
	q, err := s.settled(r)
	if err != nil {
		return answer{}, err
	}
	m, err := s.readMessage(r.document, q.Attributes.MaximumMessageSize, q.Attributes.DelaySeconds)
	if err != nil {
		return answer{}, err
	}
	s.insert(q, m)
	sent := describeSent(m)
	if m.Receipt != 0 {
		sent = append(sent, field("ReceiptHandle", s.handle(q.Number, m.ID, m.Number, m.Receipt)))
	}
	s.settle(q)
	return created(group("Message", sent...)), nil
}

func describeSent(m *message) []element {
	return []element{field("MessageId", m.ID), field("MessageBodyMD5", m.MD5)}
}

// batchSendMessage stores the good messages. With a bad one among them the answer is a 500, and says so in its place.
func batchSendMessage(s *Server, r *request) (answer, error) {
	q, err := s.settled(r)
	if err != nil {
		return answer{}, err
	}
	items, total := r.document.all("Message"), 0
	for _, item := range items {
		if body := item.child("MessageBody"); body != nil {
			total += len(body.Text)
		}
	}
	if len(items) < 1 || len(items) > maxBatch {
		return answer{}, outOfRange("the number of messages", 1, maxBatch, "")
	}
	if total > maxBatchBytes {
		return answer{}, outOfRange("the size of all MessageBody", 1, maxBatchBytes, "bytes")
	}
	result := created(group("Messages"))
	for _, item := range items {
		m, err := s.readMessage(item, q.Attributes.MaximumMessageSize, q.Attributes.DelaySeconds)
		if err != nil {
			result.status = http.StatusInternalServerError
			result.body.Children = append(result.body.Children, group("Message", describeRefused(err)...))
			continue
		}
		s.insert(q, m)
		result.body.Children = append(result.body.Children, group("Message", describeSent(m)...))
	}
	s.settle(q)
	return result, nil
}

// describeRefused writes what became of one item of a batch.
func describeRefused(err error) []element {
	var refused *refusal
	errors.As(err, &refused) // every error about an item is one
	return []element{field("ErrorCode", refused.code), field("ErrorMessage", refused.message)}
}

func deleteMessage(s *Server, r *request) (answer, error) {
	q, m, err := s.held(r)
	if err != nil {
		return answer{}, err
	}
	s.drop(q, func(each *message) bool { return each == m })
	return noContent(), nil
}

// batchDeleteMessage deletes what it can; the answer lists only the handles that failed.
func batchDeleteMessage(s *Server, r *request) (answer, error) {
	q, err := s.settled(r)
	if err != nil {
		return answer{}, err
	}
	handles := r.document.all("ReceiptHandle")
	if len(handles) < 1 || len(handles) > maxBatch {
		return answer{}, outOfRange("the number of receipt handles", 1, maxBatch, "")
	}
	var failed []element
	var held []*message
	for _, each := range handles {
		handle := strings.TrimSpace(each.Text)
		m, err := s.holder(q, handle)
		if slices.Contains(held, m) {
			err = messageNotExist() // the same handle twice
		}
		if err != nil {
			failed = append(failed, group("Error", append(describeRefused(err), field("ReceiptHandle", handle))...))
			continue
		}
		held = append(held, m)
	}
	s.drop(q, func(m *message) bool { return slices.Contains(held, m) })
	if len(failed) > 0 {
		return withBody(http.StatusNotFound, group("Errors", failed...)), nil
	}
	return noContent(), nil
}
