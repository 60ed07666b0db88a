package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// receiver is told of jobs' ends.
type receiver struct {
	t      *testing.T
	server *httptest.Server
	mu     sync.Mutex
	// events are the ids of the events by job and round.
	events map[end]map[string]bool
	// held and refused are what hold and refuse have asked for.
	held    *heldCall
	refused bool
}

// end is the end of a job's round.
type end struct {
	job   string
	round int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t, events: map[end]map[string]bool{}}
	r.server = httptest.NewServer(http.HandlerFunc(r.receive))
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) receive(w http.ResponseWriter, req *http.Request) {
	text, err := io.ReadAll(req.Body)
	if err != nil {
		return // the caller was killed
	}
	r.mu.Lock()
	held, refused := r.held, r.refused
	r.held = nil
	r.mu.Unlock()
	if held == nil || held.after {
		r.note(req.Header.Get("Webhook-Id"), text)
	}
	if held != nil {
		close(held.now)
		<-req.Context().Done()
	}
	if refused {
		w.WriteHeader(http.StatusGone)
	}
}

func (r *receiver) note(event string, text []byte) {
	var told struct{ Data job }
	if err := json.Unmarshal(text, &told); err != nil {
		r.t.Errorf("callback: %v: %s", err, text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := end{told.Data.ID, told.Data.Redriven}
	if r.events[e] == nil {
		r.events[e] = map[string]bool{}
	}
	r.events[e][event] = true
}

// hold makes the receiver hold back its next answer until the caller is gone, and returns what tells that it does. after says that the news
// has arrived before.
func (r *receiver) hold(after bool) (held func() bool) {
	one := &heldCall{after: after, now: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = one
	return func() bool {
		select {
		case <-one.now:
			return true
		default:
			return false
		}
	}
}

// refuse makes the receiver say, from now on, that it wants no callbacks, or that it does.
func (r *receiver) refuse(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = on
}

// heldCall is a call whose answer is held back.
type heldCall struct {
	after bool
	// now is closed once the call is there.
	now chan struct{}
}

// knows reports whether the receiver was told of all orders that want it.
func (r *receiver) knows(orders []*order) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := map[string]bool{}
	for e := range r.events {
		told[e.job] = true
	}
	return !slices.ContainsFunc(orders, func(o *order) bool { return o.told && !told[o.id] })
}

// check checks that no round of a job had two ends.
func (r *receiver) check(orders []*order) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for e, ids := range r.events {
		if len(ids) != 1 || !slices.ContainsFunc(orders, func(o *order) bool { return o.told && o.id == e.job }) {
			r.t.Errorf("the receiver was told of %+v by the events %v", e, ids)
		}
	}
}
