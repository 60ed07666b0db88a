// Package accept is the HTTP-triggered function: it validates a routine request, records a job in the ledger, puts it on the queue and answers
// 202, tells what became of jobs, and works off dead letters. It never calls ESA.
//
// The ledger is the one truth: nothing is accepted that it has not confirmed. A queue that does not answer refuses nobody, since the job's row
// then says that a send is due, and the janitor sends it.
package accept

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"routinely/queue"
	"routinely/shared/auth"
	"routinely/shared/callback"
	"routinely/shared/dispatch"
	"routinely/shared/ledger"
)

// Config is what a Service needs. Guard, Queue, Ledger, Now, Sleep, NewID and Bits are required.
type Config struct {
	// Guard knows the callers.
	Guard *auth.Guard
	// Receivers says where callbacks may go.
	Receivers callback.Policy
	Queue     *queue.Client
	Ledger    *ledger.Ledger
	// Retention is how long the ledger remembers a job after its last change; 0 means for ever.
	Retention time.Duration
	// ExpiryMin and ExpiryMax bound how long a request may say that a routine is to live; with an ExpiryMax of 0 none may say it. ExpiryGrace is how
	// long after its host names were unbound an expired routine is deleted.
	ExpiryMin, ExpiryMax, ExpiryGrace time.Duration
	// MayDelete says that the deployment deletes what it is asked to delete.
	MayDelete bool
	Now       func() time.Time
	// Sleep waits, at most until the context is done.
	Sleep func(context.Context, time.Duration)
	// NewID makes the id of a job that came without an idempotency key.
	NewID func() (uuid.UUID, error)
	// Bits returns 64 random bits, for the ids of spans and traces.
	Bits func() uint64
}

// Service answers HTTP requests. It is safe for concurrent use.
type Service struct {
	Config
	dispatch dispatch.Dispatcher
	refusals refusals
	waits    *waits
	memory   *memory
	// routes are made for the first event: to make them takes a twentieth of a cold start.
	routes func() http.Handler
}

// New checks the configuration and returns a service.
func New(cfg Config) (*Service, error) {
	if cfg.Guard == nil || cfg.Queue == nil || cfg.Ledger == nil || cfg.Now == nil || cfg.Sleep == nil || cfg.NewID == nil || cfg.Bits == nil {
		return nil, errors.New("accept: guard, queue, ledger, clock, sleep, ids and bits are required")
	}
	if cfg.ExpiryMin < 0 || cfg.ExpiryMax < cfg.ExpiryMin || cfg.ExpiryGrace < 0 {
		return nil, fmt.Errorf("accept: a routine lives %s to %s, and %s longer: want times of 0 or more, and the first not above the second",
			cfg.ExpiryMin, cfg.ExpiryMax, cfg.ExpiryGrace)
	}
	if err := cfg.Receivers.Check(); err != nil {
		return nil, err
	}
	s := &Service{
		Config: cfg, dispatch: dispatch.Dispatcher{Queue: cfg.Queue, Ledger: cfg.Ledger, Now: cfg.Now}, waits: &waits{now: map[string]int{}},
		memory: &memory{},
	}
	s.routes = sync.OnceValue(s.newRoutes)
	return s, nil
}

// Handle answers one event of the HTTP trigger. Whatever happens becomes an HTTP answer: the error is always nil.
func (s *Service) Handle(ctx context.Context, event json.RawMessage) (Response, error) {
	return serveEvent(ctx, event, s.routes()), nil
}
