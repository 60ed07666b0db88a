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
	Created    int64           `json:"created"`
	Modified   int64           `json:"modified"`
}

// queueAttributes are what a client can set. Times are seconds.
type queueAttributes struct {
	DelaySeconds           int64 `json:"DelaySeconds"`
	MaximumMessageSize     int64 `json:"MaximumMessageSize"`
	MessageRetentionPeriod int64 `json:"MessageRetentionPeriod"`
	VisibilityTimeout      int64 `json:"VisibilityTimeout"`
	PollingWaitSeconds     int64 `json:"PollingWaitSeconds"`
	LoggingEnabled         bool  `json:"LoggingEnabled"`
}

// queue is the working state of one queue. Every message is in byAge and in one of ready and waiting.
type queue struct {
	queueRecord
	messages map[uint64]*message
	ready    order
	waiting  order
	ages     order
	// delayed is how many of waiting were never received.
	delayed int
	// polls are the long polls under way, oldest first.
	polls []*poll
	// timer calls when the first of waiting is due; armed is that time.
	timer clock.Timer
	armed int64
}

// poll is one receive, which may wait. done is closed when messages were taken for it, or when its queue is deleted; over when its
// time is.
type poll struct {
	limit int
	// looked is set after the first look. Only that one misses messages: what becomes visible during a poll is found at once. again is
	// set once the poll also finds what it missed.
	looked, again bool
	taken         []delivery
	done, over    chan struct{}
}

// delivery is a message as one receive or peek saw it.
type delivery struct {
	*message
	lease
	handle uint64
}

func newQueue(r queueRecord) *queue {
	return &queue{
		queueRecord: r,
		messages:    map[uint64]*message{},
		ready:       order{slot: turnSlot, before: byUrgency},
		waiting:     order{slot: turnSlot, before: byVisibility},
		ages:        order{slot: ageSlot, before: byAge},
	}
}

func (q *queue) stored() change { return putRecord(queueBucket, []byte(q.Name), &q.queueRecord) }

// removed drops the queue and whatever the file holds of its messages.
func (q *queue) removed() []change {
	return []change{
		{bucket: queueBucket, key: []byte(q.Name)},
		{bucket: messageBucket, key: key(q.Number), prefix: true},
	}
}

// insert adds a message that is new to the queue.
func (q *queue) insert(m *message, now int64) {
	q.messages[m.number] = m
	q.ages.add(m)
	q.place(m, now)
}

// place puts a message where its visibility says.
func (q *queue) place(m *message, now int64) {
	m.waits = m.visible > now
	if !m.waits {
		q.ready.add(m)
		return
	}
	q.waiting.add(m)
	if m.dequeues == 0 {
		q.delayed++
	}
}

// displace takes a message out of ready or waiting.
func (q *queue) displace(m *message) {
	if !m.waits {
		q.ready.remove(m)
		return
	}
	q.waiting.remove(m)
	if m.dequeues == 0 {
		q.delayed--
	}
}

func (q *queue) drop(m *message) {
	delete(q.messages, m.number)
	q.ages.remove(m)
	q.displace(m)
}

// expired takes out and returns one message whose retention is over, nil when there is none.
func (q *queue) expired(now int64) *message {
	m := q.ages.first()
	if m == nil || m.Enqueued+q.Attributes.MessageRetentionPeriod*1000 > now {
		return nil
	}
	q.drop(m)
	return m
}

// due takes out of waiting and returns one message that has become visible, nil when there is none.
func (q *queue) due(now int64) *message {
	m := q.waiting.first()
	if m == nil || m.visible > now {
		return nil
	}
	q.displace(m)
	return m
}

// receive hides a message that was taken out of ready and gives it a receipt.
func (q *queue) receive(m *message, now int64, receipt uint64) delivery {
	m.visible = now + q.Attributes.VisibilityTimeout*1000
	m.first = cmp.Or(m.first, now)
	m.dequeues++
	m.receipt, m.missedBy = receipt, nil
	q.place(m, now)
	return delivery{m, m.lease, receipt}
}

// peek shows up to limit ready messages.
func (q *queue) peek(limit int, d disorder) []delivery {
	var out []delivery
	for range min(limit, q.ready.Len()) {
		m := q.ready.messages[d.pick(q.ready.Len())]
		q.ready.remove(m)
		out = append(out, delivery{message: m, lease: m.lease})
	}
	for _, d := range out {
		q.ready.add(d.message)
	}
	return out
}

func (q *queue) endPoll(p *poll) {
	if i := slices.Index(q.polls, p); i >= 0 {
		q.polls = slices.Delete(q.polls, i, i+1)
	}
}

func (q *queue) stopTimer() {
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
}

