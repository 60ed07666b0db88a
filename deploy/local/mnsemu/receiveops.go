package mnsemu

import (
	"cmp"
	"slices"
	"time"
)

// receiveMessage takes up to as many messages as the call asks for, and waits for the first if it finds none: as long as the call says, or
// as the queue does.
func receiveMessage(s *Server, r *request) (answer, error) {
	limit, err := r.integer("numOfMessages", 1, maxBatch, "", 1)
	if err != nil {
		return answer{}, err
	}
	q, err := s.settled(r)
	if err != nil {
		return answer{}, err
	}
	wait, err := r.integer("waitseconds", 0, 30, "seconds", q.Attributes.PollingWaitSeconds)
	if err != nil {
		return answer{}, err
	}
	now := s.nowMillis()
	p := &poll{limit: int(limit), until: now, again: now + roundTime.Milliseconds(), done: make(chan struct{})}
	if wait > 0 {
		p.until = now + s.lasts(time.Duration(wait)*time.Second).Milliseconds()
	}
	q.polls = append(q.polls, p)
	s.settle(q)
	s.mu.Unlock()
	select {
	case <-p.done:
	case <-r.http.Context().Done():
	case <-s.stopping:
	}
	s.mu.Lock()
	q.polls = slices.DeleteFunc(q.polls, func(each *poll) bool { return each == p })
	switch {
	case len(p.taken) > 0:
		return s.deliver(r, p.taken, true), nil
	case s.queues[q.Name] != q:
		return answer{}, notExist("Queue")
	}
	return answer{}, messageNotExist()
}

// peekMessage shows messages without taking them. It misses nothing: there is no recording of a peek.
func peekMessage(s *Server, r *request) (answer, error) {
	limit, err := r.integer("numOfMessages", 1, maxBatch, "", 1)
	if err != nil {
		return answer{}, err
	}
	q, err := s.settled(r)
	if err != nil {
		return answer{}, err
	}
	found := s.visible(q, s.nowMillis())
	if len(found) == 0 {
		return answer{}, messageNotExist()
	}
	var shown []message
	for _, m := range found[:min(int(limit), len(found))] {
		shown = append(shown, *m)
	}
	return s.deliver(r, shown, false), nil
}

// deliver writes messages: a list if the call was a batch, even of one.
func (s *Server) deliver(r *request, messages []message, received bool) answer {
	var all []element
	for i := range messages {
		all = append(all, s.describe(&messages[i], received))
	}
	if !r.has("numOfMessages") {
		return ok(all[0])
	}
	return ok(group("Messages", all...))
}

// describe writes one message in the recorded order; a peek has neither handle nor next time. SystemProperties and a group were not
// recorded. They come before the UserProperties, since the PHP SDK reads from those to the end of the document.
func (s *Server) describe(m *message, received bool) element {
	e := group("Message", append(describeSent(m), field("MessageBody", m.Body))...)
	add := func(wanted bool, child element) {
		if wanted {
			e.Children = append(e.Children, child)
		}
	}
	add(received, field("ReceiptHandle", s.handle(m.Queue, m.ID, m.Number, m.Receipt)))
	add(true, field("EnqueueTime", m.Enqueued))
	add(true, field("FirstDequeueTime", cmp.Or(m.First, m.Enqueued)))
	add(received, field("NextVisibleTime", m.Visible))
	add(true, field("DequeueCount", m.Dequeues))
	add(true, field("Priority", m.Priority))
	add(m.GroupID != "", field("MessageGroupId", m.GroupID))
	add(len(m.System) > 0, describeProperties("SystemProperties", "SystemPropertyValue", m.System))
	add(len(m.User) > 0, describeProperties("UserProperties", "PropertyValue", m.User))
	return e
}

func describeProperties(list, item string, properties []property) element {
	all := group(list)
	for _, p := range properties {
		all.Children = append(all.Children, group(item, field("Name", p.Name), field("Value", p.Value), field("Type", p.Type)))
	}
	return all
}

// held finds the queue that a request is about and the message that its handle holds there.
func (s *Server) held(r *request) (*queue, *message, error) {
	handle := r.query["receipthandle"]
	if handle == "" {
		return nil, nil, badRequest("MissingReceiptHandle", "ReceiptHandle is required.")
	}
	q, err := s.settled(r)
	if err != nil {
		return nil, nil, err
	}
	m, err := s.holder(q, handle)
	return q, m, err
}

func changeMessageVisibility(s *Server, r *request) (answer, error) {
	q, m, err := s.held(r)
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
	m.Visible = s.nowMillis() + timeout*1000
	s.keep(m)
	s.settle(q)
	return ok(group("ChangeVisibility",
		field("ReceiptHandle", s.handle(q.Number, m.ID, m.Number, s.number())), field("NextVisibleTime", m.Visible))), nil
}
