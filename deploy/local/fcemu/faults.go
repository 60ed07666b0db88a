package fcemu

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// FaultKind is a way to break the delivery of an event.
type FaultKind string

// The faults.
const (
	// KillBeforeResponse kills the instance when it reports its result: the work was done and nobody learns of it.
	KillBeforeResponse FaultKind = "kill-before-response"
	// DropResponse loses the function's report: it believes to be done, the platform runs into the timeout.
	DropResponse FaultKind = "drop-response"
	// DuplicateDelivery gives the function the same event once more after its first delivery ended.
	DuplicateDelivery FaultKind = "duplicate"
	// Delay holds the event back.
	Delay FaultKind = "delay"
)

// Fault says which events to break and how.
type Fault struct {
	// Function is the function's name; empty means all.
	Function string `json:"function,omitempty"`
	// Kind is what happens.
	Kind FaultKind `json:"kind"`
	// Skip lets that many events pass first.
	Skip int `json:"skip,omitempty"`
	// Times is how many events are hit: 0 means one, -1 all.
	Times int `json:"times,omitempty"`
	// DelayMillis is how long Delay holds an event back, in milliseconds.
	DelayMillis int `json:"delayMillis,omitempty"`
}

// faultList holds the faults to come. Its zero value is ready to use.
type faultList struct {
	mu    sync.Mutex
	rules []Fault
}

// AddFault arranges for coming events to be broken; faults are used up in the order they were added. It refuses an unknown kind or
// function and negative numbers.
func (s *Server) AddFault(f Fault) error {
	switch {
	case !slices.Contains([]FaultKind{KillBeforeResponse, DropResponse, DuplicateDelivery, Delay}, f.Kind):
		return fmt.Errorf("fault kind %q: want %s, %s, %s or %s", f.Kind, KillBeforeResponse, DropResponse, DuplicateDelivery, Delay)
	case f.Function != "" && s.functions[f.Function] == nil:
		return notFoundError(f.Function)
	case f.Skip < 0 || f.Times < -1 || f.DelayMillis < 0:
		return errors.New("skip, times and delayMillis must not be negative (times -1: for ever)")
	case (f.Kind == Delay) != (f.DelayMillis > 0):
		return fmt.Errorf("delayMillis %d: fault %s needs it, no other may have it", f.DelayMillis, Delay)
	}
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.rules = append(s.faults.rules, f)
	return nil
}

// ClearFaults removes all faults.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.rules = nil
}

// Faults returns the faults that can still hit an event.
func (s *Server) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return append([]Fault{}, s.faults.rules...)
}

// pick takes the first fault that hits an event of the function. A duplicate made by a fault is never hit.
func (l *faultList) pick(function string, source Source) Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	if source == Duplicate {
		return Fault{}
	}
	for i := range l.rules {
		rule := &l.rules[i]
		if rule.Function != "" && rule.Function != function {
			continue
		}
		if rule.Skip > 0 {
			rule.Skip--
			continue
		}
		hit := *rule
		if rule.Times > 0 {
			rule.Times--
		}
		if rule.Times == 0 {
			l.rules = slices.Delete(l.rules, i, i+1)
		}
		return hit
	}
	return Fault{}
}
