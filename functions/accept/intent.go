package accept

import (
	"context"
	"fmt"

	"routinely/shared/auth"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// intend gives each job its number among those about the same things, and refuses what the claims say the caller may not have, or what has no
// room. A refused job that is there already, under its idempotency key, is not refused: what was accepted is told again.
func (s *Service) intend(ctx context.Context, pending []*admission, on terms) {
	wanted := make([]ledger.Wanted, len(pending))
	for i, a := range pending {
		wanted[i] = ledger.Wanted{Name: a.row.Request.Name, RecordNames: a.row.Request.RecordNames()}
	}
	holdings, err := s.Ledger.Holdings(ctx, wanted)
	if err != nil {
		for _, a := range pending {
			a.err = notRecorded(err)
		}
		return
	}
	caller := callerOf(ctx)
	numbers := map[string]int64{}
	for i, a := range pending {
		name := a.row.Request.Name
		a.holding, a.row.Operate = holdings[i], mayOperate(caller)
		if a.row.Intent = on.number; on.number == 0 {
			a.row.Intent = nextNumber(a.row, a.holding, numbers[name])
		}
		numbers[name] = a.row.Intent
		a.err = s.mayIntend(caller, a.row.Request, a.holding)
		if a.err == nil && a.row.Request.Action == routine.Delete && !a.holding.Claim.There() && !a.row.Operate {
			a.err = s.mayOvertake(ctx, caller, name)
		}
		if a.err == nil && on.more != nil {
			a.err = on.more(a.row.Request, a.holding)
		}
	}
	s.settleRefused(ctx, pending)
}

// nextNumber is the number of a new intent: above those of its things, and above the latest one of the same request.
func nextNumber(row ledger.Row, h ledger.Holding, latest int64) int64 {
	for _, record := range h.Records {
		latest = max(latest, record.Number)
	}
	return routine.NextNumber(row.AcceptedAt, h.Claim.Newest(), latest)
}

// settleRefused takes the refusal back of those jobs that were accepted before under the same key, and refuses new routines for which there is no
// room. What was accepted before needs none.
func (s *Service) settleRefused(ctx context.Context, pending []*admission) {
	left := s.capacityFor(ctx, newRoutines(pending))
	var inDoubt []*admission
	for _, a := range pending {
		if a.err != nil || left != nil && makesRoutine(a) {
			inDoubt = append(inDoubt, a)
		}
	}
	known, err := s.acceptedBefore(ctx, inDoubt)
	for _, a := range inDoubt {
		switch {
		case err != nil:
			a.err = notRecorded(err)
		case known[a.row.ID]: // create tells whether it stands for the same request
			a.err = nil
		case a.err == nil:
			a.err = left.take(ctx, a.row.Request.Name)
		}
	}
}

// acceptedBefore finds those jobs that are recorded already, under their idempotency keys.
func (s *Service) acceptedBefore(ctx context.Context, some []*admission) (known map[string]bool, err error) {
	var ids []string
	for _, a := range some {
		if a.row.Key != "" {
			ids = append(ids, a.row.ID)
		}
	}
	known = map[string]bool{}
	if len(ids) == 0 {
		return known, nil
	}
	found, err := s.Ledger.Rows(ctx, ids)
	for i, one := range found {
		known[ids[i]] = one.Err == nil
	}
	return known, err
}

// mayIntend refuses what the claims say the caller may not have.
func (s *Service) mayIntend(caller auth.Caller, req routine.Request, h ledger.Holding) error {
	claim := h.Claim.Claim
	mine := claim.Caller == caller.Name || mayOperate(caller)
	if req.Action.Deletes() && !s.MayDelete {
		return problemNoDeletion
	}
	switch req.Action {
	case routine.Create:
		return mayCreate(req, claim, mine)
	case routine.TakeOwnership:
		return nil // its scope is operate
	case routine.Unbind:
		if bound := h.Records[0]; bound.Exists() && bound.State != routine.Gone && bound.Caller != caller.Name && !mine {
			return notOwner("another caller has bound the host name: that caller, the routine's owner, or a caller with the scope operate, may do this")
		}
		return nil
	default:
	}
	switch {
	case !claim.There():
		return nil // the worker sees whether there is one by then
	case claim.Ownership != routine.Owned:
		return problemNotOwned.with(fmt.Sprintf("the routine is %s: it is not proven that Routinely made it. An operator can claim it: routinely routines claim %s",
			claim.Ownership, req.Name))
	case !mine:
		return notOwner("the routine belongs to another caller: its owner, or a caller with the scope operate, may do this")
	}
	return nil
}

// mayOvertake refuses the deletion of a routine that is not there yet if another caller has an unfinished job about it: the deletion would overtake that.
func (s *Service) mayOvertake(ctx context.Context, caller auth.Caller, name string) error {
	other, err := s.Ledger.UnfinishedOfOthers(ctx, name, caller.Name)
	switch {
	case err != nil:
		return notRecorded(err)
	case other != "":
		return notOwner("a job of another caller that is not finished is about the routine: that caller, or one with the scope operate, may delete it")
	}
	return nil
}

// mayCreate refuses what only the owner of a routine that is there may ask for.
func mayCreate(req routine.Request, claim routine.Claim, mine bool) error {
	switch {
	case !claim.There():
		return nil
	case mine:
		return mayDeploy(req, claim)
	case claim.Protected:
		return notOwner("the routine is protected: only its owner's host names may be bound to it")
	case claim.Ownership != routine.Owned:
		return mayDeploy(req, claim)
	case req.Code != nil:
		return problemOwned.with("the routine belongs to another caller, who alone may deploy code to it: leave code out to bind a host name to it")
	case req.ExpiresIn != 0, req.IfExists == routine.Update, req.Protected != nil, req.Labels != nil:
		return problemOwned.with("the routine belongs to another caller, who alone may set expiresIn, protected, labels and ifExists update: leave them out to bind a host name to it")
	}
	return nil
}

// mayDeploy refuses code for a routine that is not proven to be made by Routinely.
func mayDeploy(req routine.Request, claim routine.Claim) error {
	if req.Code == nil || claim.Ownership == routine.Owned {
		return nil
	}
	return problemNotOwned.with(fmt.Sprintf("the routine is %s, so that no code is deployed to it. An operator can claim it: routinely routines claim %s", claim.Ownership, req.Name))
}

// intended writes the numbers of deletions to the claims, once their jobs are recorded: older intents give way from then on. If that fails the worker does
// it.
func (s *Service) intended(ctx context.Context, pending []*admission) {
	for _, a := range pending {
		if a.err != nil || a.replayed || !a.row.Request.Action.Deletes() {
			continue
		}
		if err := s.Ledger.Intend(ctx, a.row, a.holding); err != nil {
			logFailure(ctx, err, "the number of a deletion is written later, by the worker")
		}
	}
}
