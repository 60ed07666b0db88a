package provision

import (
	"context"
	"fmt"
	"time"

	"routinely/queue"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/plain"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// lane is the account's one lane in one invocation: what is known of the account, and whether jobs can be carried out.
//
// The lane is parked when ESA works for no job: the account is at fault (not activated, overdue, its credentials or clock refused), or ESA is not
// reached. Then no job's attempt counts but the one that found it out, and no job grows older. An invocation asks again by GetErService, and as
// that does not show an overdue bill, by one job after the other. Any definite answer of ESA lets the lane run again.
type lane struct {
	*Worker
	// work is done once no step is begun any more; reserve ends with the invocation.
	work, reserve context.Context
	account       routine.Account
	// rows are the rows of the invocation's jobs that were read in one call and not used yet.
	rows map[string]ledger.Found
	// held are the claims that were read.
	held  map[string]*held
	known provision.Known
	// waited is how long the invocation has waited in place for the parked lane, and pause how long it waits next.
	waited, pause time.Duration
	// probed is set once a job has found the lane parked: ESA is left alone for a pause.
	probed bool
	// busy is how long jobs ran in the invocation.
	busy time.Duration
	// full is set once ESA refused a routine because the account has as many as it may.
	full bool
}

// firstParkPause is the first pause before ESA is asked again in an invocation; it doubles each time.
const firstParkPause = 5 * time.Second

// enter reads what the ledger knows of the account and of the jobs.
func (l *lane) enter(deliveries []queue.Delivery) error {
	var ids []string
	for _, d := range deliveries {
		if d.Err == nil && d.Callback == nil {
			ids = append(ids, d.Envelope.JobID)
		}
	}
	l.pause, l.held = firstParkPause, map[string]*held{}
	return l.patiently(l.reserve, func() (err error) {
		var holdings []ledger.Holding
		if l.account, holdings, err = l.Ledger.AccountAndHoldings(l.reserve, wanted(deliveries)); err != nil || len(ids) == 0 {
			return err
		}
		l.hold(holdings)
		found, err := l.Ledger.Rows(l.reserve, ids)
		if err != nil {
			return err
		}
		l.rows = make(map[string]ledger.Found, len(ids))
		for i, id := range ids {
			l.rows[id] = found[i]
		}
		return nil
	})
}

// leave writes down what the invocation has learned of the account.
func (l *lane) leave() {
	if l.account.Park != nil {
		probe := l.account.Park.Probe
		l.change(func(a *routine.Account) {
			if a.Park != nil {
				a.Park.ToldAt, a.Park.Probe = l.Now().UTC(), probe
			}
		})
	}
	l.readQuota()
}

// quotaFresh is how long a reading of the quota is good enough.
const quotaFresh = time.Minute

// readQuota reads the account's quota of routines if it has changed or is used up. It is for people: that it failed is no failure of a job.
func (l *lane) readQuota() {
	old := l.account.Quota == nil || l.Now().Sub(l.account.Quota.ReadAt) > quotaFresh
	if !l.full && !l.known.Deleted && !(l.known.Changed && old) || !l.fits(0) {
		return
	}
	limit, used, err := l.Workflow.ESA.Quota(l.work)
	if err != nil {
		logging.From(l.work).WithField(logging.Error, err.Error()).Info("the account's quota could not be read")
		return
	}
	l.change(func(a *routine.Account) { a.Quota = &routine.Quota{Limit: limit, Used: used, ReadAt: l.Now().UTC()} })
}

// change alters the account's row.
func (l *lane) change(alter func(*routine.Account)) {
	account, err := l.Ledger.ChangeAccount(l.reserve, func(a *routine.Account) error {
		alter(a)
		return nil
	})
	if err != nil { // this invocation goes by it all the same, and the next one finds it out again
		logging.From(l.work).WithField(logging.Error, err.Error()).Warn("the state of the lane could not be written")
		alter(&l.account)
		return
	}
	l.account = account
}

// fits reports whether another step fits into the invocation after a pause.
func (l *lane) fits(pause time.Duration) bool {
	deadline, limited := l.work.Deadline()
	return l.work.Err() == nil && (!limited || time.Until(deadline) > pause+l.Workflow.StepTime)
}

// stopped is why the next job cannot be carried out in this invocation; nil if it can. A parked lane is waited for.
func (l *lane) stopped() *fault.Error {
	for {
		switch a := l.account; {
		case !l.fits(0):
			return provision.NoTime("")
		case a.Pause != nil:
			return paused(*a.Pause)
		case a.Park == nil, !l.probed && l.works():
			return nil
		case !l.wait():
			return parked(*a.Park)
		}
	}
}

// works asks whether ESA works again, by a call without a job. After an outage the answer is enough to let the lane run; after a fault of the
// account the next job shows it.
func (l *lane) works() bool {
	failure := fault.From(l.Workflow.ESA.CheckService(l.work))
	if failure != nil && (failure.Kind == fault.Account || failure.Kind == fault.Unavailable) {
		return false
	}
	if fault.Kind(l.account.Park.Kind) == fault.Unavailable {
		l.resume()
	}
	return true
}

// wait waits in place before ESA is asked again. It reports whether there is time for that.
func (l *lane) wait() bool {
	if l.waited+l.pause > l.ParkWait || !l.fits(l.pause) || l.Stopping.Err() != nil {
		return false
	}
	lives := l.sleep(l.pause)
	l.waited, l.pause, l.probed = l.waited+l.pause, 2*l.pause, false
	return lives
}

// sleep waits in place, less long if the invocation's time is over or the process shall end. It reports whether the process lives on.
func (l *lane) sleep(d time.Duration) (lives bool) {
	waiting, cancel := context.WithCancel(l.work)
	defer cancel()
	defer context.AfterFunc(l.Stopping, cancel)()
	l.Sleep(waiting, d)
	return l.Stopping.Err() == nil
}

// chooseProbe puts a job first that was not the last to find the lane parked, if there is another one: one job with a fault of its own must not
// keep all others waiting.
func (l *lane) chooseProbe(deliveries []queue.Delivery) {
	park := l.account.Park
	if park == nil {
		return
	}
	if len(deliveries) > 1 && deliveries[0].Envelope.JobID == park.Probe {
		deliveries[0], deliveries[1] = deliveries[1], deliveries[0]
	}
	next := *park // the row that was read stays as it is
	next.Probe = deliveries[0].Envelope.JobID
	l.account.Park = &next
}

// judge looks at what an attempt has shown of the account, parks the lane or lets it run again, and returns the failure as it is to be taken.
func (l *lane) judge(failure *fault.Error) *fault.Error {
	if l.known.Written {
		l.known.Written = false
		l.resume()
	}
	switch {
	case failure == nil:
	case failure.Kind == fault.Account:
		if l.account.Park == nil && !l.ofTheAccount(failure) {
			return ofTheJob(failure)
		}
		l.park(failure)
	case failure.Kind == fault.Unavailable && l.account.Park == nil && l.fits(0):
		if outage := l.Workflow.ESA.CheckService(l.work); fault.HasKind(outage, fault.Unavailable) && l.work.Err() == nil {
			l.park(fault.From(outage))
		}
	case failure.Code == esa.CodeRoutineQuota:
		l.full = true
	}
	return failure
}

// ofTheAccount reports whether a fault is really one of the account. That its service is closed or halted only ESA can say; its credentials, its
// clock and the API are at fault only if a call without the job is refused too: nobody's input parks the lane.
func (l *lane) ofTheAccount(failure *fault.Error) bool {
	return failure.Code == esa.CodeServiceNotOpen || failure.Code == esa.CodeServiceHalt ||
		fault.HasKind(l.Workflow.ESA.CheckService(l.work), fault.Account)
}

// ofTheJob makes a fault of one job of a refusal that ESA gives to no other call.
func ofTheJob(failure *fault.Error) *fault.Error {
	own := *failure
	own.Kind = fault.Internal
	own.Hint = "ESA refuses this job alone and works for the account otherwise. Correct the request; if it is right, report it with the ESA request id."
	return &own
}

// park parks the lane because of a failure, or says of a parked one that it still is.
func (l *lane) park(failure *fault.Error) {
	l.probed = true
	if l.account.Park != nil {
		return
	}
	now := l.Now().UTC()
	l.change(func(a *routine.Account) {
		if a.Park == nil {
			a.Stop(&routine.Park{
				Since: now, ToldAt: now, Kind: string(failure.Kind), Code: failure.Code, RequestID: failure.RequestID,
				Message: plain.Clip(failure.Error(), maxParkText), Hint: failure.Hint,
			}, a.Pause, now)
		}
	})
	logging.From(l.work).WithFields(logging.Fields{
		logging.Event: logging.LaneParked, logging.Kind: failure.Kind, logging.Code: failure.Code, logging.Error: failure.Error(), logging.ESARequestID: failure.RequestID,
		logging.Hint: failure.Hint,
	}).Error("THE LANE IS PARKED: ESA works for no job of this account; all jobs wait")
}

// maxParkText bounds what the account's row holds of a failure's text, in bytes.
const maxParkText = 400

// resume lets a parked lane run again.
func (l *lane) resume() {
	if l.account.Park == nil {
		return
	}
	since := l.account.Park.Since
	l.change(func(a *routine.Account) { a.Stop(nil, a.Pause, l.Now()) })
	logging.From(l.work).WithFields(logging.Fields{logging.Event: logging.LaneResumed, "parkedSince": since}).Warn("THE LANE RUNS AGAIN: ESA works for this account")
}

// parked is why a job is handed back that finds the lane parked.
func parked(p routine.Park) *fault.Error {
	return &fault.Error{
		Kind: fault.Kind(p.Kind), Code: p.Code, RequestID: p.RequestID,
		Message: fmt.Sprintf("the lane is parked since %s: %s", p.Since.Format(time.RFC3339), p.Message), Hint: p.Hint,
	}
}

// codePaused is the code of the fault of jobs that find the lane paused.
const codePaused = "Paused"

// paused is why a job is handed back that finds the lane paused.
func paused(p routine.Pause) *fault.Error {
	return &fault.Error{
		Kind: fault.Account, Code: codePaused, Message: fmt.Sprintf("%s has paused the lane since %s: %s", p.By, p.Since.Format(time.RFC3339), p.Reason),
		Hint: "The job waits until somebody resumes the lane: routinely account resume.",
	}
}
