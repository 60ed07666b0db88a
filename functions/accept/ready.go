package accept

import (
	"context"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// ready takes back that jobs are ready whose routine or host names are not there any more.
func (s *Service) ready(ctx context.Context, jobs []routine.Job) error {
	var wanted []ledger.Wanted
	var places []int
	for i, job := range jobs {
		if job.Ready {
			wanted, places = append(wanted, ledger.Wanted{Name: job.Request.Name, RecordNames: job.Request.RecordNames()}), append(places, i)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	holdings, err := s.Ledger.Holdings(ctx, wanted)
	if err != nil {
		return ledgerFailed(err)
	}
	for n, h := range holdings {
		jobs[places[n]].Ready = isThere(h)
	}
	return nil
}

// isThere reports whether nothing is known against a routine and its host names being there. What has no claim was made before there were any.
func isThere(h ledger.Holding) bool {
	if h.Claim.Exists() && h.Claim.State != routine.Live && h.Claim.State != routine.Expiring {
		return false
	}
	for _, record := range h.Records {
		if record.Exists() && record.State != routine.Live {
			return false
		}
	}
	return true
}
