// Package record is what the functions write down of jobs: in a ledger that may be missing or down, so that nothing here fails or
// holds up a job. It decides nothing about jobs.
package record

import (
	"context"
	"slices"
	"sync"
	"time"

	"routinely/shared/config"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// rest is how long a ledger that failed is left alone: jobs must not wait for its time limit one after the other.
const rest = 10 * time.Second

// maxMissed bounds the entries that are kept for a ledger that fails, maxCaughtUp those written at a time when it is back.
const (
	maxMissed   = 1000
	maxCaughtUp = 20
)

// Record writes down what happens to jobs, in a ledger that may be missing or down: nothing here fails or holds up a job. An
// outage is said once in the log, and so is its end. Entries that could not be written are kept, as long as the instance
// lives, and written later. It is safe for concurrent use.
type Record struct {
	ledger *ledger.Ledger
	now    func() time.Time

	mu     sync.Mutex
	until  time.Time // the ledger is left alone until then; zero if it is well
	missed []missedEntry
	lost   int
}

// flushTime bounds a Flush: an instance that ends has little time.
const flushTime = 5 * time.Second

type missedEntry struct {
	job   routine.Job
	entry ledger.Entry
}

// New returns the record that is kept in the ledger; nil stands for none.
func New(l *ledger.Ledger, now func() time.Time) *Record { return &Record{ledger: l, now: now} }

// Open returns the record of the configuration. It makes no call; the error says which setting is wrong.
func Open(cfg config.Base, credentials func() (accessKeyID, accessKeySecret, securityToken string)) (*Record, error) {
	table, err := ledger.New(ledger.Config{
		Endpoint: cfg.Ledger.Endpoint, Instance: cfg.Ledger.Instance, Table: cfg.Prefix.JobTable(), Credentials: credentials,
		Timeout: cfg.Ledger.Timeout,
	})
	if err != nil {
		return nil, err
	}
	return New(table, time.Now), nil
}

// Ledger is what to read jobs from; nil if there is none.
func (r *Record) Ledger() *ledger.Ledger { return r.ledger }

// Claim records accepted jobs, see ledger.ClaimAll. Jobs that could not be recorded count as new.
func (r *Record) Claim(ctx context.Context, jobs ...routine.Job) []ledger.Claimed {
	if !r.up() {
		return make([]ledger.Claimed, len(jobs))
	}
	claims := r.ledger.ClaimAll(ctx, jobs)
	for _, claim := range claims {
		if claim.Err != nil {
			r.failed(ctx, claim.Err)
			return claims
		}
	}
	r.answered(ctx)
	return claims
}

// Append records an entry, see ledger.Append, whose answer it returns. ok is false if there is none.
func (r *Record) Append(ctx context.Context, job routine.Job, e ledger.Entry) (was ledger.Record, ok bool) {
	if r.ledger == nil {
		return was, false
	}
	e.At = r.now().UTC()
	if !r.up() || !r.catchUp(ctx) {
		r.keep(missedEntry{job, e})
		return was, false
	}
	was, err := r.ledger.Append(ctx, job, e)
	if err != nil {
		if r.failed(ctx, err) {
			r.keep(missedEntry{job, e})
		}
		return was, false
	}
	if was.Untidy != nil {
		logging.From(ctx).WithField(logging.Error, was.Untidy.Error()).Debug("the ledger keeps index rows it no longer needs; they do no harm")
	}
	r.answered(ctx)
	return was, true
}

// Note is Append for whoever has no use for the answer.
func (r *Record) Note(ctx context.Context, job routine.Job, e ledger.Entry) { r.Append(ctx, job, e) }

// Flush writes the entries that were missed, until one fails, ctx is done, or some seconds are over.
func (r *Record) Flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	for ctx.Err() == nil && r.waiting() > 0 && r.catchUp(ctx) {
	}
}

// waiting is how many entries are to be written later.
func (r *Record) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.missed)
}

// up reports whether the ledger may be asked.
func (r *Record) up() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger != nil && !r.now().Before(r.until)
}

// keep remembers entries for later. That a worker begins is left out: the entries that follow tell it.
func (r *Record) keep(entries ...missedEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		switch {
		case e.entry.Kind == ledger.Started:
		case len(r.missed) == maxMissed:
			r.lost++
		default:
			r.missed = append(r.missed, e)
		}
	}
}

// catchUp writes some of what was missed and reports whether the ledger took it.
func (r *Record) catchUp(ctx context.Context) bool {
	r.mu.Lock()
	n := min(len(r.missed), maxCaughtUp)
	entries := slices.Clone(r.missed[:n])
	r.missed = slices.Delete(r.missed, 0, n)
	r.mu.Unlock()
	for i, e := range entries {
		if _, err := r.ledger.Append(ctx, e.job, e.entry); err != nil && r.failed(ctx, err) {
			r.keep(entries[i:]...)
			return false
		}
	}
	return true
}

// failed tells an outage from an entry that the ledger will never take. It lets the ledger rest, and says so if it was well.
func (r *Record) failed(ctx context.Context, err error) (outage bool) {
	failure := fault.From(err)
	log := logging.From(ctx).WithFields(logging.Fields{
		logging.Kind: failure.Kind, logging.Code: failure.Code, logging.Step: failure.Step, logging.Hint: failure.Hint,
		"tablestoreRequestId": failure.RequestID, logging.Error: err.Error(),
	})
	if !failure.Kind.Retryable() && failure.Kind != fault.Operator {
		log.Error("the ledger refused an entry: the job goes on, its record has a gap")
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until.IsZero() {
		log.Error("the ledger fails: jobs go on, what happens to them is recorded later or not at all")
	}
	r.until = r.now().Add(rest)
	return true
}

// answered ends an outage.
func (r *Record) answered(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until.IsZero() || len(r.missed) > 0 {
		return
	}
	logging.From(ctx).WithField("entriesLost", r.lost).Warn("the ledger is back")
	r.until, r.lost = time.Time{}, 0
}
