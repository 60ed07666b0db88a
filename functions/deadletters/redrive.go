package deadletters

import (
	"context"
	"sync"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// Redrive puts the dead letters that fit the filter back on their queues and says who did and why (by, wanted.Reason) in
// the jobs, the ledger and the log. A letter leaves the queue only once MNS has confirmed its message, so that a call that is
// cut off repeats a job, which jobs survive, and never loses one. It works until the end of the queue, the limit, or the time:
// 20 seconds, or as long as the context has. WorkedOff.More then says that there may be more; letters that do not fit the
// filter stay out of everybody's sight for the queue's visibility timeout if the time was over, so that asking again goes on
// behind them. It fails if nothing at all could be done; single failures are in the result.
func (d *Desk) Redrive(ctx context.Context, wanted api.Redrive, by string) (api.WorkedOff, error) {
	if wanted.Rate < 0 || wanted.Limit < 0 {
		return api.WorkedOff{}, invalid(CodeInvalidRedrive, "rate %d, limit %d: want 0 or more", wanted.Rate, wanted.Limit)
	}
	if err := checkChoice(wanted.DeadLetterFilter, wanted.All, wanted.Reason, CodeInvalidRedrive); err != nil {
		return api.WorkedOff{}, err
	}
	o := order{rate: wanted.Rate, limit: wanted.Limit, dryRun: wanted.DryRun, by: by, reason: wanted.Reason}
	return d.work(ctx, wanted.DeadLetterFilter, o, act{done: "redriven", before: sendAgain, whole: true})
}

// Delete deletes the dead letters that fit the filter, or all. What is said of Redrive's time holds here too. A letter that
// could not be deleted for certain is in WorkedOff.Failed.
func (d *Desk) Delete(ctx context.Context, f api.DeadLetterFilter, all, dryRun bool, by, reason string) (api.WorkedOff, error) {
	if err := checkChoice(f, all, reason, CodeInvalidFilter); err != nil {
		return api.WorkedOff{}, err
	}
	nothing := func(_ context.Context, _ *work, letters []*letter) []error { return make([]error, len(letters)) }
	return d.work(ctx, f, order{dryRun: dryRun, by: by, reason: reason}, act{done: "deleted", before: nothing, mustDelete: true})
}

// checkChoice says what is wrong with a choice of letters. To choose all must be said, and nothing else with it.
func checkChoice(f api.DeadLetterFilter, all bool, reason, code string) error {
	switch {
	case !all && !chooses(f):
		return invalid(code, "nothing is chosen: want a filter, or all")
	case all && chooses(f):
		return invalid(code, "both a filter and all are given: want one of them")
	case len(reason) > maxReason:
		return invalid(code, "the reason has %d bytes: want %d at most", len(reason), maxReason)
	}
	return checkFilter(f)
}

func (d *Desk) work(ctx context.Context, f api.DeadLetterFilter, o order, a act) (api.WorkedOff, error) {
	w := &work{pass: d.begin(ctx), filter: newFilter(f), order: o, act: a, letters: map[string]*letter{}}
	return w.run()
}

// sendAgain records redrives and then sends the messages: no job works unrecorded.
func sendAgain(ctx context.Context, w *work, letters []*letter) []error {
	errs := make([]error, len(letters))
	var messages []queue.Redelivery
	var owners []int
	for i, l := range letters {
		its, err := l.story.Redrive(w.cfg.Now(), w.order.by, w.order.reason)
		errs[i] = err
		for _, m := range its {
			messages, owners = append(messages, m), append(owners, i)
		}
	}
	w.record(ctx, messages)
	for k, err := range w.cfg.Queue.Redeliver(ctx, messages) {
		if err != nil {
			errs[owners[k]] = err
		}
	}
	return errs
}

// record notes the redrives of jobs in the ledger.
func (w *work) record(ctx context.Context, messages []queue.Redelivery) {
	if w.cfg.Record == nil {
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	for _, m := range messages {
		e := m.Job
		if e == nil {
			continue
		}
		running.Go(func() {
			job := routine.Job{ID: e.JobID, Caller: e.Caller, AcceptedAt: e.AcceptedAt, Request: e.Request}
			w.cfg.Record(ctx, job, ledger.Entry{
				Kind: ledger.Redriven, At: w.cfg.Now().UTC(), Redriven: e.Redriven, By: w.order.by, Reason: w.order.reason,
			})
		})
	}
}
