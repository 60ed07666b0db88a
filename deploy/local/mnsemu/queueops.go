package mnsemu

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// merge returns the attributes with what the document says changed.
func (a queueAttributes) merge(document *element) (queueAttributes, error) {
	for _, n := range []struct {
		name      string
		value     *int64
		low, high int64
		unit      string
	}{
		{"DelaySeconds", &a.DelaySeconds, 0, 604800, "seconds"},
		{"MaximumMessageSize", &a.MaximumMessageSize, 1024, 65536, "bytes"},
		{"MessageRetentionPeriod", &a.MessageRetentionPeriod, 60, 604800, "seconds"},
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

// creation answers a call that creates something: 204 if an equal thing exists, 409 if a different one does, a refusal at the limit of
// how many there can be, and otherwise 201: the caller makes it.
func creation(kind, location string, exists, equal bool, count, limit int) (answer, error) {
	switch {
	case exists && !equal:
		return answer{}, refuse(http.StatusConflict, kind+"AlreadyExist", "The %s you want to create is already exist.", strings.ToLower(kind))
	case exists:
		return answer{status: http.StatusNoContent, location: location}, nil
	case count >= limit:
		return answer{}, badRequest(kind+"NumExceededLimit", "There are %d of the kind %s, which is the limit.", count, kind)
	}
	return answer{status: http.StatusCreated, location: location}, nil
}

func createQueue(s *Server, r *request) (answer, error) {
	wanted, err := queueAttributes{MaximumMessageSize: 65536, MessageRetentionPeriod: 345600, VisibilityTimeout: 30}.merge(r.document)
	if err != nil {
		return answer{}, err
	}
	existing := s.queues[r.queue]
	equal := existing != nil && existing.Attributes == wanted
	result, err := creation("Queue", r.base()+"/queues/"+r.queue, existing != nil, equal, len(s.queues), s.config.MaxQueues)
	if result.status == http.StatusCreated {
		now := s.clock.Now().Unix()
		q := &queue{queueRecord: queueRecord{Name: r.queue, Number: s.number(), Attributes: wanted, Created: now, Modified: now}}
		s.queues[q.Name] = q
		s.store.put(queueBucket, q.Name, q.queueRecord)
	}
	return result, err
}

// settled finds the queue that a request is about and brings it to the present.
func (s *Server) settled(r *request) (*queue, error) {
	q := s.queues[r.queue]
	if q == nil {
		return nil, notExist("Queue")
	}
	s.settle(q)
	return q, nil
}

func setQueueAttributes(s *Server, r *request) (answer, error) {
	q, err := s.settled(r)
	if err != nil {
		return answer{}, err
	}
	wanted, err := q.Attributes.merge(r.document)
	if err != nil {
		return answer{}, err
	}
	q.Attributes, q.Modified = wanted, s.clock.Now().Unix()
	s.store.put(queueBucket, q.Name, q.queueRecord)
	return noContent(), nil
}

func getQueueAttributes(s *Server, r *request) (answer, error) {
	q, err := s.settled(r)
	if err != nil {
		return answer{}, err
	}
	return ok(group("Queue", s.describeQueue(q)...)), nil
}

// describeQueue writes the attributes in the recorded order. MessageType 0 is that of a normal queue.
func (s *Server) describeQueue(q *queue) []element {
	counts := q.counts(s.nowMillis())
	return []element{
		field("QueueName", q.Name),
		field("DelaySeconds", q.Attributes.DelaySeconds),
		field("MaximumMessageSize", q.Attributes.MaximumMessageSize),
		field("MessageRetentionPeriod", q.Attributes.MessageRetentionPeriod),
		field("VisibilityTimeout", q.Attributes.VisibilityTimeout),
		field("CreateTime", q.Created),
		field("LastModifyTime", q.Modified),
		field("PollingWaitSeconds", q.Attributes.PollingWaitSeconds),
		field("ActiveMessages", counts["active"]),
		field("InactiveMessages", counts["inactive"]),
		field("DelayMessages", counts["delayed"]),
		field("LoggingEnabled", q.Attributes.LoggingEnabled),
		field("MessageType", 0),
		field("EnableSSE", false),
	}
}

// deleteQueue succeeds for a missing queue too. The messages go first, so that a kill leaves none without a queue.
func deleteQueue(s *Server, r *request) (answer, error) {
	if q := s.queues[r.queue]; q != nil {
		s.drop(q, func(*message) bool { return true })
		s.store.remove(queueBucket, q.Name)
		delete(s.queues, q.Name)
		q.stopTimer()
		for _, p := range q.polls {
			close(p.done)
		}
	}
	return noContent(), nil
}

func listQueue(s *Server, r *request) (answer, error) {
	return listed(r, "Queue", "/queues/", s.queues, func(q *queue) []element {
		s.settle(q)
		return s.describeQueue(q)
	})
}

// maxPage is the largest page of a list, and its size when the caller does not say.
const maxPage = 1000

// listed answers a list call with a page of things of a kind: their addresses, and their names or, if asked for, all attributes. There is
// no marker at the end: the Python SDK fails on an empty element in a list.
func listed[T any](r *request, kind, path string, all map[string]T, describe func(T) []element) (answer, error) {
	header := r.http.Header
	limit := int64(maxPage)
	var err error
	if text := header.Get("X-Mns-Ret-Number"); text != "" {
		if limit, err = parseInteger("x-mns-ret-number", text, 1, maxPage, ""); err != nil {
			return answer{}, err
		}
	}
	from, err := base64.RawURLEncoding.DecodeString(header.Get("X-Mns-Marker"))
	if err != nil {
		return answer{}, invalidArgument("The value of x-mns-marker was not returned by a list call.")
	}
	page := group(kind + "s")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name < string(from) || !strings.HasPrefix(name, header.Get("X-Mns-Prefix")) {
			continue
		}
		if int64(len(page.Children)) == limit {
			page.Children = append(page.Children, field("NextMarker", base64.RawURLEncoding.EncodeToString([]byte(name))))
			break
		}
		item := []element{field(kind+"URL", r.base()+path+name)}
		if strings.EqualFold(header.Get("X-Mns-With-Meta"), "true") {
			item = append(item, describe(all[name])...)
		} else {
			item = append(item, field(kind+"Name", name))
		}
		page.Children = append(page.Children, group(kind, item...))
	}
	return ok(page), nil
}

func getAccountAttributes(s *Server, _ *request) (answer, error) {
	return ok(group("Account", field("LoggingBucket", s.account.LoggingBucket))), nil
}

func setAccountAttributes(s *Server, r *request) (answer, error) {
	if r.document.child("LoggingBucket") != nil {
		s.account.LoggingBucket = r.document.value("LoggingBucket")
		s.store.put(accountBucket, accountKey, s.account)
	}
	return noContent(), nil
}

// openService always succeeds: a local account is open.
func openService(s *Server, _ *request) (answer, error) {
	return ok(group("OpenService", field("OrderId", s.number()))), nil
}
