package janitor

import (
	"context"
	"slices"
	"time"

	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/ledger"
)

const (
	// silence is how long a job may be without news before its message is sent again: the trigger tries one for a day.
	silence = 26 * time.Hour
	// sentAgainAfter is the time between two such sends of a job.
	sentAgainAfter = 24 * time.Hour
)

// sendAgain sends again, under its own number, what had no news for a day, begun or not, and what was sealed under a key that is no longer known:
// nobody takes that message any longer. Jobs of the last hour are left to the next pass.
//
// While the lane is stopped, jobs have no news because they wait. A pause by a person holds: nothing is sent. A parked lane that no worker has
// told of for an hour has perhaps no trigger any more (EventBridge deletes the streams of an account that is overdue for a week): one job a run
// asks. Once the lane runs again, a pass begins at once, whatever was sent meanwhile.
func (r *run) sendAgain(ctx context.Context) error {
	account, err := r.Ledger.Account(ctx)
	switch {
	case err != nil:
		return err
	case account.Pause != nil, account.Park != nil && r.Now().Sub(account.Park.ToldAt) < quiet:
		return nil
	case account.Park != nil:
		return r.sendProbe(ctx)
	}
	return r.pass(ctx, "again", account.ResumedAt, func(ctx context.Context, p pass) (string, error) {
		now := r.Now()
		rows, next, err := r.Ledger.Unfinished(ctx, now.Add(-passEvery), p.From, queue.MaxBatch)
		if err != nil {
			return "", err
		}
		rows = slices.DeleteFunc(rows, func(row ledger.Row) bool { return !r.silent(row, account.ResumedAt) })
		return next, r.sendSilent(ctx, rows)
	})
}

// quiet is how long a parked lane may be without news of a worker before the janitor asks.
const quiet = time.Hour

// silent reports whether a job is to be sent again. A send before the lane ran again says nothing: its message may be lost.
func (r *run) silent(row ledger.Row, resumed time.Time) bool {
	now := r.Now()
	unknown := row.SealedUnder != "" && !r.Queue.Keys().Know(row.SealedUnder)
	sent := now.Sub(row.SentAt) < sentAgainAfter && !row.SentAt.Before(resumed)
	return row.DueAt.IsZero() && (unknown || now.Sub(row.UpdatedAt) >= silence && !sent)
}

// sendProbe sends the one of the oldest jobs that was sent least lately.
func (r *run) sendProbe(ctx context.Context) error {
	rows, _, err := r.Ledger.Unfinished(ctx, r.Now(), "", queue.MaxBatch)
	rows = slices.DeleteFunc(rows, func(row ledger.Row) bool { return !row.DueAt.IsZero() })
	if err != nil || len(rows) == 0 {
		return err
	}
	probe := slices.MinFunc(rows, func(a, b ledger.Row) int { return a.SentAt.Compare(b.SentAt) })
	return r.sendSilent(ctx, []ledger.Row{probe})
}

// sendSilent marks jobs as due and sends them.
func (r *run) sendSilent(ctx context.Context, rows []ledger.Row) error {
	now := r.Now()
	var due []ledger.Row
	for _, done := range r.Ledger.UpdateAll(ctx, rows, func(row *ledger.Row) error { return row.SendAgain(now) }) {
		switch {
		case done.Err == nil:
			due = append(due, done.Row)
		case !fault.HasCode(done.Err, ledger.CodeChanged): // whoever changed it has news of it
			return done.Err
		}
	}
	sent, err := r.send(ctx, due, "sent again a job without news")
	r.out.SentAgain += sent
	return err
}
