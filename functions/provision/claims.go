package provision

import (
	"context"
	"maps"
	"slices"

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

// claims are the claims of the job as the workflow takes them. They were read when the invocation began: a delivery of the row's round has the row's
// request. A change that the ledger does not take ends the job's run.
func (t *task) claims() *provision.Claims {
	h := t.held[t.row.Request.Name]
	out := &provision.Claims{Routine: h.claim.Claim, Records: map[string]routine.RecordClaim{}}
	for _, name := range t.row.Request.RecordNames() {
		out.Records[name] = h.records[name].RecordClaim
	}
	out.Change = func(_ context.Context, changes provision.Changes) error {
		err := t.changeClaims(h, changes)
		out.Routine = h.claim.Claim
		for name := range changes.Records {
			out.Records[name] = h.records[name].RecordClaim
		}
		return err
	}
	out.All = func(context.Context) ([]routine.RecordClaim, error) { return t.allRecords(h) }
	return out
}

// changeClaims writes the claims as the changes leave them.
func (t *task) changeClaims(h *held, changes provision.Changes) error {
	names := slices.Sorted(maps.Keys(changes.Records))
	if err := t.readRecords(h, names); err != nil {
		return err
	}
	part := ledger.Holding{Claim: h.claim}
	for _, name := range names {
		part.Records = append(part.Records, h.records[name])
	}
	var change func(*routine.Claim) error
	if changes.Routine != nil {
		change = func(c *routine.Claim) error {
			changes.Routine(c)
			return nil
		}
	}
	err := t.keep(func() (err error) {
		part, err = t.Ledger.ChangeHolding(t.reserve, part, change, func(c *routine.RecordClaim) error {
			changes.Records[c.RecordName](c)
			return nil
		})
		return err
	})
	h.claim = part.Claim
	for _, row := range part.Records {
		h.records[row.RecordName] = row
	}
	return err
}

// readRecords reads the claims of host names that were not read yet: those of a routine that somebody takes over.
func (t *task) readRecords(h *held, names []string) error {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, known := h.records[name]
		return known
	})
	if len(names) == 0 {
		return nil
	}
	return t.keep(func() error {
		holdings, err := t.Ledger.Holdings(t.reserve, []ledger.Wanted{{Name: h.claim.Name, RecordNames: names}})
		if err == nil {
			t.hold(holdings)
		}
		return err
	})
}

// allRecords reads the claims of all host names of the routine.
func (t *task) allRecords(h *held) (out []routine.RecordClaim, err error) {
	err = t.keep(func() error {
		out = nil
		for row, err := range t.Ledger.RecordClaims(t.reserve, h.claim.Name) {
			if err != nil {
				return err
			}
			h.records[row.RecordName] = row
			out = append(out, row.RecordClaim)
		}
		return nil
	})
	return out, err
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
