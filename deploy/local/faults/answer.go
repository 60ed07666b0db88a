package faults

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Serve counts the call, lets execute answer it, and breaks the answer if the hook or a rule says so. execute must not keep w; now is asked once.
// The call is in the log before a byte of its answer is on the way: a caller who has an answer finds its call there.
func (s *Set) Serve(w http.ResponseWriter, r *http.Request, call Call, now func() time.Time, execute func(http.ResponseWriter), refuse Refuse) {
	fault, hit := s.ask(r.Context(), call, execute)
	arrived, fault, hit := s.arrive(call, now, fault, hit)
	seen := &watcher{ResponseWriter: w}
	seen.log = sync.OnceFunc(func() { s.log(arrived, seen.status, seen.code) })
	defer seen.log()
	execute = s.landing(call.Action, execute)
	if hit {
		s.carryOut(seen, r, fault, execute, refuse)
		return
	}
	execute(seen)
	seen.status = cmp.Or(seen.status, http.StatusOK)
}

// landing is execute, and behind it the operations that waited for a call of the action.
func (s *Set) landing(action string, execute func(http.ResponseWriter)) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		execute(w)
		var due []late
		s.mu.Lock()
		s.late = slices.DeleteFunc(s.late, func(l late) bool {
			if l.after == action {
				due = append(due, l)
			}
			return l.after == action
		})
		s.mu.Unlock()
		for _, l := range due {
			l.land()
		}
	}
}

func (s *Set) wait(l late) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = append(s.late, l)
}

// NoteCode tells the call log which protocol error a server is answering with. Servers call it from the function that writes
// their errors; on a writer that Serve did not hand out it does nothing.
func NoteCode(w http.ResponseWriter, code string) {
	if seen, ok := w.(*watcher); ok {
		seen.code = code
	}
}

// watcher remembers what a server answered.
type watcher struct {
	http.ResponseWriter
	status int
	code   string
	// log is called before the answer begins.
	log func()
}

func (w *watcher) WriteHeader(status int) {
	w.begin(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *watcher) Write(body []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.ResponseWriter.Write(body)
}

func (w *watcher) begin(status int) {
	w.status = cmp.Or(w.status, status)
	w.log()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *watcher) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// held is an answer that was not sent yet.
type held struct {
	*httptest.ResponseRecorder
	code string
}

// hold takes write's answer instead of sending it.
func hold(write func(http.ResponseWriter)) held {
	recorder := httptest.NewRecorder()
	seen := &watcher{ResponseWriter: recorder, log: func() {}}
	write(seen)
	return held{recorder, seen.code}
}

// carryOut breaks one answer.
func (s *Set) carryOut(w *watcher, r *http.Request, f Fault, execute func(http.ResponseWriter), refuse Refuse) {
	answer := held{ResponseRecorder: httptest.NewRecorder()}
	switch {
	case f.After != "":
		s.wait(late{f.After, func() { hold(execute) }})
	case f.Execute || f.executes():
		answer = hold(execute)
	}
	switch f.Answer {
	case Error:
		answer = hold(func(w http.ResponseWriter) {
			refuse(w, cmp.Or(f.Status, http.StatusBadRequest), f.Code, cmp.Or(f.Message, "injected fault"))
		})
		answer.code = f.Code
	case HTML:
		answer = page("text/html", cmp.Or(f.Status, http.StatusBadGateway),
			"<html><head><title>Bad Gateway</title></head><body>gateway says no</body></html>\n")
	case Empty:
		answer = page("", cmp.Or(f.Status, http.StatusOK), "")
	case WrongType:
		answer = page("text/plain", http.StatusOK, "this is not the answer you are looking for\n")
	case Document:
		answer = page("", cmp.Or(f.Status, http.StatusOK), f.Body)
	case Slow:
		s.pause(r.Context(), f.DelayMillis)
	case Hang:
		s.hang(r.Context())
		abort()
	case Reset:
		abort()
	}
	for name, value := range f.Headers {
		override(answer.Header(), name, value)
	}
	s.send(w, r, f, answer)
}

// override sets a header in the case in which the answer has it, if it does: servers write some in lower case.
func override(header http.Header, name, value string) {
	for own := range header {
		if strings.EqualFold(own, name) {
			header[own] = []string{value}
			return
		}
	}
	header.Set(name, value)
}

// page is an answer that does not come from the server.
func page(contentType string, status int, body string) held {
	return hold(func(w http.ResponseWriter) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}

// send writes the answer as the fault's kind wants it: whole, half or drop by drop.
func (s *Set) send(w *watcher, r *http.Request, f Fault, answer held) {
	body := answer.Body.Bytes()
	if f.Answer == Truncated && len(body) == 0 {
		abort()
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	if len(body) > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.code = answer.code
	w.WriteHeader(answer.Code)
	switch f.Answer {
	case Truncated:
		_, _ = w.Write(body[:len(body)/2])
		flush(w)
		abort()
	case Drip:
		s.drip(r.Context(), w, body, f.DelayMillis)
	default:
		_, _ = w.Write(body)
	}
}

// abort breaks the connection, which net/http makes of this panic by contract.
func abort() { panic(http.ErrAbortHandler) } //nolint:forbidigo // that is the contract

func (s *Set) drip(ctx context.Context, w http.ResponseWriter, body []byte, delayMillis int) {
	for piece := range slices.Chunk(body, 8) {
		if !s.pause(ctx, delayMillis) {
			abort()
		}
		_, _ = w.Write(piece)
		flush(w)
	}
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

func (s *Set) hang(ctx context.Context) {
	count := func(n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hanging += n
	}
	count(1)
	defer count(-1)
	select {
	case <-ctx.Done():
	case <-s.done():
	}
}

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
