package janitor

import (
	"context"
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

// sendAgain sends again, under its own number, what had no news for a day, begun or not, and what was sealed under a key that is known no more:
// nobody takes that message any longer. Jobs of the last hour are left to the next pass.
func (r *run) sendAgain(ctx context.Context) error {
	return r.pass(ctx, "again", func(ctx context.Context, p pass) (string, error) {
		now := r.Now()
		rows, next, err := r.Ledger.Unfinished(ctx, now.Add(-passEvery), p.From, queue.MaxBatch)
		if err != nil {
			return "", err
		}
		var silent []ledger.Row
		for _, row := range rows {
			unknown := row.SealedUnder != "" && !r.Queue.Keys().Know(row.SealedUnder)
			if row.DueAt.IsZero() && (unknown || now.Sub(row.UpdatedAt) >= silence && now.Sub(row.SentAt) >= sentAgainAfter) {
				silent = append(silent, row)
			}
		}
		var due []ledger.Row
		for _, done := range r.Ledger.UpdateAll(ctx, silent, func(row *ledger.Row) error { return row.SendAgain(now) }) {
			switch {
			case done.Err == nil:
				due = append(due, done.Row)
			case !fault.HasCode(done.Err, ledger.CodeChanged): // whoever changed it has news of it
				return "", done.Err
			}
		}
		sent, err := r.send(ctx, due, "sent again a job without news")
		r.out.SentAgain += sent
		return next, err
	})
}
