package accept

import (
	"fmt"
	"net/http"
	"strconv"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// applyDeletion accepts the deletions of a plan. A routine that has changed since the plan was made is left alone.
func (s *Service) applyDeletion(r *http.Request) (reply, error) {
	var given api.ApplyRequest
	if err := readStrict(r, &given); err != nil {
		return reply{}, err
	}
	if problems := checkApplied(given); len(problems) > 0 {
		return reply{}, &routine.Invalid{Problems: problems}
	}
	if given.Hash != hashOf(given.Items) {
		return reply{}, problemPlanChanged.with("the hash does not stand for these items: send the plan's items as they were given")
	}
	if !s.MayDelete {
		return reply{}, problemNoDeletion
	}
	key, err := keyOf(r)
	if err != nil {
		return reply{}, err
	}
	var items []api.PlanItem
	for _, item := range given.Items {
		if item.Delete {
			items = append(items, item)
		}
	}
	if err := s.spend(r.Context(), max(0, len(items)-1)); err != nil {
		return reply{}, err
	}
	out, failed := s.apply(r, given, items, key)
	logging.From(r.Context()).WithFields(logging.Fields{
		"reason": given.Reason, "accepted": out.Accepted, "rejected": out.Rejected, "failed": out.Failed,
	}).Warn("deletions of a plan")
	return answerVerdicts(r.Context(), out, out.Accepted+out.Duplicate, failed, http.StatusConflict), nil
}

// checkApplied holds the body to its rules.
func checkApplied(given api.ApplyRequest) (problems []routine.Problem) {
	add := func(pointer, code, detail string) {
		problems = append(problems, routine.Problem{Pointer: pointer, Code: code, Detail: detail})
	}
	if given.CallbackURL != "" {
		if wrong := routine.CheckCallbackURL(given.CallbackURL); wrong != "" {
			add("/callbackUrl", "value", wrong)
		}
	}
	if given.Hash == "" {
		add("/hash", "missing", "is required: that of the plan")
	}
	switch {
	case len(given.Items) == 0:
		add("/items", "missing", "is required: those of the plan, as they were given")
	case len(given.Items) > api.MaxIDs:
		add("/items", "value", fmt.Sprintf("has %d items, at most %d are possible", len(given.Items), api.MaxIDs))
	}
	for i, item := range given.Items {
		if wrong := routine.CheckName(item.Name); wrong != "" {
			add("/items/"+strconv.Itoa(i)+"/name", "value", wrong)
		}
	}
	if p, wrong := checkReason(given.Reason); wrong {
		problems = append(problems, p)
	}
	return routine.Few(problems, maxQueryProblems)
}

// apply accepts a deletion for each item that is as the plan says. failed is the problem of the last item that may be sent again.
func (s *Service) apply(r *http.Request, given api.ApplyRequest, items []api.PlanItem, key string) (out api.Applied, failed problem) {
	caller := callerOf(r.Context())
	admissions := make([]admission, len(items))
	var jobs []routine.Job
	var places []int
	wanted := map[string]api.PlanItem{}
	for i, item := range items {
		wanted[item.Name] = item
		own := key
		if key != "" {
			own = key + "/" + item.Name
		}
		job, err := s.newJob(caller, routine.Request{Action: routine.Delete, Name: item.Name, CallbackURL: given.CallbackURL}, own)
		if err != nil {
			admissions[i].err = err
			continue
		}
		jobs, places = append(jobs, job), append(places, i)
	}
	unchanged := func(req routine.Request, h ledger.Holding) error {
		return s.asPlanned(caller, wanted[req.Name], h.Claim)
	}
	for n, a := range s.admit(r.Context(), jobs, terms{bulk: true, more: unchanged}) {
		admissions[places[n]] = a
	}
	out.Items = make([]api.AppliedItem, len(items))
	for i, a := range admissions {
		v := verdictOf(a)
		out.Items[i] = api.AppliedItem{Name: items[i].Name, Status: v.Status, JobID: v.JobID, Problem: v.Problem}
		if out.Count(v.Status); v.Status == api.Failed {
			failed = problemOf(a.err)
		}
	}
	return out, failed
}

// asPlanned refuses a routine that is not as the plan says.
func (s *Service) asPlanned(caller auth.Caller, item api.PlanItem, claim ledger.ClaimRow) error {
	now := s.planned(caller, claim.Claim)
	if now.Delete && claim.There() && now.CreateTime.Equal(item.CreateTime) && now.Number == item.Number {
		return nil
	}
	detail := "the routine has changed since the plan was made, and is left alone"
	if !now.Delete {
		detail += ". It would be " + now.Why
	}
	return problemPlanChanged.with(detail)
}
