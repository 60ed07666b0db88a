// Package faults breaks a local server's answers on purpose, as networks, gateways and the cloud do: errors by code, closed
// connections before and after the operation took effect, hangs, HTML from a proxy, empty and truncated bodies.
//
// A server describes each call it receives and hands it to Set.Serve, which counts it and carries out the first Rule that
// fits. Rules are set in Go (Add) or over HTTP (Handler), so that scripts in any language can use them.
package faults

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Answer is what the caller sees of a broken call.
type Answer string

// The answers a fault can give.
const (
	// Error is a well-formed error of the server's protocol, with the fault's status, code, message and headers.
	Error Answer = "error"
	// Reset closes the connection without a byte of an answer.
	Reset Answer = "reset"
	// Hang gives no answer until the caller goes away or the server stops.
	Hang Answer = "hang"
	// HTML is a proxy's error page, 502 unless the fault says otherwise.
	HTML Answer = "html"
	// Empty is a 200, or the fault's status, without a body.
	Empty Answer = "empty"
	// Truncated is the first half of the real answer under its full Content-Length; a real answer without a body is cut
	// before its first byte.
	Truncated Answer = "truncated"
	// WrongType is a 200 whose body is plain text.
	WrongType Answer = "wrong-type"
	// Document is a 200, or the fault's status, with the fault's body: a well-formed document that answers something else.
	Document Answer = "document"
	// Drip is the real answer, a few bytes at a time with the fault's delay between them.
	Drip Answer = "drip"
	// Slow is the real answer after the fault's delay.
	Slow Answer = "slow"
)

var answers = []Answer{Error, Reset, Hang, HTML, Empty, Truncated, WrongType, Document, Drip, Slow}

// Fault is one way to break one call.
type Fault struct {
	// Answer is what the caller sees.
	Answer Answer `json:"answer"`
	// Execute makes the operation take effect before the answer is broken. Truncated, Drip and Slow always execute.
	Execute bool `json:"execute,omitempty"`
	// After is an action: the operation takes effect after the next call of it was carried out, before that call is answered. So a create
	// can land after a delete, or after a look that did not find it. Not with Execute, and not with an answer that always executes.
	After string `json:"after,omitempty"`
	// Status is the HTTP status of Error (400 when 0), HTML (502), Empty and Document (200).
	Status int `json:"status,omitempty"`
	// Code is the protocol's error code, for Error.
	Code string `json:"code,omitempty"`
	// Message is the error's text, for Error; a standard text when empty.
	Message string `json:"message,omitempty"`
	// Body is the body of Document, which may need Headers for its type.
	Body string `json:"body,omitempty"`
	// Headers are set on the answer, over its own of the same name; a broken connection has none.
	Headers map[string]string `json:"headers,omitempty"`
	// DelayMillis is the pause of Slow (before the answer) and Drip (between its pieces), in milliseconds.
	DelayMillis int `json:"delayMillis,omitempty"`
}

// Rule says which calls a Fault hits.
type Rule struct {
	// ID is given by Add.
	ID string `json:"id"`
	// Action is the protocol's name of the operation; empty means every operation.
	Action string `json:"action,omitempty"`
	// Match lists parameters of the call that must be equal.
	Match map[string]string `json:"match,omitempty"`
	// Skip lets that many fitting calls pass first.
	Skip int `json:"skip,omitempty"`
	// Every hits the first of each so many fitting calls after Skip; 0 and 1 mean all of them.
	Every int `json:"every,omitempty"`
	// Times is how many calls are hit: 0 means one, -1 all.
	Times int `json:"times,omitempty"`
	// Fault is what happens to them.
	Fault Fault `json:"fault"`
}

// Call is one operation that reached a server.
type Call struct {
	// Action is the protocol's name of the operation, such as CreateRoutine or SendMessage.
	Action string `json:"action"`
	// Params are the parameters a Rule can match and a reader wants to see; no secrets.
	Params map[string]string `json:"params,omitempty"`
}

// Record is a Call with what became of it.
type Record struct {
	Call
	// At is when the call arrived.
	At time.Time `json:"at"`
	// Status is the HTTP status answered; 0 when the connection was closed without one.
	Status int `json:"status"`
	// Code is the protocol's error code in the answer, empty on success and where no code was sent.
	Code string `json:"code,omitempty"`
	// Fault is the answer of the rule that hit the call, empty when none did.
	Fault Answer `json:"fault,omitempty"`
}

// Refuse writes an error in the server's own protocol.
type Refuse func(w http.ResponseWriter, status int, code, message string)

// logLimit bounds the calls kept for Calls; counters are never cut.
const logLimit = 20000

// Set holds a server's rules, counters and call log. Its zero value is ready to use and it is safe for concurrent use.
type Set struct {
	mu       sync.Mutex
	nextID   int
	rules    []*Rule
	counters map[string]int
	calls    []*entry
	late     []late
	hanging  int
	hook     Hook
	stopped  chan struct{}
	once     sync.Once
}

