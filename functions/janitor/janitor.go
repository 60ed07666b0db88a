// Package janitor is the function that a timer starts every minute. It repeats what others could not finish: it sends what is due, files what
// the triggers could not deliver, sends again what had no news for a day, ends routines whose time is over, and reports jobs that will be forgotten.
//
// Each run is bounded, by time and by counts, and the next one goes on where it stopped; two at once do no harm. What has to be known for that
// is in the ledger. The janitor never writes to ESA: it lists the account's routines with their records and routes, and what is to be changed there is
// a job for the worker.
package janitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"routinely/queue"
	"routinely/shared/dispatch"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// Config is what a Janitor needs. All but Retention and MayExpire is required.
type Config struct {
	Queue  *queue.Client
	Ledger *ledger.Ledger
	// ESA is the account, whose routines, records and routes are listed and never changed.
	ESA *esa.Client
	// MayExpire says that routines may be deleted because their time is over.
	MayExpire bool
	// ExpirySettle is how long such a routine is left alone after it was first seen, and ExpiryGrace how long it stays after its host names were
	// unbound.
	ExpirySettle, ExpiryGrace time.Duration
	// ExpiryPerHour is how many jobs are made about such routines in an hour; a tenth of the live routines if that is more.
	ExpiryPerHour int
	// Retention is how long the ledger keeps a job after its last change; 0 means for ever.
	Retention time.Duration
	Now       func() time.Time
	// Bits returns 64 random bits, for the ids of spans and traces.
	Bits func() uint64
}

// Janitor makes runs.
type Janitor struct {
	Config
	dispatch dispatch.Dispatcher
}

// New checks the configuration and returns a janitor. It makes no call.
func New(cfg Config) (*Janitor, error) {
	if cfg.Queue == nil || cfg.Ledger == nil || cfg.ESA == nil || cfg.Now == nil || cfg.Bits == nil {
		return nil, errors.New("janitor: a queue, a ledger, an ESA client and a clock are required")
	}
	if cfg.ExpirySettle <= 0 || cfg.ExpiryGrace <= 0 || cfg.ExpiryPerHour < 1 {
		return nil, fmt.Errorf("janitor: expired routines: want times above 0, not %s and %s, and at least one job an hour, not %d",
			cfg.ExpirySettle, cfg.ExpiryGrace, cfg.ExpiryPerHour)
	}
	if cfg.Retention != 0 && cfg.Retention < ledger.MinRetention {
		return nil, fmt.Errorf("janitor: retention %s: want 0 for ever, or at least %s", cfg.Retention, ledger.MinRetention)
	}
	return &Janitor{Config: cfg, dispatch: dispatch.Dispatcher{Queue: cfg.Queue, Ledger: cfg.Ledger, Now: cfg.Now}}, nil
}

// Handle is Run for the platform's timer. Its event has the time, the trigger's name and a fixed text (timer trigger page of Function
// Compute): nothing that a run needs.
func (j *Janitor) Handle(ctx context.Context, _ json.RawMessage) (Report, error) { return j.Run(ctx) }

// Run does all tasks once. If the context has a deadline, nothing is begun after three fifths of the time until then, and each task but the last
// has half of what the ones before have left. A task that fails does not stop the others: its error is in the report and in the error returned.
func (j *Janitor) Run(ctx context.Context) (Report, error) {
	r := &run{Janitor: j}
	begun := time.Now()
	deadline, limited := ctx.Deadline()
	calls := ctx
	if limited { // what is at work then may finish, and what it did can still be written
		bounded, cancel := context.WithDeadline(ctx, begun.Add(deadline.Sub(begun)*4/5))
		defer cancel()
		calls = bounded
	}
	tasks := r.tasks()
	var failed []error
	for i, t := range tasks {
		if limited {
			r.until = begun.Add(deadline.Sub(begun) * 3 / 5)
			if i < len(tasks)-1 {
				r.until = r.until.Add(-time.Until(r.until) / 2)
			}
		}
		if r.over(calls) {
			continue
		}
		if err := t.do(calls); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", t.name, err))
			r.fail(ctx, t.name, err)
		}
	}
	seen := logging.Fields{}
	if calls.Err() == nil {
		if err := r.see(calls, seen); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", taskSee, err))
			r.fail(ctx, taskSee, err)
		}
	}
	r.out.log(ctx, seen)
	return r.out, errors.Join(failed...)
}

// taskSee is the part of a run that comes after its tasks and has no time of its own: it looks at what they have left.
const taskSee = "see the account"

// task is a part of a run.
type task struct {
	name string
	do   func(context.Context) error
}

// run is one run at work.
type run struct {
	*Janitor
	out Report
	// until is when the task at work begins nothing more; zero if its time has no end.
	until time.Time
	// seen is what ESA showed to this run; nil if it has not asked, or had no whole answer.
	seen *routine.Listing
}

func (r *run) tasks() []task {
	tasks := []task{
		{"send what is due", r.sendDue},
		{"empty the dead-letter queue", r.takeDead},
		{"send again", r.sendAgain},
		{"list the routines in ESA", r.list},
		{"end expired routines", r.endExpired},
		{"read records and routes", r.readForeign},
	}
	if r.Retention > 0 {
		tasks = append(tasks, task{"report dead letters", r.tellDead}, task{"report unfinished jobs", r.tellUnfinished})
	}
	return tasks
}

// down reports whether a failure is one that every other call would come to as well.
func down(err error) bool {
	return fault.HasKind(err, fault.Unavailable) || fault.HasKind(err, fault.Throttled) || fault.HasKind(err, fault.Account)
}

// over reports whether the task's time is over. Then the run is not the last.
func (r *run) over(ctx context.Context) bool {
	over := ctx.Err() != nil || !r.until.IsZero() && !time.Now().Before(r.until)
	r.out.More = r.out.More || over
	return over
}
