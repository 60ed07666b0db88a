package ledger

import (
	"context"

	"routinely/shared/routine"
)

// Intend writes the number of a job that wants something to be gone to the claim of the thing, so that older intents give way to it. It does
// nothing for other jobs, which write theirs in the lane, and none of a newer intent's.
func (l *Ledger) Intend(ctx context.Context, r Row, h Holding) error {
	switch r.Request.Action {
	case routine.Delete, routine.Remove:
		_, err := l.ChangeClaim(ctx, h.Claim, func(c *routine.Claim) error {
			if c.DeleteNumber < r.IntentNumber() {
				c.DeleteNumber, c.DeleteJob, c.Overtook = r.IntentNumber(), r.ID, nil
			}
			if c.State == "" { // the claim is only about the order
				c.State = routine.Gone
			}
			return nil
		})
		return err
	case routine.Unbind:
		_, err := l.ChangeRecord(ctx, h.Records[0], func(c *routine.RecordClaim) error {
			c.Leave(r.IntentNumber(), r.ID)
			if c.State == "" {
				c.State = routine.Gone
			}
			return nil
		})
		return err
	default:
		return nil
	}
}

// TakeBack takes the intent of a job that wanted something to be gone back from the claim, since it is not carried out: why is kept with the claim. It
// returns the jobs that a deletion has overtaken.
func (l *Ledger) TakeBack(ctx context.Context, jobID string, req routine.Request, why string) (overtook []string, err error) {
	holdings, err := l.Holdings(ctx, []Wanted{{Name: req.Name, RecordNames: req.RecordNames()}})
	if err != nil {
		return nil, err
	}
	h := holdings[0]
	switch req.Action {
	case routine.Delete, routine.Remove:
		if h.Claim.DeleteJob != jobID {
			return nil, nil
		}
		_, err = l.ChangeClaim(ctx, h.Claim, func(c *routine.Claim) error {
			overtook = c.Overtook
			c.TakeBack(jobID, why)
			return nil
		})
	case routine.Unbind:
		if h.Records[0].JobID != jobID {
			return nil, nil
		}
		_, err = l.ChangeRecord(ctx, h.Records[0], func(c *routine.RecordClaim) error {
			c.TakeBack(jobID)
			return nil
		})
	default:
	}
	return overtook, err
}
