package accept

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/plain"
	"routinely/shared/routine"
)

// listRoutines lists the routines that are not gone.
func (s *Service) listRoutines(r *http.Request) (reply, error) {
	q := readQuery(r)
	f := api.RoutineFilter{
		Caller: q.word("caller"), State: choice(q, "state", listedStates()...), Ownership: choice(q, "ownership", routine.Ownerships()...),
		Label: q.text("label"), ExpiringBefore: q.time("expiringBefore"),
	}
	q.check("label", checkLabelFilter(f.Label))
	limit, cursor := q.number("limit", defaultPage, 1, ledger.MaxPage), q.short("cursor", maxCursor)
	if err := q.end(); err != nil {
		return reply{}, err
	}
	claims, next, err := s.Ledger.Claims(r.Context(), claimsOf(f), int(limit), cursor)
	if err != nil {
		return reply{}, ledgerFailed(err)
	}
	out := api.RoutineList{Routines: make([]api.Routine, len(claims)), Next: next}
	for i, claim := range claims {
		out.Routines[i] = api.NewRoutine(claim, s.ExpiryGrace)
		out.Routines[i].Ready = claim.State == routine.Live
	}
	return reply{status: http.StatusOK, body: out}, nil
}

// listedStates are the states of the routines that are listed: what is gone is not.
func listedStates() []routine.ClaimState {
	return slices.DeleteFunc(routine.ClaimStates(), func(s routine.ClaimState) bool { return s == routine.Gone })
}

// checkLabelFilter says what is wrong with a label to filter by; empty if nothing is.
func checkLabelFilter(text string) (detail string) {
	key, value, valued := strings.Cut(text, "=")
	switch {
	case text == "":
		return ""
	case valued && value == "":
		return "is given without a value: want KEY or KEY=VALUE"
	case !valued:
		value = "any"
	}
	return routine.CheckLabel(key, value)
}

// checkRoutineFilter holds the filter of a body to the rules that listRoutines holds parameters to.
func checkRoutineFilter(f api.RoutineFilter) (problems []routine.Problem) {
	check := func(pointer, detail string) {
		if detail != "" {
			problems = append(problems, routine.Problem{Pointer: pointer, Code: "value", Detail: detail})
		}
	}
	check("/caller", checkWord(f.Caller))
	check("/label", checkLabelFilter(f.Label))
	if len(f.Names) > api.MaxIDs {
		check("/names", fmt.Sprintf("has %d names, at most %d are possible", len(f.Names), api.MaxIDs))
	}
	for i, name := range f.Names {
		check(fmt.Sprintf("/names/%d", i), routine.CheckName(name))
	}
	check("/ownership", oneOf(f.Ownership, routine.Ownerships()))
	check("/state", oneOf(f.State, listedStates()))
	return routine.Few(problems, maxQueryProblems)
}

// claimsOf is a filter as the ledger takes it. The ledger does not filter by names.
func claimsOf(f api.RoutineFilter) ledger.ClaimFilter {
	out := ledger.ClaimFilter{Caller: f.Caller, State: f.State, Ownership: f.Ownership, ExpiringBefore: f.ExpiringBefore}
	out.LabelKey, out.LabelValue, _ = strings.Cut(f.Label, "=")
	return out
}

// routine tells what is known of a routine: its claim, its host names and its latest jobs.
func (s *Service) routine(r *http.Request) (reply, error) {
	name := r.PathValue("id")
	if routine.CheckName(name) != "" { // no routine has such a name
		return reply{}, unknownRoutine(name)
	}
	holdings, err := s.Ledger.Holdings(r.Context(), []ledger.Wanted{{Name: name}})
	if err != nil {
		return reply{}, ledgerFailed(err)
	}
	jobs, _, err := s.Ledger.Jobs(r.Context(), ledger.Filter{Name: name}, api.MaxShownJobs, "")
	if err != nil {
		return reply{}, ledgerFailed(err)
	}
	claim := holdings[0].Claim
	if !claim.Exists() && len(jobs) == 0 {
		return reply{}, unknownRoutine(name)
	}
	out := api.NewRoutine(claim.Claim, s.ExpiryGrace)
	out.Versions = claim.Versions
	if err := s.showRecords(r, &out); err != nil {
		return reply{}, err
	}
	for _, job := range jobs {
		out.Ready = out.Ready || job.Ready && !claim.Exists() // made before there were claims
		out.Jobs = append(out.Jobs, api.RoutineJob{
			JobID: job.ID, Action: job.Request.Action, State: job.State, Caller: job.Caller, AcceptedAt: job.AcceptedAt, RecordNames: job.Request.RecordNames(),
		})
	}
	return reply{status: http.StatusOK, body: out}, nil
}

// showRecords adds the host names that are bound, or about to be, and whether the routine answers under one of them.
func (s *Service) showRecords(r *http.Request, out *api.Routine) error {
	there := out.State == routine.Live || out.State == routine.Expiring
	var needCNAME []string
	for row, err := range s.Ledger.RecordClaims(r.Context(), out.Name) {
		if err != nil {
			return ledgerFailed(err)
		}
		if row.State == routine.Gone && !row.Expired {
			continue
		}
		bound := row.State == routine.Live && there
		out.Ready = out.Ready || bound
		if bound && row.NeedsCNAME {
			needCNAME = append(needCNAME, row.RecordName)
		}
		if len(out.Records) == api.MaxShownRecords {
			out.More = true
			continue
		}
		out.Records = append(out.Records, api.RoutineRecord{
			RecordName: row.RecordName, SiteID: row.SiteID, RecordID: row.RecordID, State: row.State, Ownership: row.Ownership, Caller: row.Caller,
			JobID: row.JobID, ChangedAt: row.ChangedAt, NeedsCNAME: row.NeedsCNAME,
		})
	}
	out.Note = routine.CNAMENote(needCNAME)
	return nil
}

func unknownRoutine(name string) error {
	return problemUnknownRoutine.with(fmt.Sprintf("nothing is known of a routine %q", plain.Clip(name, maxShown)))
}
