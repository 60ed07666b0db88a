package mnsemu

import (
	"cmp"
	"slices"
	"time"

	"routinely/deploy/local/clock"
)

// queueRecord is what is stored of a queue. Times are seconds.
type queueRecord struct {
	Name string `json:"name"`
	// Number tells a queue from an earlier one of the same name.
	Number     uint64          `json:"number"`
	Attributes queueAttributes `json:"attributes"`
	Created    int64           `json:"createTime"`
	Modified   int64           `json:"lastModifyTime"`
}

// queueAttributes are what a client can set. Times are seconds.
type queueAttributes struct {
	DelaySeconds           int64
	MaximumMessageSize     int64
	MessageRetentionPeriod int64
	VisibilityTimeout      int64
	PollingWaitSeconds     int64
	LoggingEnabled         bool
}

// queue is the working state of one queue.
type queue struct {
	queueRecord
	// messages are all of the queue's, by number.
	messages []*message
	// polls are the receives under way, oldest first.
	polls []*poll
	// timer calls settle when something must happen without a call; see arm.
	timer clock.Timer
}

// poll is one receive, which may wait. Times are milliseconds.
type poll struct {
	limit int
	// until is when it ends without a message; again, when it also finds what it missed at its first look.
	until, again int64
	// looked is set after the first look. Only that one misses messages: what becomes visible during a poll is found at once.
	looked bool
	// taken are the messages as the receive left them. done is closed when there are some, when the time is over, or when the queue is
	// deleted.
	taken []message
	done  chan struct{}
}

// message is one message of one queue. Times are milliseconds.
type message struct {
	Queue  uint64 `json:"queue"`
	Number uint64 `json:"number"`
	ID     string `json:"id"`
	Body   string `json:"body"`
	MD5    string `json:"md5"`
	// Priority is 1, the most urgent, to 16.
	Priority int64      `json:"priority"`
	GroupID  string     `json:"groupId,omitempty"`
	System   []property `json:"systemProperties,omitempty"`
	User     []property `json:"userProperties,omitempty"`
	Enqueued int64      `json:"enqueueTime"`
	// Visible is when the message can be received next, First when it was for the first time, 0 for never.
	Visible  int64 `json:"nextVisibleTime"`
	First    int64 `json:"firstDequeueTime,omitempty"`
	Dequeues int64 `json:"dequeueCount"`
	// Receipt is the number in the oldest handle that is still accepted, 0 for none. Changing the visibility gives a new handle but keeps
	// the one before (the PHP SDK's own tests delete with it); the next receive ends both.
	Receipt uint64 `json:"receipt,omitempty"`
	// missedBy is the receive that missed the message since it became visible, nil for none. It is not stored.
	missedBy *poll
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Type  string `json:"type"`
}

func (m *message) key() string { return key(m.Queue) + "/" + key(m.Number) }

// state is the service's word for what can be done with the message.
func (m *message) state(now int64) string {
	switch {
	case m.Visible <= now:
		return "active"
	case m.Dequeues == 0:
		return "delayed"
	}
	return "inactive"
}

// counts are how many messages are in each state.
func (q *queue) counts(now int64) map[string]int {
	counts := map[string]int{}
	for _, m := range q.messages {
		counts[m.state(now)]++
	}
	return counts
}

// insert adds a new message to a queue. The caller settles the queue after it.
func (s *Server) insert(q *queue, m *message) {
	m.Queue, m.Number = q.Number, s.number()
	q.messages = append(q.messages, m)
	s.keep(m)
}

// keep stores what changed of a message.
func (s *Server) keep(m *message) { s.store.put(messageBucket, m.key(), m) }

// drop deletes the messages of a queue for which unwanted is true.
func (s *Server) drop(q *queue, unwanted func(*message) bool) {
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool {
		if !unwanted(m) {
			return false
		}
		s.store.remove(messageBucket, m.key())
		return true
	})
}

// giveBack makes visible what was received.
func (s *Server) giveBack(q *queue) {
	now := s.nowMillis()
	for _, m := range q.messages {
		if m.state(now) == "inactive" {
			m.Visible, m.Receipt = now, 0
			s.keep(m)
		}
	}
}

