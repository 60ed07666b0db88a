package submit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// await waits for the jobs to end.
func (s *submission) await(ctx context.Context, c *client.Client, results []submitted) error {
	byJob := map[string][]*submitted{}
	var open []string
	for i := range results {
		r := &results[i]
		if !r.hasJob() || r.Job != nil && r.State.Final() {
			continue
		}
		if byJob[r.JobID] == nil {
			open = append(open, r.JobID)
		}
		byJob[r.JobID] = append(byJob[r.JobID], r)
	}
	return s.Wait(ctx, c, open, func(job routine.Job) {
		for _, r := range byJob[job.ID] {
			r.saw(job)
		}
	})
}

// end shows the results and sums them up.
func (s *submission) end(results []submitted, failed error) error {
	if err := s.show(results); err != nil {
		return err
	}
	counts := countWords(results, (*submitted).word)
	if len(results) > 1 {
		s.Note("%s", summary(len(results), "request", counts))
	}
	s.noteForgotten()
	if failed != nil {
		return failed
	}
	if err := s.judge(results, counts); err != nil {
		return err
	}
	return s.notServing(results)
}

// judge makes an error of results that are not all good.
func (s *submission) judge(results []submitted, counts map[string]int) error {
	refused := counts[string(api.Rejected)] + counts[string(api.Failed)]
	bad := 0
	for _, state := range notSucceeded() {
		bad += counts[string(state)]
	}
	next := s.next(results)
	switch {
	case s.wait && bad > 0:
		return &cli.Ending{Code: cli.ExitJobsFailed, Text: "not all jobs have succeeded", Next: next}
	case counts[string(api.Rejected)] == len(results):
		return &cli.Ending{Code: cli.ExitInvalid, Text: "no request was accepted", Next: next}
	case refused > 0:
		return &cli.Ending{Code: cli.ExitPartly, Text: fmt.Sprintf("%d of %d requests were rejected", refused, len(results)), Next: next}
	case next != "":
		s.Note("next: %s", next)
	}
	return nil
}

// next is the command to go on with; empty if there is nothing to do.
func (s *submission) next(results []submitted) string {
	if s.dryRun {
		hidden := strings.Contains(s.callbackURL, "?") // which may hold a secret that a script has put there
		if hidden || slices.ContainsFunc(results, submitted.failed) {
			return ""
		}
		return cli.Again(s.cmd, "dry-run")
	}
	var dead, open []string
	reused := false
	for i := range results {
		switch r := &results[i]; {
		case r.hasJob() && r.State == routine.DeadLettered:
			dead = append(dead, r.JobID)
		case r.mayBeDead():
			reused = true
		case r.hasJob() && !r.State.Final():
			open = append(open, r.JobID)
		}
	}
	slices.Sort(dead)
	dead = slices.Compact(dead)
	switch {
	case s.fromFile && s.key != "" && (len(dead) > 0 || reused && !s.retryDead):
		return s.again()
	case len(dead) == 1:
		return "routinely dead-letters show " + dead[0]
	case len(dead) > 0:
		return "routinely dead-letters list"
	case len(open) == 1:
		return "routinely jobs get " + open[0] + " --wait"
	case len(open) > 1:
		return "routinely jobs list --state queued"
	}
	return ""
}

// again is the command that submits the corrected file again, and redrives its dead jobs.
func (s *submission) again() string {
	words := []string{"routinely submit", cli.Word(s.file), "--idempotency-key", cli.Word(s.key)}
	if s.format != "" {
		words = append(words, "--format", string(s.format))
	}
	return strings.Join(append(words, "--wait --retry-dead   # with the file corrected"), " ")
}

// notSucceeded are the states of jobs that have ended, and not as was asked for.
func notSucceeded() []routine.State {
	return slices.DeleteFunc(routine.States(), func(s routine.State) bool { return !s.Final() || s == routine.Succeeded })
}

// failed reports whether somebody has to act on a request.
func (r submitted) failed() bool {
	bad := []string{string(api.Rejected), string(api.Failed), string(statusUnanswered)}
	for _, state := range notSucceeded() {
		bad = append(bad, string(state))
	}
	return slices.Contains(bad, r.word()) || r.hasJob() && r.State == routine.DeadLettered || len(r.unseen()) > 0
}

// list is how the results are shown.
func list() cli.List[submitted] {
	return cli.List[submitted]{
		ID: func(r submitted) string {
			if r.hasJob() {
				return r.JobID
			}
			return ""
		},
		Columns: []cli.Column[submitted]{
			{Name: "line", Text: func(r submitted) string { return cli.Number(r.Line) }},
			{Name: "item", Text: func(r submitted) string { return cli.Number(r.Item) }},
			{Name: "name", Least: 10, Text: func(r submitted) string { return r.Name }},
			{Name: "record", Least: 16, Turn: 2, Text: func(r submitted) string { return r.hostNames() }},
			{Name: "state", Text: func(r submitted) string { return r.word() }},
			{Name: "job", Turn: 1, Text: func(r submitted) string { return r.JobID }},
			{Name: "detail", Least: 22, Text: func(r submitted) string { return strings.Trim(r.detail()+"; "+r.serving(), "; ") }},
			{Name: "key", Least: 12, OnWish: true, Text: func(r submitted) string { return r.Key }},
		},
	}
}

// show writes the results: in a table what has failed first, elsewhere in the order of the file. That of one request is not a table.
func (s *submission) show(results []submitted) error {
	if !s.fromFile && !s.AsList() {
		r := results[0]
		return s.Show(r, cli.Fields{
			{"job", r.JobID}, {"state", r.word()}, {"name", r.Name}, {"record", r.hostNames()}, {"key", s.key}, {"outcome", r.detail()}, {"serving", r.serving()},
		})
	}
	shown := slices.Clone(results)
	if s.failed {
		shown = slices.DeleteFunc(shown, func(r submitted) bool { return !r.failed() })
	}
	if s.Table() {
		slices.SortStableFunc(shown, func(a, b submitted) int { return place(a) - place(b) })
	}
	return list().Show(s.App, shown)
}

// place is where a result stands in a table.
func place(r submitted) int {
	if r.failed() {
		return 0
	}
	return 1
}

// countWords counts results by a word about each.
func countWords(results []submitted, word func(*submitted) string) map[string]int {
	counts := map[string]int{}
	for i := range results {
		counts[word(&results[i])]++
	}
	return counts
}

// summary counts things by what became of them, in the order of the alphabet.
func summary(all int, what string, counts map[string]int) string {
	parts := make([]string, 0, len(counts))
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[word], word))
	}
	return cli.Plural(all, what) + ": " + strings.Join(parts, ", ")
}