// settle brings a queue to the present: drops what expired, shows what is due, moves dead letters, serves long polls and sets the
// timer for what comes next. Everything that reads or has changed a queue calls it; the caller holds the lock.
func (s *Server) settle(q *queue) {
	now := s.nowMillis()
	for m := q.expired(now); m != nil; m = q.expired(now) {
		s.store.add(m.removed()...)
	}
	for m := q.due(now); m != nil; m = q.due(now) {
		if !s.bury(q, m, now) {
			q.place(m, now)
		}
	}
	q.polls = slices.DeleteFunc(q.polls, func(p *poll) bool {
		if p.taken = s.take(q, p, now); len(p.taken) == 0 {
			return false
		}
		close(p.done)
		return true
	})
	s.arm(q, now)
}

// take receives for p from a settled queue. What an earlier receive missed comes first and is not missed again; what p itself missed
// it leaves to others until it looks again.
func (s *Server) take(q *queue, p *poll, now int64) []delivery {
	var taken []delivery
	var missed []*message
	for len(taken) < p.limit && q.ready.Len() > 0 {
		m := q.ready.first()
		if m.missedBy == nil {
			m = q.ready.messages[s.disorder.pick(q.ready.Len())]
		}
		q.ready.remove(m)
		if !p.looked && m.missedBy == nil && s.disorder.misses() {
			m.missedBy = p
		}
		if m.missedBy == p && !p.again {
			missed = append(missed, m)
			continue
		}
		taken = append(taken, q.receive(m, now, s.number()))
		s.store.add(m.leased())
	}
	for _, m := range missed {
		q.ready.add(m)
	}
	p.looked = true
	return taken
}

// lookAgain lets a poll find what it missed.
func (s *Server) lookAgain(q *queue, p *poll) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.again = true
	if s.queues[q.Name] == q && !s.closed {
		s.settle(q)
	}
}

// arm sets the timer of a queue where somebody would miss that a message becomes visible: a long poll, or a dead-letter queue.
func (s *Server) arm(q *queue, now int64) {
	_, buries := s.config.DeadLetter[q.Name]
	next := q.waiting.first()
	if s.closed || next == nil || (len(q.polls) == 0 && !buries) {
		q.stopTimer()
		return
	}
	at := next.visible
	if q.timer != nil && q.armed == at {
		return
	}
	q.stopTimer()
	q.armed = at
	q.timer = s.clock.AfterFunc(time.Duration(at-now)*time.Millisecond, func() { s.alarm(q, at) })
}

// alarm settles a queue when its timer is due.
func (s *Server) alarm(q *queue, at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[q.Name] != q || s.closed {
		return
	}
	if q.armed == at {
		q.timer = nil
	}
	s.settle(q)
}

// bury moves a message that has been received as often as its queue allows to the dead-letter queue, and reports whether it
// did. The message is in neither ready nor waiting. The caller holds the lock.
func (s *Server) bury(q *queue, m *message, now int64) bool {
	policy, ok := s.config.DeadLetter[q.Name]
	target := s.queues[policy.TargetQueue]
	if !ok || target == nil || m.dequeues < int64(policy.MaxReceiveCount) {
		return false
	}
	delete(q.messages, m.number)
	q.ages.remove(m)
	dead := &message{messageRecord: m.messageRecord, queue: target.Number, number: s.number()}
	dead.ID, dead.Receipt, dead.Visible = newMessageID(), 0, now
	dead.visible = now
	dead.System = append(slices.Clone(m.System),
		property{"DLQMessageType", "MaxReceiveCountExceeded", "STRING"},
		property{"DLQSourceArn", "acs:mns:" + localRegion + ":" + s.config.AccountID + ":queues/" + q.Name, "STRING"},
		property{"DLQOriginMessageId", m.ID, "STRING"})
	s.store.add(append(m.removed(), dead.stored())...)
	target.insert(dead, now)
	s.settle(target)
	return true
}

// localRegion stands where the cloud names a region.
const localRegion = "cn-local"

// restore fills the working state from the file. Messages of a queue that was deleted while they were being sent are dropped.
func (s *Server) restore(im *image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	byNumber := map[uint64]*queue{}
	for _, r := range im.queues {
		q := newQueue(r)
		s.queues[r.Name], byNumber[r.Number] = q, q
	}
	now := s.nowMillis()
	for _, stored := range im.messages {
		m := &message{messageRecord: stored.record, queue: stored.queue, number: stored.number}
		m.lease = lease{visible: m.Visible, receipt: m.Receipt}
		if stored.lease != nil {
			m.lease = *stored.lease
		}
		q := byNumber[m.queue]
		if q == nil {
			s.store.add(m.removed()...)
			continue
		}
		q.insert(m, now)
	}
	for _, q := range s.queues {
		s.settle(q)
	}
	s.restoreTopics(im)
}
