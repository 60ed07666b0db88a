// Package faults breaks a local server's answers on purpose, as networks, gateways and the cloud do: errors by code, closed
// connections before and after the operation took effect, hangs, HTML from a proxy, empty and truncated bodies.
//
// A server describes each call it receives and hands it to Set.Serve, which counts it and carries out the first Rule that
// fits. Rules are set in Go (Add) or over HTTP (Handler), so that scripts in any language can use them.
package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
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
	// Truncated is the first half of the real answer under its full Content-Length.
	Truncated Answer = "truncated"
	// WrongType is a 200 whose body is plain text.
	WrongType Answer = "wrong-type"
	// Drip is the real answer, a few bytes at a time with the fault's delay between them.
	Drip Answer = "drip"
	// Slow is the real answer after the fault's delay.
	Slow Answer = "slow"
)

var answers = []Answer{Error, Reset, Hang, HTML, Empty, Truncated, WrongType, Drip, Slow}

// Fault is one way to break one call.
type Fault struct {
	// Answer is what the caller sees.
	Answer Answer `json:"answer"`
	// Execute makes the operation take effect before the answer is broken. Truncated, Drip and Slow always execute.
	Execute bool `json:"execute,omitempty"`
	// Status is the HTTP status of Error (400 when 0), HTML (502) and Empty (200).
	Status int `json:"status,omitempty"`
	// Code is the protocol's error code, for Error.
	Code string `json:"code,omitempty"`
	// Message is the error's text, for Error; a standard text when empty.
	Message string `json:"message,omitempty"`
	// Headers are added to the answer.
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
	// Code is the protocol's error code, empty on success.
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
	calls    []Record
	stopped  chan struct{}
	once     sync.Once
}

