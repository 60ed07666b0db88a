package mnsemu

import (
	"net/http"
	"strconv"
)

// defaultAttributes are those of a queue that was created without any.
func defaultAttributes() queueAttributes {
	return queueAttributes{MaximumMessageSize: 65536, MessageRetentionPeriod: 345600, VisibilityTimeout: 30}
}

// merge returns the attributes with what the document says changed.
func (a queueAttributes) merge(document *element, maxRetention int) (queueAttributes, error) {
	for _, n := range []struct {
		name      string
		value     *int64
		low, high int64
		unit      string
	}{
		{"DelaySeconds", &a.DelaySeconds, 0, 604800, "seconds"},
		{"MaximumMessageSize", &a.MaximumMessageSize, 1024, 65536, "bytes"},
		{"MessageRetentionPeriod", &a.MessageRetentionPeriod, 60, int64(maxRetention), "seconds"},
		{"VisibilityTimeout", &a.VisibilityTimeout, 1, 43200, "seconds"},
		{"PollingWaitSeconds", &a.PollingWaitSeconds, 0, 30, "seconds"},
	} {
		var err error
		if *n.value, err = document.integer(n.name, n.low, n.high, n.unit, *n.value); err != nil {
			return a, err
		}
	}
	var err error
	a.LoggingEnabled, err = document.boolean("LoggingEnabled", a.LoggingEnabled)
	return a, err
}

// create answers a creation: add makes what does not exist yet and returns the changes, none when an equal thing exists.
func (s *Server) create(location string, add func() ([]change, error)) (answer, error) {
	result := answer{status: http.StatusNoContent, location: location}
	err := s.alter(func() ([]change, error) {
		changes, err := add()
		if len(changes) > 0 {
			result.status = http.StatusCreated
		}
		return changes, err
	})
	return result, err
}

func (s *Server) createQueue(r *request) (answer, error) {
	wanted, err := defaultAttributes().merge(r.document, s.config.MaxRetentionSeconds)
	if err != nil {
		return answer{}, err
	}
	return s.create(r.base()+"/queues/"+r.queue, func() ([]change, error) {
		if existing := s.queues[r.queue]; existing != nil && existing.Attributes != wanted {
			return nil, alreadyExist("Queue")
		} else if existing != nil {
			return nil, nil
		}
		if len(s.queues) >= s.config.MaxQueues {
			return nil, badRequest("QueueNumExceededLimit", "The account has %d queues, which is the limit.", len(s.queues))
		}
		now := s.clock.Now().Unix()
		q := newQueue(queueRecord{Name: r.queue, Number: s.number(), Attributes: wanted, Created: now, Modified: now})
		s.queues[q.Name] = q
		return []change{q.stored()}, nil
	})
}

// settled finds a queue and brings it to the present. The caller holds the lock.
func (s *Server) settled(name string) (*queue, error) {
	q := s.queues[name]
	if q == nil {
		return nil, notExist("Queue")
	}
	s.settle(q)
	return q, nil
}

func (s *Server) setQueueAttributes(r *request) (answer, error) {
	return noContent(), s.alter(func() ([]change, error) {
		q, err := s.settled(r.queue)
		if err != nil {
			return nil, err
		}
		wanted, err := q.Attributes.merge(r.document, s.config.MaxRetentionSeconds)
		if err != nil {
			return nil, err
		}
		q.Attributes, q.Modified = wanted, s.clock.Now().Unix()
		return []change{q.stored()}, nil
	})
}

func (s *Server) getQueueAttributes(r *request) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.settled(r.queue)
	if err != nil {
		return answer{}, err
	}
	return ok(newDocument("Queue", q.describe)), nil
}

// normalType is the MessageType that was recorded, of a normal queue.
const normalType = 0

// describe writes the attributes in the recorded order.
func (q *queue) describe(d *document) {
	d.text("QueueName", q.Name)
	d.integer("DelaySeconds", q.Attributes.DelaySeconds)
	d.integer("MaximumMessageSize", q.Attributes.MaximumMessageSize)
	d.integer("MessageRetentionPeriod", q.Attributes.MessageRetentionPeriod)
	d.integer("VisibilityTimeout", q.Attributes.VisibilityTimeout)
	d.integer("CreateTime", q.Created)
	d.integer("LastModifyTime", q.Modified)
	d.integer("PollingWaitSeconds", q.Attributes.PollingWaitSeconds)
	d.integer("ActiveMessages", int64(q.ready.Len()))
	d.integer("InactiveMessages", int64(q.waiting.Len()-q.delayed))
	d.integer("DelayMessages", int64(q.delayed))
	d.boolean("LoggingEnabled", q.Attributes.LoggingEnabled)
	d.integer("MessageType", normalType)
	d.boolean("EnableSSE", false)
}

// deleteQueue succeeds for a missing queue too.
func (s *Server) deleteQueue(r *request) (answer, error) {
	return noContent(), s.alter(func() ([]change, error) {
		q := s.queues[r.queue]
		if q == nil {
			return nil, nil
		}
		delete(s.queues, r.queue)
		q.stopTimer()
		for _, p := range q.polls {
			close(p.done)
		}
		return q.removed(), nil
	})
}

func (s *Server) listQueue(r *request) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, next, err := page(r, s.queues)
	if err != nil {
		return answer{}, err
	}
	return ok(newDocument("Queues", func(d *document) {
		for _, name := range names {
			d.element("Queue", func() {
				d.text("QueueURL", r.base()+"/queues/"+name)
				q := s.queues[name]
				if !withMeta(r) {
					d.text("QueueName", name)
					return
				}
				s.settle(q)
				q.describe(d)
			})
		}
		describeNext(d, next)
	})), nil
}

func (s *Server) getAccountAttributes(*request) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ok(newDocument("Account", func(d *document) { d.text("LoggingBucket", s.loggingBucket) })), nil
}

func (s *Server) setAccountAttributes(r *request) (answer, error) {
	return noContent(), s.alter(func() ([]change, error) {
		if r.document.child("LoggingBucket") != nil {
			s.loggingBucket = r.document.value("LoggingBucket")
		}
		return []change{{bucket: metaBucket, key: []byte(loggingBucketKey), value: []byte(s.loggingBucket)}}, nil
	})
}

// openService always succeeds: a local account is open.
func (s *Server) openService(*request) (answer, error) {
	return ok(newDocument("OpenService", func(d *document) {
		d.text("OrderId", strconv.FormatUint(s.number(), 10))
	})), nil
}
