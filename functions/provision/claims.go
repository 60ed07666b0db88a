package provision

import (
	"context"
	"reflect"

	"routinely/queue"
	"routinely/shared/ledger"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// held is what the ledger holds of one routine, as far as this invocation has read it. Jobs of an invocation run one after the other, so that what
// one has written the next one sees.
type held struct {
	claim   ledger.ClaimRow
	records map[string]ledger.RecordRow
}

// wanted are the claims that deliveries are about, by the requests in their messages.
func wanted(deliveries []queue.Delivery) []ledger.Wanted {
	var out []ledger.Wanted
	for _, d := range deliveries {
		if req := d.Envelope.Request; d.Err == nil && d.Callback == nil && req.Name != "" {
			out = append(out, ledger.Wanted{Name: req.Name, RecordNames: req.RecordNames()})
		}
	}
	return out
}

// hold keeps what was read of routines.
func (l *lane) hold(holdings []ledger.Holding) {
	for _, h := range holdings {
		one := l.held[h.Claim.Name]
		if one == nil {
			one = &held{claim: h.Claim, records: map[string]ledger.RecordRow{}}
			l.held[h.Claim.Name] = one
		}
		for _, r := range h.Records {
			if _, known := one.records[r.RecordName]; !known {
				one.records[r.RecordName] = r
			}
		}
	}
}

// holding returns what is held of a request's routine and host names. What was not read yet is read now: the message may tell an older request.
func (l *lane) holding(req routine.Request) (*held, error) {
	h := l.held[req.Name]
	missing := h == nil
	for _, name := range req.RecordNames() {
		if !missing {
			_, known := h.records[name]
			missing = !known
		}
	}
	if !missing {
		return h, nil
	}
	err := l.patiently(l.reserve, func() error {
		holdings, err := l.Ledger.Holdings(l.reserve, []ledger.Wanted{{Name: req.Name, RecordNames: req.RecordNames()}})
		if err == nil {
			l.hold(holdings)
		}
		return err
	})
	return l.held[req.Name], err
}

// claims are the claims of the job as the workflow takes them. A change that the ledger does not take ends the job's run.
func (t *task) claims() (*provision.Claims, error) {
	h, err := t.holding(t.row.Request)
	if err != nil {
		return nil, err
	}
	out := &provision.Claims{Routine: h.claim.Claim, Records: map[string]routine.RecordClaim{}}
	for _, name := range t.row.Request.RecordNames() {
		out.Records[name] = h.records[name].RecordClaim
	}
	out.ChangeRoutine = func(_ context.Context, alter func(*routine.Claim)) (routine.Claim, error) {
		return t.changeClaim(h, alter)
	}
	out.ChangeRecord = func(_ context.Context, name string, alter func(*routine.RecordClaim)) (routine.RecordClaim, error) {
		return t.changeRecord(h, name, alter)
	}
	out.All = func(context.Context) ([]routine.RecordClaim, error) { return t.allRecords(h) }
	return out, nil
}

// changeClaim writes the routine's claim if alter changes it.
func (t *task) changeClaim(h *held, alter func(*routine.Claim)) (routine.Claim, error) {
	next := h.claim.Claim
	if alter(&next); reflect.DeepEqual(next, h.claim.Claim) {
		return next, nil
	}
	err := t.keep(func() (err error) {
		h.claim, err = t.Ledger.ChangeClaim(t.reserve, h.claim, func(c *routine.Claim) error {
			alter(c)
			return nil
		})
		return err
	})
	return h.claim.Claim, err
}

// changeRecord writes the claim of a host name if alter changes it.
func (t *task) changeRecord(h *held, name string, alter func(*routine.RecordClaim)) (routine.RecordClaim, error) {
	row, known := h.records[name]
	if !known {
		err := t.keep(func() error {
			holdings, err := t.Ledger.Holdings(t.reserve, []ledger.Wanted{{Name: h.claim.Name, RecordNames: []string{name}}})
			if err == nil {
				row = holdings[0].Records[0]
			}
			return err
		})
		if err != nil {
			return routine.RecordClaim{}, err
		}
	}
	next := row.RecordClaim
	if alter(&next); next == row.RecordClaim {
		return next, nil
	}
	err := t.keep(func() (err error) {
		row, err = t.Ledger.ChangeRecord(t.reserve, row, func(c *routine.RecordClaim) error {
			alter(c)
			return nil
		})
		return err
	})
	if err == nil {
		h.records[name] = row
	}
	return row.RecordClaim, err
}

// allRecords reads the claims of all host names of the routine.
func (t *task) allRecords(h *held) (out []routine.RecordClaim, err error) {
	for from := ""; ; {
		var rows []ledger.RecordRow
		if err := t.keep(func() (err error) {
			rows, from, err = t.Ledger.RecordClaims(t.reserve, h.claim.Name, from, ledger.MaxRecordPage)
			return err
		}); err != nil {
			return nil, err
		}
		for _, row := range rows {
			h.records[row.RecordName] = row
			out = append(out, row.RecordClaim)
		}
		if from == "" {
			return out, nil
		}
	}
}

// givesWay returns the job of somebody else to which a job of the janitor gives way: one about the same routine that is unfinished, whatever its number.
// It is empty if there is none. A deletion that was begun gives way no more: whoever comes next finishes it.
func (t *task) givesWay(claim routine.Claim) (by string, err error) {
	action := t.row.Request.Action
	if action != routine.Expire && action != routine.Remove || claim.State == routine.Deleting {
		return "", nil
	}
	err = t.keep(func() (err error) {
		by, err = t.Ledger.UnfinishedOfOthers(t.reserve, claim.Name, t.row.Caller)
		return err
	})
	return by, err
}

// keep makes a call of the ledger about claims. If the ledger does not take it, the delivery is left to the platform.
func (t *task) keep(call func() error) error {
	err := t.patiently(t.reserve, call)
	if err != nil {
		t.lost = err
	}
	return err
}
