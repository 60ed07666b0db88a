// Package mnsemu is a local MNS (Simple Message Queue) server: the HTTP protocol 2015-06-06 with queues, topics and
// subscriptions, against which the official SDKs run unchanged. It is strict where the cloud is (signatures, limits, types,
// error codes), keeps what it promised through a kill (a 201 for a send and a 204 for a delete are on disk), takes its time
// from a clock a test can move, and breaks its answers on request (package faults).
//
// An empty answer does not mean an empty queue, as recordings of the service show: a receive misses a visible message one time in nine,
// and answers MessageNotExist or a batch without it. The next receive that has room for the message finds it. There is no order, and a
// long poll that finds nothing ends 7 to 20 percent early. All this, and when a push is tried again, comes from Config.Seed: the same
// calls in the same order have the same outcome, only identifiers are always new. With Config.Calm a receive finds everything, the message
// with the higher priority first (1 is the highest), then the one that has been visible longer, and a long poll waits its full time.
//
// Answers have the recorded form to the byte, as far as it was recorded: headers, declaration, order of elements and of JSON members, receipt
// handles, and a subscription's address without a scheme. Texts of errors are those that clients' own tests and the documents quote.
//
// Beside the protocol it serves /_local/, unsigned, for scripts:
//
//	/_local/faults, /_local/calls            see faults.Set.Handler; actions are the operation names of the protocol
//	GET /_local/queues                       every queue with its attributes and exact counts
//	GET /_local/queues/{queue}/messages      every message with its state; reading changes nothing
//	DELETE /_local/queues/{queue}/messages   purge
//	GET /_local/pushes                       topic messages still to be delivered, with the time of the next attempt
//
// Where the documents leave the service's behaviour open, this server chose:
//
//   - A receive or peek takes visible messages in any order and ignores their priority. A peek misses nothing.
//   - What becomes visible while a long poll waits is found at once. What the poll missed when it began, it finds after a
//     second, so that only a poll of one second ends without it.
//   - A receive may bring a message whose send is not answered yet: what is in memory can be received, what is on disk is confirmed.
//   - A restart forgets what was missed, so a receive before it and one after it can miss the same message.
//   - A message moves to its dead-letter queue when it becomes visible again after MaxReceiveCount receives. There it has a new
//     MessageId and DequeueCount 0, and its retention still counts from the first send. Without the target queue it stays.
//   - MessageBodyMD5 and MessageMD5 are the body's MD5. For a message with UserProperties the service gives another sum; its rule is unknown.
//   - HostId and addresses say http:// to a caller over TLS too, which is inferred and not recorded.
//   - After the signature the server checks, in this order, the account in the host, the date's age, the version and the digest.
//   - The document of an XML notification and of an answer that was not recorded is written like the recorded ones.
//   - A batch send stores its good items and fails the others one by one; a batch over 64 KB is refused as a whole.
//   - A FIFO queue's locks on message groups are not kept: MessageGroupId is stored and returned only.
//   - A queue endpoint of a subscription names a region and an account; both are ignored, since SDKs take them from the host they
//     call, which is a loopback address here.
//   - Pushes to HTTP endpoints go to loopback addresses only. They carry Date and Content-md5 but are not signed (no Authorization, no
//     x-mns-signing-cert-url), since there is no certificate to sign with. Other HTTP endpoints, mail and SMS can be subscribed but get nothing.
//   - A request is dated by its caller's clock, so the 15 minutes of skew are measured against the machine's clock and not
//     against Config.Clock.
//   - Limits that no document names a code for answer TopicNumExceededLimit and SubscriptionNumExceededLimit, by analogy.
package mnsemu

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"sync"

	"go.etcd.io/bbolt"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
)

// Server is one account's queues and topics. It is an http.Handler and safe for concurrent use.
type Server struct {
	config     Config
	clock      clock.Clock
	store      *store
	faults     faults.Set
	local      http.Handler
	operations map[string]operation
	pusher     *http.Client

	// background ends with Close and carries the pushes, which running counts.
	background context.Context
	cancel     context.CancelFunc
	running    sync.WaitGroup
	// stopping is closed by Stop.
	stopping chan struct{}
	stopOnce sync.Once

	// mu guards everything below. Holders do no I/O.
	mu      sync.Mutex
	closed  bool
	random  *mrand.Rand
	last    uint64
	account accountRecord
	queues  map[string]*queue
	topics  map[string]*topic
	pushes  map[uint64]*push
}