// late is an operation that was called and takes effect after a call of another action.
type late struct {
	after string
	land  func()
}

// Add puts a rule behind the others and returns its ID. It refuses an unknown answer, negative counts, an Error
// without a code, a Document without a body, and an operation that would take effect twice.
func (s *Set) Add(r Rule) (string, error) {
	if err := r.check(); err != nil {
		return "", err
	}
	return s.add(r), nil
}

func (s *Set) add(r Rule) string {
	r.Times = cmp.Or(r.Times, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	r.ID = strconv.Itoa(s.nextID)
	s.rules = append(s.rules, &r)
	return r.ID
}

// Clear removes all rules, and forgets operations that wait for a call to take effect.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.late = nil, nil
}

// Rules returns the rules that can still hit a call.
func (s *Set) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Rule, 0, len(s.rules))
	for _, r := range s.rules {
		out = append(out, *r)
	}
	return out
}

// Count is how many calls of an action arrived since the start or the last Reset, refused ones included.
func (s *Set) Count(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters[action]
}

// Calls returns the latest calls that were answered, in the order in which they arrived, at most 20,000 of them.
func (s *Set) Calls() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Record, 0, len(s.calls))
	for _, e := range s.calls {
		if e.answered {
			out = append(out, e.Record)
		}
	}
	return out
}

// Hanging is how many calls hang right now; what they were to do first is done.
func (s *Set) Hanging() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hanging
}

// Reset forgets counters and calls; rules stay.
func (s *Set) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters, s.calls = nil, nil
}

// Stop ends every Hang, Slow and Drip under way, so that a server can close. It may be called more than once.
func (s *Set) Stop() {
	done := s.done()
	s.once.Do(func() { close(done) })
}

func (s *Set) done() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped == nil {
		s.stopped = make(chan struct{})
	}
	return s.stopped
}

// check is the error Add refuses the rule with.
func (r *Rule) check() error {
	switch {
	case !slices.Contains(answers, r.Fault.Answer):
		return fmt.Errorf("fault answer %q: want one of %v", r.Fault.Answer, answers)
	case r.Fault.Answer == Error && r.Fault.Code == "":
		return errors.New("fault answer error: a code is needed")
	case r.Fault.After != "" && (r.Fault.Execute || r.Fault.executes()):
		return errors.New("after: the operation would take effect now as well")
	case (r.Fault.Answer == Document) != (r.Fault.Body != ""):
		return errors.New("body: answer document needs it, no other may have it")
	case r.Skip < 0 || r.Every < 0 || r.Times < -1 || r.Fault.DelayMillis < 0:
		return errors.New("skip, every, times and delayMillis must not be negative (times -1: for ever)")
	case r.Fault.Status != 0 && (r.Fault.Status < 200 || r.Fault.Status > 599):
		return fmt.Errorf("fault status %d: want 200 to 599", r.Fault.Status)
	}
	return nil
}

// executes reports whether the fault's answer is made of the real one.
func (f Fault) executes() bool { return f.Answer == Truncated || f.Answer == Drip || f.Answer == Slow }

// entry is a call's place in the log: calls are answered in another order than they arrive in.
type entry struct {
	Record
	answered bool
}

// arrive counts the call, gives it its place in the log, and takes the first rule that hits it, unless it is broken anyway.
func (s *Set) arrive(call Call, now func() time.Time, fault Fault, hit bool) (*entry, Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counters == nil {
		s.counters = map[string]int{}
	}
	s.counters[call.Action]++
	if !hit {
		fault, hit = s.pick(call)
	}
	if len(s.calls) >= logLimit {
		s.calls = slices.Delete(s.calls, 0, logLimit/2)
	}
	e := &entry{Record: Record{Call: call, At: now(), Fault: fault.Answer}}
	s.calls = append(s.calls, e)
	return e, fault, hit
}

// log shows a call in the log, with its answer.
func (s *Set) log(e *entry, status int, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Status, e.Code, e.answered = status, code, true
}

func (s *Set) pick(call Call) (Fault, bool) {
	for i, rule := range s.rules {
		if !rule.fits(call) {
			continue
		}
		if rule.Skip > 0 {
			rule.Skip--
			continue
		}
		rule.Skip = max(rule.Every-1, 0)
		if rule.Times > 0 {
			rule.Times--
			if rule.Times == 0 {
				s.rules = slices.Delete(s.rules, i, i+1)
			}
		}
		return rule.Fault, true
	}
	return Fault{}, false
}

func (r *Rule) fits(call Call) bool {
	if r.Action != "" && r.Action != call.Action {
		return false
	}
	for name, value := range r.Match {
		if call.Params[name] != value {
			return false
		}
	}
	return true
}
