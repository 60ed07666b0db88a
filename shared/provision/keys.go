package provision

import (
	"fmt"
	"time"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// settle ends the doubt about a create of ours, now that ESA shows a routine.
func (r *run) settle(seen esa.Reading) {
	claim := r.claims.Routine
	ownership := routine.Unproven
	switch {
	case is(claim, seen.Routine.CreateTime):
		return
	case proven(claim.Call, seen.Routine.CreateTime): // perhaps it took effect after the routine was deleted
		ownership = routine.Owned
	case claim.State != routine.Creating:
		return
	}
	r.note(func(c *routine.Claim) { r.live(c, seen, ownership) })
}

// keys refuses to alter or delete a routine that is not the claim's own, or not the caller's.
func (r *run) keys(seen esa.Reading) error {
	if err := r.owned(seen); err != nil {
		return err
	}
	if r.claims.Routine.Caller != r.job.Caller && !r.job.Operate {
		return notOwner(r.req.Name)
	}
	return nil
}

// mayDelete is keys, but for a deletion that somebody else's job finishes: whoever asked for that one was allowed to.
func (d *deletion) mayDelete(seen esa.Reading) error {
	if d.number != d.job.Number {
		return d.owned(seen)
	}
	return d.keys(seen)
}

// owned refuses a routine that is not the claim's own.
func (r *run) owned(seen esa.Reading) error {
	claim := r.claims.Routine
	refuse := func(message string) error {
		return &fault.Error{
			Kind: fault.Conflict, Step: string(routine.GetRoutine), Code: CodeNotOwned, RequestID: seen.RequestID,
			Message: fmt.Sprintf("routine %q %s", r.req.Name, message),
			Hint:    "Nothing was changed. If it is yours, an operator can claim it: routinely routines claim " + r.req.Name + ". Then redrive.",
		}
	}
	switch {
	case claim.State == "" || claim.State == routine.Gone:
		return refuse("is in ESA and was not made by Routinely")
	case !is(claim, seen.Routine.CreateTime):
		return refuse(fmt.Sprintf("was made again by somebody else: ESA shows one of %s, the claim is of %s", shown(seen.Routine.CreateTime), shown(claim.CreateTime)))
	case claim.Ownership != routine.Owned:
		return refuse(fmt.Sprintf("is not proven to be made by Routinely: its claim is %s", claim.Ownership))
	}
	return nil
}

func shown(t time.Time) string {
	if t.IsZero() {
		return "no known CreateTime"
	}
	return t.UTC().Format(time.RFC3339)
}

func notOwner(name string) error {
	return &fault.Error{
		Kind: fault.Denied, Step: string(routine.GetRoutine), Code: CodeNotOwner, Message: fmt.Sprintf("routine %q belongs to another caller", name),
		Hint: "Nothing was changed. Its owner, or a caller with the scope operate, may do this.",
	}
}
