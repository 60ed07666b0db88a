package janitor

import (
	"cmp"
	"context"
	"slices"
	"time"

	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
	"routinely/shared/trace"
)

const (
	// tryAgainAfter is the time between two jobs that are to do the same, if the first one ended without effect.
	tryAgainAfter = 24 * time.Hour
	// shareOfRoutines is the part of the live routines that may come nearer to their end in an hour, as one of so many.
	shareOfRoutines = 10
)

// endExpired makes the jobs that end routines whose time is over: one unbinds the host names, another deletes the routine a grace later.
//
// It is slow on purpose, and each condition is a brake: the deployment says so; this run has read all routines from ESA, which shows this very one;
// the lane is neither parked nor paused; the claim is live and owned; its time was over some time ago already; nobody else has a job about the
// routine that is unfinished; and few routines come nearer to their end in an hour. The worker looks at claim and routine again before it acts.
func (r *run) endExpired(ctx context.Context) error {
	if !r.MayExpire || r.seen == nil {
		return nil
	}
	account, err := r.Ledger.Account(ctx)
	if err != nil || account.Lane() != routine.Running {
		return err
	}
	e := &ending{run: r, shown: make(map[string]time.Time, len(r.seen.Routines))}
	for _, seen := range r.seen.Routines {
		e.shown[seen.Name] = seen.CreateTime
	}
	names, live, err := e.expired(ctx)
	if err != nil {
		return err
	}
	e.most = max(r.ExpiryPerHour, live/shareOfRoutines)
	wanted := make([]ledger.Wanted, len(names))
	for i, name := range names {
		wanted[i].Name = name
	}
	holdings, err := r.Ledger.Holdings(ctx, wanted)
	if err != nil {
		return err
	}
	var failed error
	for _, h := range holdings {
		if r.over(ctx) {
			break
		}
		err := e.bring(ctx, h.Claim)
		if failed = cmp.Or(failed, err); down(err) {
			break
		}
	}
	return failed
}

// ending is the end of expired routines in one run.
type ending struct {
	*run
	// shown are the routines in ESA, with their CreateTime.
	shown map[string]time.Time
	// most is how many jobs may be made in an hour.
	most int
}

