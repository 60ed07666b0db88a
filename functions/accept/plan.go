package accept

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// planDeletion says which routines a deletion would delete. It changes nothing.
func (s *Service) planDeletion(r *http.Request) (reply, error) {
	var given api.PlanRequest
	if err := readStrict(r, &given); err != nil {
		return reply{}, err
	}
	if problems := checkRoutineFilter(given.RoutineFilter); len(problems) > 0 {
		return reply{}, &routine.Invalid{Problems: problems}
	}
	if detail := whichOnes(given.RoutineFilter, given.All, `"all": true`); detail != "" {
		return reply{}, &routine.Invalid{Problems: []routine.Problem{{Code: "missing", Detail: detail}}}
	}
	caller := callerOf(r.Context())
	claims, err := s.chosen(r.Context(), caller, given.RoutineFilter)
	if err != nil {
		return reply{}, err
	}
	plan := api.Plan{Items: make([]api.PlanItem, len(claims))}
	for i, claim := range claims {
		plan.Items[i] = s.planned(caller, claim)
		if plan.Items[i].Delete {
			plan.Delete++
		}
	}
	plan.Hash = hashOf(plan.Items)
	return reply{status: http.StatusOK, body: plan}, nil
}

// chosen are the claims that a filter chooses, at most api.MaxIDs. Who may not operate sees its own alone.
func (s *Service) chosen(ctx context.Context, caller auth.Caller, f api.RoutineFilter) ([]routine.Claim, error) {
	filter := claimsOf(f)
	if !mayOperate(caller) {
		if f.Caller != "" && f.Caller != caller.Name {
			return nil, notOwner("only a caller with the scope operate may plan to delete what others own")
		}
		filter.Caller = caller.Name
	}
	named := map[string]bool{}
	for _, name := range f.Names {
		named[name] = true
	}
	var out []routine.Claim
	for cursor := ""; ; {
		claims, next, err := s.Ledger.Claims(ctx, filter, ledger.MaxPage, cursor)
		if err != nil {
			return nil, ledgerFailed(err)
		}
		for _, claim := range claims {
			if len(named) > 0 && !named[claim.Name] {
				continue
			}
			if len(out) == api.MaxIDs {
				return nil, problemTooLarge.with(fmt.Sprintf("the filter chooses more than %d routines: choose fewer", api.MaxIDs))
			}
			out = append(out, claim)
		}
		if cursor = next; next == "" {
			return out, nil
		}
	}
}

// planned is a claim as an item of a plan.
func (s *Service) planned(caller auth.Caller, c routine.Claim) api.PlanItem {
	item := api.PlanItem{
		Name: c.Name, CreateTime: c.CreateTime, Number: c.Newest(), Caller: c.Caller, Labels: c.Labels, ExpiresAt: c.ExpiresAt,
	}
	switch outside := caller.Limits.Outside(routine.Request{Name: c.Name}, s.Now()); {
	case c.State == routine.Creating:
		item.Why = "kept: it is being made"
	case c.DeleteNumber > c.CreateNumber:
		item.Why = "kept: job " + c.DeleteJob + " deletes it already"
	case c.Ownership != routine.Owned:
		item.Why = fmt.Sprintf("kept: it is %s and not proven to be made by Routinely", c.Ownership)
	case c.Caller != caller.Name && !mayOperate(caller):
		item.Why = "kept: it belongs to another caller"
	case len(outside) > 0:
		item.Why = "kept: " + outside[0].Detail
	case !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(s.Now()):
		item.Delete, item.Why = true, "its time is over since "+c.ExpiresAt.Format(time.RFC3339)
	default:
		item.Delete, item.Why = true, "the filter chooses it"
	}
	return item
}

// hashOf stands for exactly these items.
func hashOf(items []api.PlanItem) string {
	text, _ := json.Marshal(items) // texts, times in range and numbers
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
