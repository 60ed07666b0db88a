package accept

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// readFilter takes the parameters that choose dead letters.
func readFilter(q *query) api.DeadLetterFilter {
	f := api.DeadLetterFilter{
		Kind: string(choice(q, "kind", fault.Kinds()...)), Code: q.word("code"), Step: choice(q, "step", routine.Steps()...),
		Origin: choice(q, "origin", api.Worker, api.Trigger), Name: q.name("name"), RecordName: q.recordName("record"),
		SiteID: q.id("siteId"), Caller: q.word("caller"), KeyPrefix: q.word("keyPrefix"),
		Since: q.time("since"), Until: q.time("until"),
	}
	if text := q.text("id"); text != "" {
		f.IDs = strings.Split(text, ",")
		q.check("id", checkIDs(f.IDs))
	}
	return f
}

func checkIDs(ids []string) (detail string) {
	switch {
	case len(ids) > api.MaxIDs:
		return fmt.Sprintf("has %d ids, at most %d are possible", len(ids), api.MaxIDs)
	case slices.ContainsFunc(ids, func(id string) bool { return id == "" || len(id) > maxWord }):
		return fmt.Sprintf("an id is a text of 1 to %d bytes", maxWord)
	}
	return ""
}

// checkFilter holds the filter of a body to the rules that readFilter holds parameters to, and normalises it.
func checkFilter(f *api.DeadLetterFilter) (problems []routine.Problem) {
	check := func(member, detail string) {
		if detail != "" {
			problems = append(problems, routine.Problem{Pointer: "/" + member, Code: "value", Detail: detail})
		}
	}
	for member, text := range map[string]string{"code": f.Code, "caller": f.Caller, "keyPrefix": f.KeyPrefix} {
		check(member, checkWord(text))
	}
	check("ids", checkIDs(f.IDs))
	check("kind", oneOf(fault.Kind(f.Kind), fault.Kinds()))
	check("step", oneOf(f.Step, routine.Steps()))
	check("origin", oneOf(f.Origin, []api.Origin{api.Worker, api.Trigger}))
	if f.Name != "" {
		check("name", routine.CheckName(f.Name))
	}
	if f.RecordName != "" {
		normal, detail := routine.NormalizeRecordName(f.RecordName)
		check("recordName", detail)
		f.RecordName = normal
	}
	slices.SortFunc(problems, func(a, b routine.Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
	return problems
}

func oneOf[T ~string](value T, values []T) (detail string) {
	if value == "" || slices.Contains(values, value) {
		return ""
	}
	return fmt.Sprintf("%.40q is not one of %q", value, values)
}

// inLedger is a filter as the ledger takes it.
func inLedger(f api.DeadLetterFilter) ledger.DeadFilter {
	return ledger.DeadFilter{
		IDs: f.IDs, Kind: f.Kind, Code: f.Code, Step: f.Step, Origin: ledger.Origin(f.Origin), Name: f.Name, RecordName: f.RecordName,
		SiteID: f.SiteID, Caller: f.Caller, KeyPrefix: f.KeyPrefix, Since: f.Since, Until: f.Until,
	}
}

// ownKeys keeps callers from each other's idempotency keys: without the scope operate a prefix chooses among the caller's own dead letters.
func ownKeys(caller auth.Caller, f *api.DeadLetterFilter) error {
	denied := caller.May(auth.Operate)
	if f.KeyPrefix == "" || denied == nil {
		return nil
	}
	if f.Caller != "" && f.Caller != caller.Name {
		return notAllowed(problemDenied, denied)
	}
	f.Caller = caller.Name
	return nil
}

// expiresWithin is how long before a dead letter is forgotten the filter expiring begins to choose it.
const expiresWithin = 7 * 24 * time.Hour

// onlyExpiring narrows a filter to dead letters that the ledger is about to forget at a time. A ledger that remembers for ever forgets none.
func (s *Service) onlyExpiring(f *api.DeadLetterFilter, at time.Time) {
	last := time.Unix(0, 0).UTC()
	if s.Retention > 0 {
		last = at.Add(expiresWithin - s.Retention)
	}
	if f.Until.IsZero() || f.Until.After(last) {
		f.Until = last
	}
}

// countPrice is how many requests more it costs to count dead letters: as many as it can take reads of the ledger.
const countPrice = 20

// listDeadLetters lists dead letters.
func (s *Service) listDeadLetters(r *http.Request) (reply, error) {
	q := readQuery(r)
	f := readFilter(q)
	expiring, counts := q.flag("expiring"), q.flag("counts")
	limit, from := q.number("limit", defaultPage, 1, ledger.MaxPage), q.place("cursor", s.Now())
	if err := q.end(); err != nil {
		return reply{}, err
	}
	if err := ownKeys(callerOf(r.Context()), &f); err != nil {
		return reply{}, err
	}
	if expiring {
		s.onlyExpiring(&f, from.AsOf)
	}
	if counts {
		if err := s.spend(r.Context(), countPrice); err != nil {
			return reply{}, err
		}
	}
	rows, next, err := s.Ledger.DeadLetters(r.Context(), inLedger(f), int(limit), from.Next)
	if err != nil {
		return reply{}, ledgerFailed(err)
	}
	out := api.DeadLetterList{DeadLetters: make([]api.DeadLetter, 0, len(rows))}
	for _, row := range rows {
		out.DeadLetters = append(out.DeadLetters, letterOf(r, row))
	}
	if next != "" {
		out.Next = place{from.AsOf, next}.cursor()
	}
	if counts {
		if out.Counts, err = s.count(r, f); err != nil {
			return reply{}, ledgerFailed(err)
		}
	}
	return reply{status: http.StatusOK, body: out}, nil
}

// maxCodes bounds what a count lists: ESA, not we, says which codes there are.
const maxCodes = 100

func (s *Service) count(r *http.Request, f api.DeadLetterFilter) (*api.Counts, error) {
	total, codes, complete, err := s.Ledger.CountDead(r.Context(), inLedger(f))
	out := &api.Counts{Total: total, Codes: make([]api.CodeCount, 0, len(codes)), Complete: complete}
	for _, c := range codes[:min(len(codes), maxCodes)] {
		out.Codes = append(out.Codes, api.CodeCount(c))
	}
	return out, err
}

// deadLetter shows one dead letter whole. A message that holds no job may hold anything, so that its bytes are for operators alone and each
// showing is logged.
func (s *Service) deadLetter(r *http.Request) (reply, error) {
	row, err := s.Ledger.Row(r.Context(), r.PathValue("id"))
	if err != nil || row.State != routine.DeadLettered {
		return reply{}, letterFailed(r, err)
	}
	job, out := row.Shown(), letterOf(r, row)
	out.Progress, out.Attempts, out.Redrives, out.Problems = row.Progress, job.Attempts, job.Redrives, row.Problems
	if row.Received != nil && callerOf(r.Context()).May(auth.Operate) == nil {
		out.Received = row.Received
		logging.Of(r.Context(), row.ID, row.Trace.ID()).Info("message of a dead letter shown")
	}
	return reply{status: http.StatusOK, body: out}, nil
}

// letterOf is a dead letter as lists show it to the caller.
func letterOf(r *http.Request, row ledger.Row) api.DeadLetter {
	job := visible(r, row.Shown())
	out := api.DeadLetter{
		ID: job.ID, JobID: job.ID, Origin: api.Origin(row.Origin), Kind: job.Kind, Code: job.Code, Hint: job.Hint, Reason: job.Reason,
		DeadAt: row.DiedAt, Caller: job.Caller, Key: job.Key, ClaimsJob: job.ClaimsJob, AcceptedAt: job.AcceptedAt, ProducedAt: job.ProducedAt, Attempt: job.Attempt, Redriven: job.Redriven,
		Left: job.Left, Callback: job.Callback,
	}
	if last := row.Last; last != nil {
		out.Message, out.RequestID, out.Step = last.Message, last.RequestID, last.Step
	}
	if job.Request.Name != "" {
		out.Request = &job.Request
	}
	return out
}

// letterFailed is the problem of a dead letter that could not be read, or that the path names and that is none.
func letterFailed(r *http.Request, err error) problem {
	if err == nil || fault.HasCode(err, ledger.CodeUnknownJob) || fault.HasCode(err, ledger.CodeNotDead) {
		return problemUnknownLetter.with(fmt.Sprintf("job %.255q is not a dead letter: it was redriven or dropped, or never was one", r.PathValue("id")))
	}
	return ledgerFailed(err)
}
