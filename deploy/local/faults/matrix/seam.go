package matrix

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"routinely/deploy/local/faults"
)

// Seam is where a function meets a service: the service itself, and a door before it that can be shut.
type Seam struct {
	// Name is the service's, URL is where the function reaches it.
	Name, URL string
	// Faults are the service's. Rules that a trial adds come behind the cell's.
	Faults *faults.Set

	dialect dialect
	handler http.Handler
	address string
	server  *http.Server // nil while the door is shut
	served  sync.WaitGroup

	mu    sync.Mutex
	calls int
	// shutAt is the number of the call that finds the door shut; -1 for none. drop closes kept connections first.
	shutAt int
	drop   []func()
}

// open puts a seam before a service until the test ends. Its port lies below those that the system gives to others: it must
// be free still when the door opens again.
func open(t testing.TB, name string, handler http.Handler, set *faults.Set, d dialect) *Seam {
	t.Helper()
	s := &Seam{Name: name, Faults: set, dialect: d, handler: handler, shutAt: -1}
	for try := 0; s.server == nil; try++ {
		const lowest, highest = 12000, 32000
		s.address = fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(highest-lowest))
		if err := s.unlock(); err != nil && try > 100 {
			t.Fatal(err)
		}
	}
	s.URL = "http://" + s.address
	t.Cleanup(s.lock)
	return s
}

// unlock opens the door.
func (s *Seam) unlock() error {
	if s.server != nil {
		return nil
	}
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.handler}
	s.server = server
	s.served.Go(func() { _ = server.Serve(listener) })
	return nil
}

// lock shuts the door: connections are cut, new ones refused.
func (s *Seam) lock() {
	if s.server != nil {
		_ = s.server.Close()
		s.server = nil
	}
	s.served.Wait()
}

// calling is told of each call of the function before it is made.
func (s *Seam) calling() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.shutAt >= 0 && s.calls > s.shutAt {
		s.lock()
		for _, drop := range s.drop {
			drop()
		}
	}
}

// Break breaks the cell's call.
func (s *Seam) Break(c Cell) error {
	if c.Kind.fault == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.shutAt = c.Call.At
		return nil
	}
	rule := faults.Rule{Action: c.Call.Action, Skip: c.Call.Nth, Fault: c.Kind.fault(s.dialect)}
	if c.Forever {
		rule.Times = -1
	}
	_, err := s.Faults.Add(rule)
	return err
}

// reopen opens the door and lets it be open.
func (s *Seam) reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutAt = -1
	return s.unlock()
}

// hit reports whether the cell's call was made.
func (s *Seam) hit(c Cell) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Kind.fault == nil && s.calls <= c.Call.At || c.Kind.fault != nil && s.Faults.Count(c.Call.Action) <= c.Call.Nth {
		return errors.New("the call that is to be broken was never made")
	}
	return nil
}

// reset begins anew.
func (s *Seam) reset() error {
	if err := s.reopen(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.drop = 0, nil
	s.Faults.Clear()
	s.Faults.Reset()
	return nil
}

// actions are the actions of the calls so far, but for those that are the test's own.
func (s *Seam) actions(own []string) []string {
	var out []string
	for _, c := range s.Faults.Calls() {
		if !slices.Contains(own, c.Action) {
			out = append(out, c.Action)
		}
	}
	return out
}
