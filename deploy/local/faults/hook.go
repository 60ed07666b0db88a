package faults

import (
	"context"
	"net/http"
)

// Hook is asked about each call before the rules are. The call waits until it returns: so a test decides what happens in which order. It
// returns how the answer is broken, or false to leave the call to the rules. effect lets the operation take effect with its answer thrown away;
// it can be called after the hook has returned, so that a call whose caller has given up takes effect late.
type Hook func(ctx context.Context, call Call, effect func()) (fault Fault, broken bool)

// SetHook sets the hook of all calls to come; nil takes it away.
func (s *Set) SetHook(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// ask asks the hook about a call.
func (s *Set) ask(ctx context.Context, call Call, execute func(http.ResponseWriter)) (fault Fault, broken bool) {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook == nil {
		return Fault{}, false
	}
	return hook(ctx, call, func() { hold(execute) })
}
