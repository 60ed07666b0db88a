package janitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

const (
	// maxWaiting bounds the unfinished jobs that a run counts, the oldest ones: one page, whose rows are read whole.
	maxWaiting = ledger.MaxPage
	// maxLetters bounds the dead letters that it counts, from their index rows alone.
	maxLetters = 1000
)

// see adds how the deployment is to the fields of the run's line, by four calls if nothing waits. What cannot be read is left out.
func (r *run) see(ctx context.Context, out logging.Fields) error {
	var failed []error
	for _, read := range []func(context.Context, logging.Fields) error{r.seeAccount, r.seeWaiting, r.seeLetters} {
		failed = append(failed, read(ctx, out))
	}
	return errors.Join(failed...)
}

// seeAccount adds the lane and the quota.
func (r *run) seeAccount(ctx context.Context, out logging.Fields) error {
	account, err := r.Ledger.Account(ctx)
	if err != nil {
		return fmt.Errorf("the account: %w", err)
	}
	out[logging.Lane] = account.Lane()
	out[logging.Parked], out[logging.ParkedSeconds] = 0, int64(0)
	out[logging.Paused], out[logging.PausedSeconds] = 0, int64(0)
	if account.Park != nil {
		out[logging.Parked], out[logging.ParkedSeconds] = 1, r.age(account.Park.Since)
	}
	if account.Pause != nil {
		out[logging.Paused], out[logging.PausedSeconds] = 1, r.age(account.Pause.Since)
	}
	if q := account.Quota; q != nil && q.Limit > 0 {
		out[logging.QuotaLimit], out[logging.QuotaUsed], out[logging.QuotaUsedPercent] = q.Limit, q.Used, 100*q.Used/q.Limit
	}
	return nil
}

// seeWaiting adds the unfinished jobs.
func (r *run) seeWaiting(ctx context.Context, out logging.Fields) error {
	rows, next, err := r.Ledger.Unfinished(ctx, r.Now().Add(routine.ClockSkew), "", maxWaiting)
	if err != nil {
		return fmt.Errorf("the unfinished jobs: %w", err)
	}
	count := map[routine.WaitingFor]int{}
	for _, row := range rows {
		if row.Waiting == nil { // as it is before its first delivery
			count[routine.ForQueue]++
			continue
		}
		count[row.Waiting.For]++
	}
	for name, reason := range map[string]routine.WaitingFor{
		logging.WaitingQueue: routine.ForQueue, logging.WaitingTurn: routine.ForTurn, logging.WaitingAccountLock: routine.ForAccountLock,
		logging.WaitingBackoff: routine.ForBackoff, logging.WaitingThrottle: routine.ForThrottle, logging.WaitingParked: routine.ForPark,
		logging.WaitingPaused: routine.ForPause,
	} {
		out[name] = count[reason]
	}
	out[logging.WaitingJobs], out[logging.WaitingMore], out[logging.OldestJobAgeSeconds] = len(rows), next != "", int64(0)
	if len(rows) > 0 {
		out[logging.OldestJobAgeSeconds] = r.age(rows[0].AcceptedAt)
	}
	return nil
}

// seeLetters adds the dead letters, and what is on the way to become some.
func (r *run) seeLetters(ctx context.Context, out logging.Fields) error {
	letters, more, deadErr := r.Ledger.CountSomeDead(ctx, maxLetters)
	if deadErr == nil {
		out[logging.DeadLetters], out[logging.DeadLettersMore] = letters, more
	}
	messages, queueErr := r.Queue.DeadLetterDepth(ctx)
	if queueErr == nil {
		out[logging.DeadLetterQueueMessages] = messages
	}
	return errors.Join(deadErr, queueErr)
}

// age is how long ago a time was, in whole seconds; 0 for one that is to come, by another machine's clock.
func (r *run) age(t time.Time) int64 { return max(0, int64(r.Now().Sub(t).Seconds())) }
