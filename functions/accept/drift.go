package accept

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// checkDrift tells what differs between the claims and what ESA showed last. Nothing is corrected.
func (s *Service) checkDrift(r *http.Request) (reply, error) {
	listing, err := s.Ledger.Listing(r.Context())
	if err != nil {
		return reply{}, ledgerFailed(err)
	}
	out := api.Drift{ReadAt: listing.ReadAt, Findings: []api.Finding{}}
	if listing.ReadAt.IsZero() {
		return reply{status: http.StatusOK, body: out}, nil
	}
	if out.Findings, err = s.findings(r.Context(), listing); err != nil {
		return reply{}, ledgerFailed(err)
	}
	slices.SortStableFunc(out.Findings, func(a, b api.Finding) int { return strings.Compare(a.Name, b.Name) })
	if len(out.Findings) > api.MaxFindings {
		out.Findings, out.More = out.Findings[:api.MaxFindings], true
	}
	return reply{status: http.StatusOK, body: out}, nil
}

// findings compares all claims with what ESA showed.
func (s *Service) findings(ctx context.Context, listing routine.Listing) ([]api.Finding, error) {
	out := []api.Finding{}
	unclaimed := map[string]routine.ListedRoutine{}
	for _, seen := range listing.Routines {
		unclaimed[seen.Name] = seen
	}
	for cursor := ""; ; {
		claims, next, err := s.Ledger.Claims(ctx, ledger.ClaimFilter{}, ledger.MaxPage, cursor)
		if err != nil {
			return nil, err
		}
		for _, claim := range claims {
			seen, there := unclaimed[claim.Name]
			delete(unclaimed, claim.Name)
			if finding, found := driftOf(claim, seen, there, listing.ReadAt); found {
				out = append(out, finding)
			}
			out = append(out, foreignTo(claim, seen.Foreign)...)
		}
		if cursor = next; next == "" {
			break
		}
	}
	names := slices.Sorted(maps.Keys(unclaimed))
	wanted := make([]ledger.Wanted, len(names))
	for i, name := range names {
		wanted[i].Name = name
	}
	holdings, err := s.Ledger.Holdings(ctx, wanted)
	for i, h := range holdings {
		if h.Claim.Exists() && changedSince(h.Claim.Claim, listing.ReadAt) { // it was deleted, or claimed, a moment ago
			continue
		}
		out = append(out, api.Finding{
			Name: names[i], What: api.DriftUnclaimed, Command: "routinely routines claim " + names[i],
			Detail: "ESA has had it since " + shownTime(unclaimed[names[i]].CreateTime) + ", and Routinely has no claim to it",
		})
	}
	return out, err
}

// changedSince reports whether a claim may have been changed after ESA was read. Such a claim is not compared: it would only show the time between.
func changedSince(c routine.Claim, readAt time.Time) bool {
	return c.ChangedAt.After(readAt.Add(-routine.ClockSkew))
}

// driftOf compares a claim with what ESA showed.
func driftOf(c routine.Claim, seen routine.ListedRoutine, there bool, readAt time.Time) (api.Finding, bool) {
	if !c.There() || c.State == routine.Deleting || changedSince(c, readAt) {
		return api.Finding{}, false
	}
	f := api.Finding{Name: c.Name}
	switch {
	case !there && c.Ownership == routine.Owned:
		f.What, f.Detail = api.DriftGone, "ESA does not have it any more: somebody else deleted it. Ask for it again to make it again, or delete it"
		f.Command = "routinely routines delete " + c.Name
	case !there:
		f.What, f.Detail = api.DriftGone, "ESA does not have it any more: somebody else deleted it. Ask for it again to make it again"
	case !seen.CreateTime.IsZero() && !c.CreateTime.IsZero() && !seen.CreateTime.Equal(c.CreateTime):
		f.What = api.DriftMadeAgain
		f.Detail = fmt.Sprintf("somebody else has made it again: ESA shows one of %s, the claim is of %s", shownTime(seen.CreateTime), shownTime(c.CreateTime))
		f.Command = "routinely routines claim " + c.Name
	case c.Ownership == routine.Owned && !sameDescription(c.Description, seen.Description):
		f.What, f.Detail = api.DriftDescription, "the description in ESA is another one than was last given"
		f.Command = "routinely routines get " + c.Name
	default:
		return f, false
	}
	return f, true
}

// foreignTo tells what is bound to a claim's routine and owned by no claim. Who claimed it since has changed the claim.
func foreignTo(c routine.Claim, foreign *routine.Foreign) (out []api.Finding) {
	if foreign == nil || changedSince(c, foreign.ReadAt) {
		return nil
	}
	tell := func(what, nouns string, names []string, more int, toDo, command string) {
		if len(names) == 0 {
			return
		}
		text := strings.Join(names, ", ")
		if more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		out = append(out, api.Finding{
			Name: c.Name, What: what, Command: command,
			Detail: fmt.Sprintf("at %s ESA showed %s that no claim owns: %s. A deletion of the routine is refused while they are there: %s",
				shownTime(foreign.ReadAt), nouns, text, toDo),
		})
	}
	tell(api.DriftForeignRecord, "records", foreign.Records, foreign.MoreRecords, "claim them with the routine, or remove them in the ESA console",
		"routinely routines claim "+c.Name)
	tell(api.DriftForeignRoute, "routes", foreign.Routes, foreign.MoreRoutes, "remove them in the ESA console", "")
	return out
}

// sameDescription compares the description of a claim with ESA's. A claim keeps the beginning of a long one, with an ellipsis behind it. The examples
// of ESA's pages show descriptions in Base64.
func sameDescription(claimed, shown string) bool {
	if decoded, err := base64.StdEncoding.DecodeString(shown); err == nil && string(decoded) == claimed {
		return true
	}
	beginning, short := strings.CutSuffix(claimed, "…")
	return claimed == shown || short && strings.HasPrefix(shown, beginning)
}

func shownTime(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}