// settle brings a queue to the present: drops what expired, moves dead letters, serves receives and sets the timer for what comes next.
// Everything that reads or has changed a queue calls it; the caller holds the lock.
func (s *Server) settle(q *queue) {
	now := s.nowMillis()
	s.drop(q, func(m *message) bool { return m.Enqueued+q.Attributes.MessageRetentionPeriod*1000 <= now })
	s.bury(q, now)
	q.polls = slices.DeleteFunc(q.polls, func(p *poll) bool {
		s.take(q, p, now)
		if len(p.taken) == 0 && now < p.until {
			return false
		}
		close(p.done)
		return true
	})
	s.arm(q, now)
}

// take receives for a poll. What an earlier receive missed comes first and is not missed again; what the poll itself missed it leaves
// to others until it looks again.
func (s *Server) take(q *queue, p *poll, now int64) {
	for _, m := range s.visible(q, now) {
		if len(p.taken) == p.limit {
			break
		}
		if !p.looked && m.missedBy == nil && s.misses() {
			m.missedBy = p
		}
		if m.missedBy == p && now < p.again {
			continue
		}
		m.Visible = now + q.Attributes.VisibilityTimeout*1000
		m.First = cmp.Or(m.First, now)
		m.Dequeues++
		m.Receipt, m.missedBy = s.number(), nil
		s.keep(m)
		p.taken = append(p.taken, *m)
	}
	p.looked = true
}

// visible are the messages that can be received, in the order in which that happens. On a calm server it is the more urgent first, then
// what has been visible longer. Otherwise there is none, but what was missed comes first.
func (s *Server) visible(q *queue, now int64) []*message {
	var found []*message
	for _, m := range q.messages {
		if m.Visible <= now {
			found = append(found, m)
		}
	}
	if s.config.Calm {
		slices.SortFunc(found, func(a, b *message) int {
			return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Visible, b.Visible), cmp.Compare(a.Number, b.Number))
		})
		return found
	}
	s.random.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	missed := slices.DeleteFunc(slices.Clone(found), func(m *message) bool { return m.missedBy == nil })
	return append(missed, slices.DeleteFunc(found, func(m *message) bool { return m.missedBy != nil })...)
}

// arm sets the timer of a queue for what must happen without a call: a long poll ends or looks again, or a message becomes visible for a
// long poll or for the dead-letter queue.
func (s *Server) arm(q *queue, now int64) {
	q.stopTimer()
	var next int64
	consider := func(at int64) {
		if at > now && (next == 0 || at < next) {
			next = at
		}
	}
	for _, p := range q.polls {
		consider(p.until)
		consider(p.again)
	}
	if _, buries := s.config.DeadLetter[q.Name]; buries || len(q.polls) > 0 {
		for _, m := range q.messages {
			consider(m.Visible)
		}
	}
	if next == 0 || s.closed {
		return
	}
	q.timer = s.clock.AfterFunc(time.Duration(next-now)*time.Millisecond, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.queues[q.Name] == q && !s.closed {
			s.settle(q)
		}
	})
}

func (q *queue) stopTimer() {
	if q.timer != nil {
		q.timer.Stop()
	}
}

// bury moves the messages that have been received as often as the queue allows to the dead-letter queue, if there is one.
func (s *Server) bury(q *queue, now int64) {
	policy, buries := s.config.DeadLetter[q.Name]
	target := s.queues[policy.TargetQueue]
	if !buries || target == nil {
		return
	}
	isDead := func(m *message) bool { return m.Visible <= now && m.Dequeues >= int64(policy.MaxReceiveCount) }
	moved := false
	for _, m := range q.messages {
		if !isDead(m) {
			continue
		}
		dead := *m
		dead.System = append(slices.Clone(m.System),
			property{"DLQMessageType", "MaxReceiveCountExceeded", "STRING"},
			property{"DLQSourceArn", "acs:mns:" + localRegion + ":" + s.config.AccountID + ":queues/" + q.Name, "STRING"},
			property{"DLQOriginMessageId", m.ID, "STRING"})
		dead.ID, dead.Visible, dead.First, dead.Dequeues, dead.Receipt, dead.missedBy = newID(), now, 0, 0, 0, nil
		// It is added before it is dropped here, so that a kill between the two loses nothing.
		s.insert(target, &dead)
		moved = true
	}
	if moved {
		s.drop(q, isDead)
		s.settle(target)
	}
}

// localRegion stands where the cloud names a region.
const localRegion = "cn-local"
