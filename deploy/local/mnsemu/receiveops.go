package mnsemu

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"
)

func (s *Server) receiveMessage(r *request) (answer, error) {
	limit, err := r.integer("numOfMessages", 1, maxBatch, "", 1)
	if err != nil {
		return answer{}, err
	}
	wait, err := r.integer("waitseconds", 0, 30, "seconds", -1)
	if err != nil {
		return answer{}, err
	}
	got, err := s.receive(r.http.Context(), r.queue, int(limit), wait)
	if err != nil {
		return answer{}, err
	}
	return s.deliver(r, got), nil
}

// receive takes up to limit messages, and waits for the first if it finds none: wait seconds, or as long as the queue says when wait
// is negative. A message that it missed ends the wait after roundTime.
func (s *Server) receive(ctx context.Context, name string, limit int, wait int64) ([]delivery, error) {
	s.mu.Lock()
	q, err := s.settled(name)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	now := s.nowMillis()
	p := &poll{limit: limit}
	if got := s.take(q, p, now); len(got) > 0 {
		s.arm(q, now)
		s.mu.Unlock()
		return got, nil
	}
	if wait < 0 {
		wait = q.Attributes.PollingWaitSeconds
	}
	if wait == 0 {
		s.mu.Unlock()
		return nil, messageNotExist()
	}
	p.done, p.over = make(chan struct{}), make(chan struct{})
	held := s.disorder.held(time.Duration(wait) * time.Second)
	timer := s.clock.AfterFunc(held, func() { close(p.over) })
	defer timer.Stop()
	if missed := q.ready.Len() > 0; missed && held > roundTime {
		again := s.clock.AfterFunc(roundTime, func() { s.lookAgain(q, p) })
		defer again.Stop()
	}
	q.polls = append(q.polls, p)
	s.arm(q, now)
	s.mu.Unlock()
	over := false
	select {
	case <-p.done:
	case <-p.over:
		over = true
	case <-ctx.Done():
	case <-s.stopping:
	}
	return s.endPoll(q, p, over)
}

// endPoll is the answer to a long poll. One whose time is over looks once more: what became visible at the very same time has not
// been given to anybody.
func (s *Server) endPoll(q *queue, p *poll, over bool) ([]delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if over && s.queues[q.Name] == q {
		s.settle(q)
	}
	q.endPoll(p)
	switch {
	case len(p.taken) > 0:
		return p.taken, nil
	case s.queues[q.Name] != q:
		return nil, notExist("Queue")
	}
	s.arm(q, s.nowMillis())
	return nil, messageNotExist()
}

// peekMessage misses nothing: there is no recording of a peek.
func (s *Server) peekMessage(r *request) (answer, error) {
	limit, err := r.integer("numOfMessages", 1, maxBatch, "", 1)
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.settled(r.queue)
	if err != nil {
		return answer{}, err
	}
	got := q.peek(int(limit), s.disorder)
	if len(got) == 0 {
		return answer{}, messageNotExist()
	}
	return s.deliver(r, got), nil
}

// deliver writes messages: a list if the call was a batch, even of one.
func (s *Server) deliver(r *request, got []delivery) answer {
	if !has(r.query, "numofmessages") {
		return ok(newDocument("Message", func(d *document) { s.describe(d, got[0]) }))
	}
	return ok(newDocument("Messages", func(d *document) {
		for _, each := range got {
			d.element("Message", func() { s.describe(d, each) })
		}
	}))
}

// describe writes one message in the recorded order; a peek (no receipt) has neither handle nor next time. SystemProperties and a group were
// not recorded. They come before the UserProperties, since the PHP SDK reads from those to the end of the document.
func (s *Server) describe(d *document, m delivery) {
	d.text("MessageId", m.ID)
	d.text("MessageBodyMD5", m.MD5)
	d.text("MessageBody", m.Body)
	if m.handle != 0 {
		d.text("ReceiptHandle", s.sealer.handle(m.queue, m.ID, m.number, m.handle))
	}
	d.integer("EnqueueTime", m.Enqueued)
	d.integer("FirstDequeueTime", cmp.Or(m.first, m.Enqueued))
	if m.handle != 0 {
		d.integer("NextVisibleTime", m.visible)
	}
	d.integer("DequeueCount", m.dequeues)
	d.integer("Priority", m.Priority)
	if m.GroupID != "" {
		d.text("MessageGroupId", m.GroupID)
	}
	describeProperties(d, "SystemProperties", "SystemPropertyValue", m.System)
	describeProperties(d, "UserProperties", "PropertyValue", m.User)
}

