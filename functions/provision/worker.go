// Package provision is the queue-triggered function: it takes up to ten jobs in one invocation, carries them out one after the other against
// ESA, and decides about each: done, again later, or dead letter. The ledger says what a job is and whether a delivery of it is still to be
// worked on; while the ledger does not answer, nothing is begun, and the platform delivers again.
//
// An invocation is in worker.go, the account's lane with its park in lane.go. A delivery goes through deliver.go (find its job and run it),
// decide.go (decide) and carryout.go (write the decision down and send what follows from it).
package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/dispatch"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// Config is what a Worker needs; every field but QueueLimits and Receivers is required.
type Config struct {
	Queue    *queue.Client
	Ledger   *ledger.Ledger
	Workflow *provision.Workflow
	Policy   retry.Policy
	// QueueLimits are what the caller queue may name and bind: whoever may write to the job queue.
	QueueLimits routine.Limits
	// Receivers says where callbacks may go, that requests on the queue ask for.
	Receivers callback.Policy
	// LockPollMin and LockPollMax bound the pauses between two tries for ESA's account lock.
	LockPollMin, LockPollMax time.Duration
	// ParkWait is the longest time that an invocation waits in place for a parked lane.
	ParkWait time.Duration
	// Reserve is kept back before the invocation's deadline for handing work back.
	Reserve time.Duration
	Now     func() time.Time
	// Draw returns a random number in [0, 1).
	Draw func() float64
	// Bits returns 64 random bits, for the ids of spans and traces.
	Bits  func() uint64
	Sleep func(context.Context, time.Duration)
	// Stopping is done once the process shall end: then a job that waits is handed back.
	Stopping context.Context
}

// Worker decides what becomes of each delivered job. It handles one event at a time.
type Worker struct {
	Config
	dispatch dispatch.Dispatcher
}

// New checks the configuration and returns a worker.
func New(cfg Config) (*Worker, error) {
	if err := errors.Join(cfg.Policy.Check(), cfg.Receivers.Check()); err != nil {
		return nil, err
	}
	if cfg.Workflow == nil {
		return nil, errors.New("a workflow is required")
	}
	if cfg.LockPollMin <= 0 || cfg.LockPollMax < cfg.LockPollMin {
		return nil, fmt.Errorf("lock polling: want 0 < minimum (%s) <= maximum (%s)", cfg.LockPollMin, cfg.LockPollMax)
	}
	if cfg.ParkWait < 0 || cfg.Reserve <= 0 {
		return nil, fmt.Errorf("want a wait for a parked lane of 0 or more, not %s, and a reserve of more than 0, not %s", cfg.ParkWait, cfg.Reserve)
	}
	return &Worker{Config: cfg, dispatch: dispatch.Dispatcher{Queue: cfg.Queue, Ledger: cfg.Ledger, Now: cfg.Now}}, nil
}

// answerTime is left of the reserve for the answer to the platform.
const answerTime = 500 * time.Millisecond

// Handle settles every message of the event, one after the other. What does not fit before the deadline, or finds the lane parked or paused, is
// handed back, all at once. Handle returns an error only if the ledger did not take what became of a message: then the platform delivers the
// event again, and what is settled is found settled. Nothing that it starts outlives it.
func (w *Worker) Handle(ctx context.Context, event json.RawMessage) (Report, error) {
	work, reserve := ctx, context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var endWork, endReserve context.CancelFunc
		work, endWork = context.WithDeadline(ctx, deadline.Add(-w.Reserve))
		defer endWork()
		// What was done is written down also if the invocation is called off, but not beyond its time.
		reserve, endReserve = context.WithDeadline(reserve, deadline.Add(-answerTime))
		defer endReserve()
	}
	l := &lane{Worker: w, work: work, reserve: reserve}
	return l.settle(w.Queue.Keys().Decode(event, w.Now().UTC()))
}

// settle settles the deliveries of an event. What became of one is written down while the next one runs: the lane does not wait for the ledger.
func (l *lane) settle(deliveries []queue.Delivery) (Report, error) {
	begun := time.Now()
	var out Report
	var failed []error
	report := func(line entry, err error) {
		if err != nil {
			line.unsettled(fault.From(err))
		}
		line.log(l.work)
		out.Messages = append(out.Messages, line)
	}
	down := l.enter(deliveries)
	if down != nil {
		failed = append(failed, down)
	}
	tell := func(line entry, err error) {
		if report(line, err); err != nil {
			failed = append(failed, err)
		}
		if fault.HasKind(err, fault.Unavailable) { // the others would only wait for the ledger too
			down = err
		}
	}
	var stopped *fault.Error
	wait := func() {} // for what is written down
	for ; len(deliveries) > 0 && down == nil; deliveries = deliveries[1:] {
		if stopped = l.stopped(); stopped != nil {
			break
		}
		l.chooseProbe(deliveries)
		if _, read := l.rows[deliveries[0].Envelope.JobID]; !read { // perhaps a copy of the one before
			wait()
		}
		conclude := l.deliver(deliveries[0], nil)
		delete(l.rows, deliveries[0].Envelope.JobID)
		wait()
		wait = inBackground(conclude, tell)
	}
	wait()
	if down == nil {
		l.handBack(deliveries, stopped, tell)
	} else {
		for _, d := range deliveries {
			report(newEntry(d), down)
		}
	}
	l.leave()
	logging.From(l.work).WithFields(logging.Fields{
		logging.Event: logging.InvocationEnded, logging.Messages: len(out.Messages), logging.DurationMs: time.Since(begun).Milliseconds(),
		logging.LaneBusyMs: l.busy.Milliseconds(),
	}).Info("invocation ended")
	return out, errors.Join(failed...)
}

// inBackground carries out a conclusion. wait waits for it and tells what came of it, the first time that it is called.
func inBackground(conclude conclusion, tell func(entry, error)) (wait func()) {
	var line entry
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if broken := recover(); broken != nil { // else the process ends, and the other jobs of the invocation with it
				err = defect(broken)
			}
		}()
		line, err = conclude()
	}()
	return sync.OnceFunc(func() {
		<-done
		tell(line, err)
	})
}

// handBack hands back deliveries that are not begun, because of the fault given, all at once: each may have to wait for MNS and for the ledger,
// and all have the same reserve.
func (l *lane) handBack(deliveries []queue.Delivery, stopped *fault.Error, tell func(entry, error)) {
	waits := make([]func(), len(deliveries))
	for i, d := range deliveries {
		waits[i] = inBackground(func() (entry, error) { return l.deliver(d, stopped)() }, tell)
	}
	for _, wait := range waits {
		wait()
	}
}
