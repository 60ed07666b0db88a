package janitor

import (
	"context"
	"time"

	"routinely/shared/ledger"
	"routinely/shared/logging"
)

// How long before the ledger forgets a job it is told of.
const (
	day                 = 24 * time.Hour
	tellDeadAhead       = 7 * day
	tellUnfinishedAhead = 10 * day
)

// tellDead tells once of each dead letter that is forgotten within a week.
func (r *run) tellDead(ctx context.Context) error {
	return r.pass(ctx, "tell-dead", time.Time{}, func(ctx context.Context, p pass) (string, error) {
		age := r.Retention - tellDeadAhead
		var since time.Time
		if !p.Since.IsZero() {
			since = p.Since.Add(-age)
		}
		rows, next, err := r.Ledger.DeadBefore(ctx, since, p.At.Add(-age), p.From, ledger.MaxPage)
		for _, row := range rows {
			r.tell(ctx, row, "a dead letter is forgotten soon", row.DiedAt, logging.Fields{
				logging.Code: row.Code, "deadAt": row.DiedAt,
				logging.Hint: "routinely dead-letters redrive " + row.ID + ", or routinely dead-letters drop " + row.ID,
			})
		}
		return next, err
	})
}

// tellUnfinished reports an unfinished job ten days before it is forgotten if nobody writes it, once after each of its news.
func (r *run) tellUnfinished(ctx context.Context) error {
	return r.pass(ctx, "tell-unfinished", time.Time{}, func(ctx context.Context, p pass) (string, error) {
		age := r.Retention - tellUnfinishedAhead
		rows, next, err := r.Ledger.Unfinished(ctx, p.At.Add(-age), p.From, ledger.MaxPage)
		for _, row := range rows {
			if at := row.UpdatedAt.Add(age); at.Before(p.At) && !at.Before(p.Since) {
				r.tell(ctx, row, "an unfinished job is forgotten soon", row.UpdatedAt, logging.Fields{
					"acceptedAt": row.AcceptedAt, "updatedAt": row.UpdatedAt, logging.Hint: "routinely jobs get " + row.ID + " says what it waits for",
				})
			}
		}
		return next, err
	})
}

// tell writes the line of a job that is kept for the retention after the given time.
func (r *run) tell(ctx context.Context, row ledger.Row, message string, kept time.Time, fields logging.Fields) {
	r.out.Told++
	logging.Of(ctx, row.ID, row.Trace.ID()).WithFields(fields).WithField("forgottenAt", kept.Add(r.Retention)).Warn(message)
}