// Add puts a rule behind the others and returns its ID. It refuses an unknown answer, negative counts and an Error
// without a code.
func (s *Set) Add(r Rule) (string, error) {
	switch {
	case !slices.Contains(answers, r.Fault.Answer):
		return "", fmt.Errorf("fault answer %q: want one of %v", r.Fault.Answer, answers)
	case r.Fault.Answer == Error && r.Fault.Code == "":
		return "", errors.New("fault answer error: a code is needed")
	case r.Skip < 0 || r.Times < -1 || r.Fault.DelayMillis < 0:
		return "", errors.New("skip, times and delayMillis must not be negative (times -1: for ever)")
	case r.Fault.Status != 0 && (r.Fault.Status < 200 || r.Fault.Status > 599):
		return "", fmt.Errorf("fault status %d: want 200 to 599", r.Fault.Status)
	}
	r.Times = cmp.Or(r.Times, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	r.ID = strconv.Itoa(s.nextID)
	s.rules = append(s.rules, &r)
	return r.ID, nil
}

// Clear removes all rules.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
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

// Calls returns the latest calls, oldest first, at most 20,000 of them.
func (s *Set) Calls() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
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

// Serve counts the call, lets execute answer it, and breaks the answer if a rule says so. execute must not keep w.
func (s *Set) Serve(w http.ResponseWriter, r *http.Request, call Call, at time.Time, execute func(http.ResponseWriter), refuse Refuse) {
	fault, hit := s.pick(call)
	record := Record{Call: call, At: at}
	defer func() { s.log(record) }()
	if !hit {
		seen := &watcher{ResponseWriter: w}
		execute(seen)
		record.Status, record.Code = cmp.Or(seen.status, http.StatusOK), seen.code
		return
	}
	record.Fault, record.Code = fault.Answer, fault.Code
	record.Status = s.carryOut(w, r, fault, execute, refuse)
}

// NoteCode tells the call log which protocol error a server is answering with. Servers call it from the function that writes
// their errors; on a writer that Serve did not hand out it does nothing.
func NoteCode(w http.ResponseWriter, code string) {
	if seen, ok := w.(*watcher); ok {
		seen.code = code
	}
}

// carryOut breaks one answer and returns the status sent, 0 when none was.
func (s *Set) carryOut(w http.ResponseWriter, r *http.Request, f Fault, execute func(http.ResponseWriter), refuse Refuse) int {
	answer := httptest.NewRecorder()
	if f.Execute || f.Answer == Truncated || f.Answer == Drip || f.Answer == Slow {
		execute(answer)
	}
	for name, value := range f.Headers {
		w.Header()[name] = []string{value}
	}
	switch f.Answer {
	case Error:
		status := cmp.Or(f.Status, http.StatusBadRequest)
		refuse(w, status, f.Code, cmp.Or(f.Message, "injected fault"))
		return status
	case HTML:
		status := cmp.Or(f.Status, http.StatusBadGateway)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<html><head><title>%d</title></head><body>gateway says no</body></html>\n", status)
		return status
	case Empty:
		status := cmp.Or(f.Status, http.StatusOK)
		w.WriteHeader(status)
		return status
	case WrongType:
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		fmt.Fprintln(w, "this is not the answer you are looking for")
		return http.StatusOK
	case Slow:
		s.pause(r.Context(), f.DelayMillis)
		copyAnswer(w, answer, answer.Body.Len())
		return answer.Code
	case Truncated:
		copyAnswer(w, answer, answer.Body.Len()/2)
		flush(w)
	case Drip:
		s.drip(w, r, answer, f.DelayMillis)
		return answer.Code
	case Hang:
		select {
		case <-r.Context().Done():
		case <-s.done():
		}
	case Reset:
	}
	// Truncated, Hang and Reset end in a broken connection, which net/http makes of this panic by contract.
	panic(http.ErrAbortHandler)
}

func (s *Set) drip(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder, delayMillis int) {
	copyAnswer(w, answer, 0)
	for piece := range slices.Chunk(answer.Body.Bytes(), 8) {
		if !s.pause(r.Context(), delayMillis) {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(piece)
		flush(w)
	}
}

// copyAnswer sends the headers of the real answer, its full length and the first n bytes of its body.
func copyAnswer(w http.ResponseWriter, answer *httptest.ResponseRecorder, n int) {
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()[:n])
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// pause waits and reports whether the whole time passed.
func (s *Set) pause(ctx context.Context, millis int) bool {
	timer := time.NewTimer(time.Duration(millis) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.done():
	}
	return false
}

// pick counts the call and takes the first rule that hits it.
func (s *Set) pick(call Call) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counters == nil {
		s.counters = map[string]int{}
	}
	s.counters[call.Action]++
	for i, rule := range s.rules {
		if !rule.fits(call) {
			continue
		}
		if rule.Skip > 0 {
			rule.Skip--
			continue
		}
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

func (s *Set) log(record Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) >= logLimit {
		s.calls = slices.Delete(s.calls, 0, logLimit/2)
	}
	s.calls = append(s.calls, record)
}

// watcher remembers what a server answered.
type watcher struct {
	http.ResponseWriter
	status int
	code   string
}

func (w *watcher) WriteHeader(status int) {
	w.status = cmp.Or(w.status, status)
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *watcher) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Handler serves the rules and counters over HTTP:
//
//	GET    /faults   the rules that can still hit a call
//	POST   /faults   one Rule or an array of them; answers their ids
//	DELETE /faults   remove all rules
//	GET    /calls    {"counters": {action: n}, "calls": [Record…]}; ?log=false leaves the calls out
//	DELETE /calls    forget counters and calls
func (s *Set) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Rules()) })
	mux.HandleFunc("POST /faults", s.postFaults)
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		s.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		out := map[string]any{"counters": counts(s.counters)}
		if r.URL.Query().Get("log") != "false" {
			out["calls"] = slices.Clone(s.calls)
		}
		s.mu.Unlock()
		writeJSON(w, http.StatusOK, out)
	})
	mux.HandleFunc("DELETE /calls", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func (s *Set) postFaults(w http.ResponseWriter, r *http.Request) {
	var raw json.RawMessage
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&raw); err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "body is not JSON: " + err.Error()})
		return
	}
	var rules []Rule
	if err := json.Unmarshal(raw, &rules); err != nil {
		rules = make([]Rule, 1)
		if err := json.Unmarshal(raw, &rules[0]); err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": "want a rule or an array of rules: " + err.Error()})
			return
		}
	}
	ids := make([]string, 0, len(rules))
	for i, rule := range rules {
		id, err := s.Add(rule)
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]any{"error": fmt.Sprintf("rule %d: %v", i, err), "added": ids})
			return
		}
		ids = append(ids, id)
	}
	writeJSON(w, http.StatusCreated, map[string]any{"ids": ids})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// counts never returns nil, so that JSON shows an empty object.
func counts(m map[string]int) map[string]int {
	out := make(map[string]int, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