// accountRecord is what is stored of the account.
type accountRecord struct {
	// Epoch counts the starts of the server.
	Epoch uint64 `json:"epoch"`
	// SealKey seals receipt handles.
	SealKey       []byte `json:"sealKey"`
	LoggingBucket string `json:"loggingBucket"`
}

// New opens the data directory and loads its state. It fails on a bad Config and when another process holds the directory.
func New(c Config) (*Server, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("mnsemu: %w", err)
	}
	s := &Server{
		config: c, clock: c.Clock, pusher: newPusher(), operations: operations(), stopping: make(chan struct{}),
		random: mrand.New(mrand.NewPCG(c.Seed, 0)),
		queues: map[string]*queue{}, topics: map[string]*topic{}, pushes: map[uint64]*push{},
	}
	var err error
	if s.store, err = openStore(c.Dir, c.NoSync, s.load); err != nil {
		return nil, fmt.Errorf("mnsemu: %w", err)
	}
	s.background, s.cancel = context.WithCancel(context.Background())
	s.local = s.localHandler()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if c.Returns {
			s.giveBack(q)
		}
		s.settle(q)
	}
	for _, p := range s.pushes {
		s.plan(p)
	}
	return s, nil
}

// load reads the file and starts a new epoch in it.
func (s *Server) load(tx *bbolt.Tx) error {
	if tx.Bucket([]byte("meta")) != nil {
		return errors.New("another version of this program wrote it; delete it")
	}
	byNumber := map[uint64]*queue{}
	if err := errors.Join(
		loadAll(tx, accountBucket, func(a *accountRecord) { s.account = *a }),
		loadAll(tx, queueBucket, func(q *queueRecord) {
			s.queues[q.Name] = &queue{queueRecord: *q}
			byNumber[q.Number] = s.queues[q.Name]
		}),
		loadAll(tx, messageBucket, func(m *message) {
			if q := byNumber[m.Queue]; q != nil {
				q.messages = append(q.messages, m)
			}
		}),
		loadAll(tx, topicBucket, func(t *topic) { s.topics[t.Name] = t }),
		loadAll(tx, pushBucket, func(p *push) { s.pushes[p.Number] = p }),
	); err != nil {
		return err
	}
	s.account.Epoch++
	s.last = s.account.Epoch << epochShift
	if s.account.SealKey == nil {
		s.account.SealKey = make([]byte, 32)
		_, _ = rand.Read(s.account.SealKey)
	}
	return apply(tx, []change{stored(accountBucket, accountKey, s.account)})
}

// accountKey is the key of the account's only record.
const accountKey = "account"

// epochShift leaves 2^40 numbers to each start of the server, so that no number is given twice even when the last ones of the
// run before were never written down.
const epochShift = 40

// number is a new identity for a queue, a message, a receipt or a push: larger than any before, also across restarts. The caller holds
// the lock.
func (s *Server) number() uint64 {
	s.last++
	return s.last
}

// nowMillis is the server's time in milliseconds since 1970.
func (s *Server) nowMillis() int64 { return s.clock.Now().UnixMilli() }

// Faults is the script of broken answers, with the counters and the call log.
func (s *Server) Faults() *faults.Set { return &s.faults }

// Stop ends long polls and injected hangs, and lets no new long poll wait, so that an HTTP listener can drain. Everything else
// still works.
func (s *Server) Stop() {
	s.stopOnce.Do(func() { close(s.stopping) })
	s.faults.Stop()
}

// Close stops, ends pushes under way, writes what is not yet on disk and closes the file. Calls after it answer 500.
func (s *Server) Close() error {
	s.Stop()
	s.mu.Lock()
	alreadyClosed := s.closed
	s.closed = true
	for _, q := range s.queues {
		q.stopTimer()
	}
	for _, p := range s.pushes {
		p.stopTimer()
	}
	s.mu.Unlock()
	if alreadyClosed {
		return nil
	}
	s.cancel()
	s.running.Wait()
	s.pusher.CloseIdleConnections()
	return s.store.close()
}
