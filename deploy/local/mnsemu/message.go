package mnsemu

import (
	"container/heap"
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
)

// messageRecord is what never changes about a message. Times are milliseconds.
type messageRecord struct {
	ID       string `json:"id"`
	Body     string `json:"body"`
	MD5      string `json:"md5"`
	Priority int64  `json:"priority"`
	Enqueued int64  `json:"enqueued"`
	// Visible is when the message is first visible, after its delay.
	Visible int64 `json:"visible"`
	// Receipt is the number in the handle a delayed send returned, 0 when there was none.
	Receipt uint64     `json:"receipt,omitempty"`
	GroupID string     `json:"groupId,omitempty"`
	System  []property `json:"system,omitempty"`
	User    []property `json:"user,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Type  string `json:"type"`
}

// lease is what receiving changes about a message. It is written without waiting: after a kill the last receives may be
// forgotten, and the messages come again.
type lease struct {
	visible  int64
	first    int64
	dequeues int64
	// receipt is the number in the oldest handle that is still accepted. Changing the visibility gives a new handle but keeps
	// the one before (the PHP SDK's own tests delete with it); the next receive ends both.
	receipt uint64
}

func (l lease) encode() []byte {
	return key(uint64(l.visible), uint64(l.first), uint64(l.dequeues), l.receipt)
}

func decodeLease(b []byte) *lease {
	if len(b) != 32 {
		return nil
	}
	n := binary.BigEndian.Uint64
	return &lease{visible: int64(n(b)), first: int64(n(b[8:])), dequeues: int64(n(b[16:])), receipt: n(b[24:])}
}

// message is one message of one queue.
type message struct {
	messageRecord
	lease
	queue, number uint64
	// waits says that the message is in its queue's waiting order, not in the ready one.
	waits bool
	// missedBy is the receive that missed the message since it became visible, nil for none. It is not stored.
	missedBy *poll
	// at is the message's index in the orders it is in.
	at [2]int
}

func (m *message) key() []byte { return key(m.queue, m.number) }

// state is the service's word for what can be done with the message.
func (m *message) state(now int64) string {
	switch {
	case m.visible <= now:
		return "active"
	case m.dequeues == 0:
		return "delayed"
	}
	return "inactive"
}

func (m *message) stored() change { return putRecord(messageBucket, m.key(), &m.messageRecord) }

func (m *message) leased() change {
	return change{bucket: messageBucket, key: leaseKey(m.queue, m.number), value: m.lease.encode()}
}

func (m *message) removed() []change {
	return []change{{bucket: messageBucket, key: m.key()}, {bucket: messageBucket, key: leaseKey(m.queue, m.number)}}
}

// newMessageID is 32 upper-case hex digits, as the service gives them today.
func newMessageID() string { return randomHex() }

// randomHex is 128 random bits.
func randomHex() string { return upperHex(key(rand.Uint64(), rand.Uint64())) }

// bodyMD5 is the MD5 of the body as it was received, in upper-case hex.
func bodyMD5(body string) string {
	sum := md5.Sum([]byte(body))
	return upperHex(sum[:])
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// Slots of message.at.
const (
	turnSlot = iota // ready or waiting
	ageSlot
)

// order is a heap of messages that can also lose one from its middle. It implements heap.Interface.
type order struct {
	messages []*message
	slot     int
	before   func(a, b *message) bool
}

func (o *order) Len() int           { return len(o.messages) }
func (o *order) Less(i, j int) bool { return o.before(o.messages[i], o.messages[j]) }

func (o *order) Swap(i, j int) {
	o.messages[i], o.messages[j] = o.messages[j], o.messages[i]
	o.messages[i].at[o.slot], o.messages[j].at[o.slot] = i, j
}

// Push implements heap.Interface.
func (o *order) Push(x any) {
	m := x.(*message)
	m.at[o.slot] = len(o.messages)
	o.messages = append(o.messages, m)
}

// Pop implements heap.Interface.
func (o *order) Pop() any {
	last := len(o.messages) - 1
	m := o.messages[last]
	o.messages[last] = nil
	o.messages = o.messages[:last]
	return m
}

// first is the message to come first, nil when there is none.
func (o *order) first() *message {
	if len(o.messages) == 0 {
		return nil
	}
	return o.messages[0]
}

func (o *order) add(m *message)    { heap.Push(o, m) }
func (o *order) remove(m *message) { heap.Remove(o, m.at[o.slot]) }

// byUrgency is the order of receiving, as far as there is one: what was missed, then priority, then how long it has been visible.
func byUrgency(a, b *message) bool {
	switch {
	case (a.missedBy != nil) != (b.missedBy != nil):
		return a.missedBy != nil
	case a.Priority != b.Priority:
		return a.Priority < b.Priority
	case a.visible != b.visible:
		return a.visible < b.visible
	}
	return a.number < b.number
}

func byVisibility(a, b *message) bool { return a.visible < b.visible }
func byAge(a, b *message) bool        { return a.Enqueued < b.Enqueued }

// sealer makes receipt handles. They look like the recorded ones: the MessageId, a hyphen, and in standard base64 some plain text of 49 to 54
// bytes, so that every length of padding occurs. The text holds the numbers of the message and of the receipt, and a seal over them, the
// MessageId and the queue's number, so that a handle that was never issued for this queue is recognized.
type sealer struct{ macs *macs }

func (s sealer) handle(queue uint64, id string, number, receipt uint64) string {
	numbers := fmt.Sprintf("%016x %016x", number, receipt)
	sum := s.macs.sum(append(key(queue), id+numbers...))
	seal := hex.EncodeToString(sum)[:15+sum[len(sum)-1]%6]
	return id + "-" + base64.StdEncoding.EncodeToString([]byte(numbers+" "+seal))
}

// open returns the numbers in a handle and whether this server issued it for the queue.
func (s sealer) open(queue uint64, handle string) (number, receipt uint64, issued bool) {
	id, encoded, _ := strings.Cut(handle, "-")
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return 0, 0, false
	}
	if _, err := fmt.Sscanf(string(text), "%x %x", &number, &receipt); err != nil {
		return 0, 0, false
	}
	return number, receipt, hmac.Equal([]byte(handle), []byte(s.handle(queue, id, number, receipt)))
}