// expired walks all claims, and returns the names of those whose time is over, longest first, and how many routines are live.
func (e *ending) expired(ctx context.Context) (names []string, live int, err error) {
	var over []routine.Claim
	for cursor, n := "", 0; ; n++ {
		claims, next, err := e.Ledger.Claims(ctx, ledger.ClaimFilter{}, ledger.MaxPage, cursor)
		if err != nil {
			return nil, 0, err
		}
		for _, c := range claims {
			if c.State == routine.Live {
				live++
			}
			if e.isOver(c) {
				over = append(over, c)
			}
		}
		if next == "" {
			break
		}
		if cursor = next; n == maxPages { // far more than an account has routines
			e.out.More = true
			break
		}
	}
	slices.SortFunc(over, func(a, b routine.Claim) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	for _, c := range over {
		names = append(names, c.Name)
	}
	return names, live, nil
}

// isOver reports whether the time of the claim's own routine is over, and ESA shows that routine.
func (e *ending) isOver(c routine.Claim) bool {
	created, there := e.shown[c.Name]
	return (c.State == routine.Live || c.State == routine.Expiring) && c.Ownership == routine.Owned &&
		!c.ExpiresAt.IsZero() && !c.ExpiresAt.After(e.Now()) && there && !created.IsZero() && created.Equal(c.CreateTime)
}

// bring brings a routine one step nearer to its end, if it is time for one.
func (e *ending) bring(ctx context.Context, row ledger.ClaimRow) error {
	now, expiry := e.Now(), row.Expiry
	switch {
	case expiry == nil: // also if it was renewed a moment ago
		return e.begin(ctx, row, routine.Expiry{})
	case now.Sub(expiry.SeenAt) < e.ExpirySettle, !expiry.UnboundAt.IsZero() && now.Sub(expiry.UnboundAt) < e.ExpiryGrace:
		return nil
	}
	if free, err := e.mayTry(ctx, row); !free || err != nil {
		return err
	}
	if other, err := e.Ledger.UnfinishedOfOthers(ctx, row.Name, routine.JanitorCaller); other != "" || err != nil {
		return err
	}
	return e.try(ctx, row)
}

// begin notes that the time is over: nothing is done about it for some time. What was tried before stays counted.
func (e *ending) begin(ctx context.Context, row ledger.ClaimRow, was routine.Expiry) error {
	_, err := e.Ledger.ChangeClaim(ctx, row, func(c *routine.Claim) error {
		if !e.isOver(*c) {
			return errPassed
		}
		c.Expiry = &routine.Expiry{SeenAt: e.Now().UTC(), UnboundAt: was.UnboundAt, Try: was.Try}
		return nil
	})
	return passing(err)
}

// mayTry reports whether the job before is settled. One that ended without effect is made again after a day; one that a newer intent has overtaken is
// forgotten, and all begins again.
func (e *ending) mayTry(ctx context.Context, row ledger.ClaimRow) (bool, error) {
	expiry := *row.Expiry
	if expiry.Try == 0 || expiry.JobID == "" {
		return true, nil
	}
	job, err := e.Ledger.Row(ctx, expiry.JobID)
	switch {
	case err != nil && !fault.HasCode(err, ledger.CodeUnknownJob): // one that is forgotten has ended long ago
		return false, err
	case err == nil && !job.State.Final():
		return false, nil
	case err == nil && job.State == routine.Superseded:
		return false, e.begin(ctx, row, expiry)
	}
	return e.Now().Sub(expiry.TriedAt) >= tryAgainAfter, nil
}

// try makes the job of the next step. Whoever makes it again, after a kill or at the same time, makes the same one. Its number is not written to the
// claim here, as that of a deletion which somebody asks for is: older intents do not give way to it.
func (e *ending) try(ctx context.Context, row ledger.ClaimRow) error {
	was, action := *row.Expiry, routine.Expire
	if !was.UnboundAt.IsZero() {
		action = routine.Remove
	}
	id := queue.ExpiryJobID(row.Name, row.ExpiryNumber, action, was.Try+1)
	admitted, err := e.Ledger.AdmitExpiry(ctx, id, e.most)
	if !admitted || err != nil {
		return err
	}
	job := e.job(id, action, row.Claim)
	made := e.Ledger.Create(ctx, job)[0]
	if made.Err != nil {
		return made.Err
	}
	_, err = e.Ledger.ChangeClaim(ctx, row, func(c *routine.Claim) error {
		if c.Expiry == nil || !c.Expiry.UnboundAt.Equal(was.UnboundAt) {
			return errPassed // it was renewed, or the worker has done the job already
		}
		next := *c.Expiry
		next.Try, next.JobID, next.TriedAt = was.Try+1, id, made.Row.AcceptedAt
		c.Expiry = &next
		return nil
	})
	if passing(err) != nil || made.Existed {
		return passing(err)
	}
	e.out.Expired++
	logging.Of(ctx, id, made.Row.Trace.ID()).WithFields(logging.Fields{"name": row.Name, "action": action, "expiresAt": row.ExpiresAt}).Info("the time of a routine is over")
	return e.dispatch.Send(ctx, []ledger.Row{made.Row})[0].Err // if that failed it stays due
}

// job is the row of a job about an expired routine. It is due from the beginning, so that the next run sends it if this one is killed, and its messages
// give way to those of others.
func (e *ending) job(id string, action routine.Action, c routine.Claim) ledger.Row {
	now := e.Now().UTC()
	row := ledger.NewRow(routine.Job{
		ID: id, Caller: routine.JanitorCaller, AcceptedAt: now, Request: routine.Request{Action: action, Name: c.Name, CallbackURL: c.CallbackURL},
	})
	row.Intent, row.Operate, row.Owner, row.Bulk = routine.NextNumber(now, c.Newest()), true, c.Caller, true
	row.SealedUnder, row.Trace = e.Queue.Keys().Sealing(), trace.Parent("").Child(e.Bits)
	_ = row.Due(now) // nobody has begun with a new job
	return row
}
