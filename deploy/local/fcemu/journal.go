package fcemu

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// journalLimit is how many invocations are kept.
	journalLimit = 1000
	// resultLimit is how much of a result is kept in the journal, in bytes.
	resultLimit = 4 << 10
)

// journal keeps the latest invocations and counts all of them. Its zero value is ready to use.
type journal struct {
	mu       sync.Mutex
	latest   []Invocation
	counters map[string]*Counters
}

// Counters are a function's invocations since the start.
type Counters struct {
	// Invocations is all of them, refused ones included; Errors those that failed for any reason.
	Invocations int `json:"invocations"`
	Errors      int `json:"errors"`
	// Failed, Timeouts, Exits, StartFailures and Throttled split the errors by their kind.
	Failed        int `json:"failed"`
	Timeouts      int `json:"timeouts"`
	Exits         int `json:"exits"`
	StartFailures int `json:"startFailures"`
	Throttled     int `json:"throttled"`
	// ColdStarts is how many invocations started an instance.
	ColdStarts int `json:"coldStarts"`
}

func (j *journal) add(i Invocation) {
	if len(i.Result) > resultLimit {
		i.Result = slices.Clone(i.Result[:resultLimit])
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.latest) == 2*journalLimit {
		j.latest = slices.Delete(j.latest, 0, journalLimit)
	}
	j.latest = append(j.latest, i)
	if j.counters == nil {
		j.counters = map[string]*Counters{}
	}
	c := j.counters[i.Function]
	if c == nil {
		c = &Counters{}
		j.counters[i.Function] = c
	}
	c.add(i)
}

func (c *Counters) add(i Invocation) {
	c.Invocations++
	if i.ColdStart {
		c.ColdStarts++
	}
	if i.Err == nil {
		return
	}
	c.Errors++
	switch i.Err.Kind {
	case FunctionFailed:
		c.Failed++
	case TimedOut:
		c.Timeouts++
	case Exited:
		c.Exits++
	case StartFailed:
		c.StartFailures++
	case Throttled:
		c.Throttled++
	}
}

// Invocations returns the latest 1,000 invocations, oldest first. Their results are cut to 4 KB.
func (s *Server) Invocations() []Invocation {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return slices.Clone(s.journal.latest[max(0, len(s.journal.latest)-journalLimit):])
}

// Counters returns a function's counters; all zero for one that was never invoked.
func (s *Server) Counters(function string) Counters {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	if c := s.journal.counters[function]; c != nil {
		return *c
	}
	return Counters{}
}

// Instances returns the instances whose processes may be alive.
func (s *Server) Instances() []Instance {
	list := []Instance{}
	for _, f := range s.functions {
		list = f.list(list)
	}
	return list
}

// KillInstance kills (SIGKILL) one instance of a function, a busy one if there is one, waits until it is gone and returns its
// process id. It is an error when the function does not exist or has no instance.
func (s *Server) KillInstance(function string) (pid int, err error) {
	f := s.functions[function]
	if f == nil {
		return 0, notFoundError(function)
	}
	in := f.victim()
	if in == nil {
		return 0, fmt.Errorf("function %q has no instance", function)
	}
	pid = in.process.pid()
	in.destroy()
	return pid, nil
}

// invocationView is an Invocation as /_local/invocations shows it.
type invocationView struct {
	Function       string    `json:"function"`
	RequestID      string    `json:"requestId"`
	Source         Source    `json:"source"`
	Started        time.Time `json:"started"`
	DurationMillis float64   `json:"durationMillis"`
	EventBytes     int       `json:"eventBytes"`
	Retry          int       `json:"retry"`
	ColdStart      bool      `json:"coldStart"`
	InstanceID     string    `json:"instanceId,omitempty"`
	Result         string    `json:"result"`
	ErrorKind      Kind      `json:"errorKind,omitempty"`
	ErrorCode      string    `json:"errorCode,omitempty"`
	ErrorType      string    `json:"errorType,omitempty"`
	ErrorMessage   string    `json:"errorMessage,omitempty"`
}

func view(i Invocation) invocationView {
	v := invocationView{
		Function: i.Function, RequestID: i.RequestID, Source: i.Source, Started: i.Started,
		DurationMillis: float64(i.Duration.Microseconds()) / 1000, EventBytes: i.EventBytes, Retry: i.Retry,
		ColdStart: i.ColdStart, InstanceID: i.InstanceID, Result: string(i.Result),
	}
	if i.Err != nil {
		v.ErrorKind, v.ErrorCode, v.ErrorType, v.ErrorMessage = i.Err.Kind, i.Err.Code, i.Err.Type, i.Err.Message
	}
	return v
}
