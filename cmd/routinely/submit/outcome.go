package submit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/cmd/routinely/display"
	"routinely/shared/api"
	"routinely/shared/fault"
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
	bar := display.NewProgress(s.Err, "ended", len(open))
	defer bar.Close()
	ended := 0
	err := c.Wait(ctx, open, func(job routine.Job) {
		for _, r := range byJob[job.ID] {
			r.saw(job)
		}
		ended++
		bar.Set(ended)
	})
	if cli.Stopped(err) {
		bar.Close()
		s.Note("%d of %d jobs have not ended; they go on, look with: routinely jobs list", len(open)-ended, len(open))
	}
	return err
}

// end shows the results and sums them up.
func (s *submission) end(results []submitted, failed error) error {
	if err := s.table(results); err != nil {
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
	return s.judge(results, counts)
}

// judge makes an error of results that are not all good.
func (s *submission) judge(results []submitted, counts map[string]int) error {
	refused := counts[string(api.Rejected)] + counts[string(api.Failed)]
	bad := counts[string(routine.DeadLettered)] + counts[string(routine.Cancelled)] + counts[string(routine.Dropped)]
	advice := s.advice(results)
	switch {
	case s.wait && bad > 0:
		return &cli.Ending{Code: cli.ExitJobsFailed, Text: "not all jobs have succeeded" + advice}
	case counts[string(api.Rejected)] == len(results):
		return &fault.Error{Kind: fault.Invalid, Message: "no request was accepted" + advice}
	case refused > 0:
		return &cli.Ending{Code: cli.ExitPartly, Text: fmt.Sprintf("%d of %d requests were rejected%s", refused, len(results), advice)}
	case advice != "":
		s.Note("%s", strings.TrimPrefix(advice, "; "))
	}
	return nil
}

// advice is what to type about jobs that are dead, and about requests that are not what their jobs were asked for. It is empty if there are
// none.
func (s *submission) advice(results []submitted) string {
	var dead []string
	reused := 0
	for i := range results {
		switch r := &results[i]; {
		case r.hasJob() && r.State == routine.DeadLettered:
			dead = append(dead, r.JobID)
		case r.mayBeDead():
			reused++
		}
	}
	switch slices.Sort(dead); {
	case s.fromFile && s.key != "" && len(dead) > 0:
		return "; correct the file, then: " + s.again()
	case s.fromFile && s.key != "" && reused > 0 && !s.retryDead:
		return "; if their jobs are dead, they take over what the file says with: " + s.again()
	case len(slices.Compact(dead)) == 1:
		return "; next: " + cli.NextCommand(dead[0], true)
	case len(dead) > 0:
		return "; next: routinely dead-letters list"
	}
	return ""
}

// again is the command that submits the file once more and redrives its dead jobs.
func (s *submission) again() string {
	words := []string{"routinely submit", shellWord(s.file), "--idempotency-key", shellWord(s.key)}
	if s.format != "" {
		words = append(words, "--format", s.format)
	}
	return strings.Join(append(words, "--wait --retry-dead"), " ")
}

// shellWord quotes a word for a shell if it needs that.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:+@%", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func (s *submission) table(results []submitted) error {
	header := []string{"line", "name", "record", "state", "job", "detail"}
	row := func(r submitted) []string {
		return []string{cli.Number(r.Line), r.Name, r.RecordName, r.word(), r.JobID, r.detail()}
	}
	if !s.fromFile {
		return cli.List(s.App, results, header[1:], func(r submitted) []string { return row(r)[1:] })
	}
	return cli.List(s.App, results, header, row)
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