func describeProperties(d *document, list, item string, properties []property) {
	if len(properties) == 0 {
		return
	}
	d.element(list, func() {
		for _, p := range properties {
			d.element(item, func() {
				d.text("Name", p.Name)
				d.text("Value", p.Value)
				d.text("Type", p.Type)
			})
		}
	})
}

// holder finds the message a handle holds in a settled queue. A handle that was never issued is another error than one that is
// no longer valid.
func (s *Server) holder(q *queue, handle string, now int64) (*message, error) {
	number, receipt, issued := s.sealer.open(q.Number, handle)
	if !issued {
		return nil, receiptHandleError()
	}
	m := q.messages[number]
	if m == nil || m.visible <= now || m.receipt == 0 || receipt < m.receipt {
		return nil, messageNotExist()
	}
	return m, nil
}

// handleOf is the handle a request names.
func handleOf(r *request) (string, error) {
	handle := r.query["receipthandle"]
	if handle == "" {
		return "", badRequest("MissingReceiptHandle", "ReceiptHandle is required.")
	}
	return handle, nil
}

func (s *Server) changeMessageVisibility(r *request) (answer, error) {
	handle, err := handleOf(r)
	if err != nil {
		return answer{}, err
	}
	if r.query["visibilitytimeout"] == "" {
		return answer{}, badRequest("MissingVisibilityTimeout", "VisibilityTimeout is required.")
	}
	timeout, err := r.integer("VisibilityTimeout", 1, 43200, "seconds", 0)
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.settled(r.queue)
	if err != nil {
		return answer{}, err
	}
	now := s.nowMillis()
	m, err := s.holder(q, handle, now)
	if err != nil {
		return answer{}, err
	}
	q.displace(m)
	m.visible = now + timeout*1000
	q.place(m, now)
	s.store.add(m.leased())
	s.arm(q, now)
	return ok(newDocument("ChangeVisibility", func(d *document) {
		d.text("ReceiptHandle", s.sealer.handle(m.queue, m.ID, m.number, s.number()))
		d.integer("NextVisibleTime", m.visible)
	})), nil
}

func (s *Server) deleteMessage(r *request) (answer, error) {
	handle, err := handleOf(r)
	if err != nil {
		return answer{}, err
	}
	failed, err := s.remove(r.queue, []string{handle})
	if err == nil {
		err = failed[0]
	}
	return noContent(), err
}

// remove durably deletes what the handles hold, and tells for each why it could not.
func (s *Server) remove(name string, handles []string) ([]error, error) {
	failed := make([]error, len(handles))
	err := s.alter(func() ([]change, error) {
		q, err := s.settled(name)
		if err != nil {
			return nil, err
		}
		now := s.nowMillis()
		var changes []change
		for i, handle := range handles {
			m, err := s.holder(q, handle, now)
			if failed[i] = err; err == nil {
				q.drop(m)
				changes = append(changes, m.removed()...)
			}
		}
		return changes, nil
	})
	return failed, err
}

// batchDeleteMessage deletes what it can; the answer lists only the handles that failed.
func (s *Server) batchDeleteMessage(r *request) (answer, error) {
	var handles []string
	for _, c := range r.document.children {
		if c.name == "ReceiptHandle" {
			handles = append(handles, strings.TrimSpace(c.text))
		}
	}
	if len(handles) < 1 || len(handles) > maxBatch {
		return answer{}, outOfRange("the number of receipt handles", 1, maxBatch, "")
	}
	failed, err := s.remove(r.queue, handles)
	if err != nil {
		return answer{}, err
	}
	anyFailed := false
	body := newDocument("Errors", func(d *document) {
		for i, err := range failed {
			if err == nil {
				continue
			}
			anyFailed = true
			d.element("Error", func() {
				describeRefused(d, err)
				d.text("ReceiptHandle", handles[i])
			})
		}
	})
	if anyFailed {
		return answer{status: http.StatusNotFound, body: body}, nil
	}
	return noContent(), nil
}
