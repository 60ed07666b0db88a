// Package submit is the command that asks for routines.
package submit

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/cmd/routinely/display"
	"routinely/cmd/routinely/requests"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// submission is one run of the command submit.
type submission struct {
	*cli.App
	name, siteID, recordName, description, ifExists, callbackURL string
	hasAssets                                                    bool
	key, format                                                  string
	wait, dryRun                                                 bool
	// fromFile is whether there are lines to speak of.
	fromFile bool
}

// Verdicts of this program's own beside accept's.
const (
	// statusValid is that of a request in a dry run.
	statusValid api.Status = "valid"
	// statusUnanswered is that of a request that was not sent, or whose answer did not come.
	statusUnanswered api.Status = "unanswered"
)

// submitted is what became of one request.
type submitted struct {
	// Index counts the requests from 0; Line is that in the file.
	Index      int           `json:"index"`
	Line       int           `json:"line,omitempty"`
	Name       string        `json:"name,omitempty"`
	RecordName string        `json:"recordName,omitempty"`
	Key        string        `json:"idempotencyKey,omitempty"`
	Status     api.Status    `json:"status"`
	JobID      string        `json:"jobId,omitempty"`
	State      routine.State `json:"state,omitempty"`
	Problem    *api.Problem  `json:"problem,omitempty"`
	// Job is the job as it was seen last, if it was waited for.
	Job *routine.Job `json:"job,omitempty"`
	// Request is what a dry run would send.
	Request *routine.Request `json:"request,omitempty"`

	// ownKey is set if this run has made the key: then nobody else can have used it.
	ownKey bool
}

const submitExample = `  routinely submit --name hello --site-id 54362329990032 --record-name hello.example.com --wait
  routinely submit customers.csv --wait
  generate | routinely submit - --format ndjson -o json`

// Command returns the command submit.
func Command(a *cli.App) *cobra.Command {
	s := &submission{App: a}
	cmd := &cobra.Command{
		Use: "submit [FILE|-]", Short: "Ask for a routine, or for those of a file", Example: submitExample,
		Long: `Ask for one routine with flags, or for many with a file or standard input: JSON (an object or an array), newline-delimited
JSON, or CSV with a header of field names (name, siteId, recordName, description, hasAssets, ifExists, callbackUrl,
idempotencyKey; ESA's spelling is possible too). What is wrong with one request does not stop the others.

Requests without an idempotency key get one, so that this run can send them again safely when an answer is lost. To make a
whole run repeatable, give --idempotency-key: the requests of a file then have the key followed by /0, /1 and so on.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&s.name, "name", "", "`name` of the routine")
	flags.StringVar(&s.siteID, "site-id", "", "ESA's `id` of the site")
	flags.StringVar(&s.recordName, "record-name", "", "host `name` that triggers the routine")
	flags.StringVar(&s.description, "description", "", "free `text`")
	flags.BoolVar(&s.hasAssets, "has-assets", false, "the routine comes with asset files")
	flags.StringVar(&s.ifExists, "if-exists", "", "what to do with a routine or record that exists: `adopt` or fail")
	flags.StringVar(&s.callbackURL, "callback-url", "", "`URL` to call when the job has ended")
	flags.StringVar(&s.key, "idempotency-key", "", "`key` under which asking again gives the same jobs")
	flags.StringVar(&s.format, "format", "", "`format` of the file: json, ndjson or csv; default: by its name, else by looking")
	flags.BoolVar(&s.wait, "wait", false, "wait until all jobs have ended")
	flags.BoolVar(&s.dryRun, "dry-run", false, "only check the requests and show what would be sent")
	return cmd
}

// fieldFlags are the flags that describe one request.
var fieldFlags = []string{"name", "site-id", "record-name", "description", "has-assets", "if-exists", "callback-url"}

func (s *submission) run(cmd *cobra.Command, args []string) error {
	items, err := s.read(cmd, args)
	if err != nil {
		return err
	}
	if first := items[0]; first.Invalid != nil && !s.fromFile {
		return invalid(first.Invalid)
	}
	results, wishes := s.prepare(items)
	if s.dryRun {
		return s.end(results, nil)
	}
	c, err := s.Connect()
	if err != nil {
		return err
	}
	if !s.fromFile {
		if err := results[0].send(cmd.Context(), c, wishes[0]); err != nil {
			return err
		}
	} else if err := s.sendAll(cmd.Context(), c, results, wishes); err != nil {
		return s.end(results, err)
	}
	if s.wait {
		err = s.await(cmd.Context(), c, results)
	}
	return s.end(results, err)
}

// read reads the requests from flags or from a file.
func (s *submission) read(cmd *cobra.Command, args []string) ([]requests.Item, error) {
	single := false
	for _, flag := range fieldFlags {
		single = single || cmd.Flags().Changed(flag)
	}
	if err := requests.CheckKey(s.key); err != nil {
		return nil, cli.Usage("%s", err)
	}
	switch {
	case single && len(args) > 0:
		return nil, cli.Usage("give the request with flags or in a file, not both")
	case single && s.format != "":
		return nil, cli.Usage("--format is about a file")
	case single:
		return requests.Read(strings.NewReader(s.object(cmd)), requests.JSON)
	case len(args) == 0:
		return nil, cli.Usage("give a request with --name, --site-id and --record-name, or the name of a file, or - for standard input")
	}
	s.fromFile = true
	return s.readFile(args[0])
}

// object is the request that the flags describe, as JSON: its rules and their words are those of a file.
func (s *submission) object(cmd *cobra.Command) string {
	members := map[string]any{}
	for flag, member := range map[string]struct {
		name  string
		value any
	}{
		"name": {"name", s.name}, "site-id": {"siteId", s.siteID}, "record-name": {"recordName", s.recordName},
		"description": {"description", s.description}, "has-assets": {"hasAssets", s.hasAssets}, "if-exists": {"ifExists", s.ifExists},
		"callback-url": {"callbackUrl", s.callbackURL},
	} {
		if cmd.Flags().Changed(flag) {
			members[member.name] = member.value
		}
	}
	text, _ := json.Marshal(members) // strings and a truth value
	return string(text)
}

func (s *submission) readFile(name string) ([]requests.Item, error) {
	format, from, called := requests.Format(s.format), s.In, "standard input"
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, cli.Usage("%s", err)
		}
		defer file.Close()
		from, called, format = file, name, cmp.Or(format, requests.FormatOf(name))
	}
	items, err := requests.Read(from, format)
	if err != nil {
		return nil, cli.Usage("%s: %s", called, err)
	}
	return items, nil
}

// prepare gives every request a result and those that are right a wish with a key. The wishes are in the order of the results
// without a problem.
func (s *submission) prepare(items []requests.Item) (results []submitted, wishes []client.Wish) {
	results = make([]submitted, len(items))
	made := rand.Text()
	for i, item := range items {
		r := &results[i]
		*r = submitted{Index: i, Name: item.Request.Name, RecordName: item.Request.RecordName, Key: item.Key, Status: statusUnanswered}
		if s.fromFile {
			r.Line = item.Line
		}
		if item.Invalid != nil {
			r.Status, r.Problem = api.Rejected, problemOf(item.Invalid)
			continue
		}
		switch {
		case r.Key != "" || s.dryRun && s.key == "":
		case s.key != "" && s.fromFile:
			r.Key = fmt.Sprintf("%s/%d", s.key, i)
		case s.key != "":
			r.Key = s.key
		default:
			r.Key, r.ownKey = fmt.Sprintf("%s/%d", made, i), true
		}
		if s.dryRun {
			r.Status, r.Request = statusValid, &item.Request
		}
		wishes = append(wishes, client.Wish{Request: item.Request, Key: r.Key})
	}
	return results, wishes
}

// problemOf words mistakes as accept does.
func problemOf(invalid *routine.Invalid) *api.Problem {
	return &api.Problem{
		Title: "The request breaks the rules for routines", Code: "invalid-request", Detail: invalid.Error(), Errors: invalid.Problems,
	}
}

func invalid(err *routine.Invalid) error {
	p := problemOf(err)
	return &fault.Error{Kind: fault.Invalid, Code: p.Code, Message: p.Title, Err: &client.Refusal{Problem: *p}}
}

// send sends the request of the flags.
func (r *submitted) send(ctx context.Context, c *client.Client, w client.Wish) error {
	job, replayed, err := c.Submit(ctx, w)
	if err != nil {
		return err
	}
	r.Status = api.Accepted
	if replayed && !r.ownKey {
		r.Status = api.Duplicate
	}
	r.saw(job)
	return nil
}

// saw takes over what is known of the job.
func (r *submitted) saw(job routine.Job) { r.JobID, r.State, r.Job = job.ID, job.State, &job }

// sendAll sends the requests of a file.
func (s *submission) sendAll(ctx context.Context, c *client.Client, results []submitted, wishes []client.Wish) error {
	bar := display.NewProgress(s.Err, "submitted", len(wishes))
	verdicts, err := c.SubmitAll(ctx, wishes, bar.Set)
	bar.Close()
	next := 0
	for i := range results {
		if r := &results[i]; r.Status == statusUnanswered {
			r.judged(verdicts[next])
			next++
		}
	}
	return err
}

// judged takes over accept's verdict. A key that this run has made can only be a duplicate of what it sent before.
func (r *submitted) judged(v api.Verdict) {
	if v.Status == "" {
		return
	}
	r.Status, r.JobID, r.State, r.Problem = v.Status, v.JobID, v.State, v.Problem
	if r.Status == api.Duplicate && r.ownKey {
		r.Status = api.Accepted
	}
}

// await waits for the jobs to end.
func (s *submission) await(ctx context.Context, c *client.Client, results []submitted) error {
	byJob := map[string][]*submitted{}
	var open []string
	for i := range results {
		r := &results[i]
		switch {
		case r.JobID == "" || r.Job != nil && r.State.Final():
			continue
		case byJob[r.JobID] == nil:
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
	counts := map[string]int{}
	for i := range results {
		counts[results[i].word()]++
	}
	if len(results) > 1 {
		s.Note("%s", summary(len(results), "request", counts))
	}
	switch rejected := counts[string(api.Rejected)]; {
	case failed != nil:
		return failed
	case rejected == len(results):
		return &fault.Error{Kind: fault.Invalid, Message: "no request was accepted"}
	case s.wait && counts[string(routine.DeadLettered)]+counts[string(routine.Cancelled)] > 0:
		return &cli.Ending{Code: cli.ExitJobsFailed, Text: "not all jobs have succeeded; routinely jobs get ID tells why one has not"}
	case rejected > 0:
		return &cli.Ending{Code: cli.ExitPartly, Text: fmt.Sprintf("%d of %d requests were rejected", rejected, len(results))}
	}
	return nil
}

// word is what became of a request, in a word.
func (r *submitted) word() string {
	if r.Job != nil {
		return string(r.State)
	}
	return string(r.Status)
}

// detail is what else there is to say.
func (r *submitted) detail() string {
	switch {
	case r.Problem != nil:
		return cli.Told(r.Problem)
	case r.Job != nil:
		return cli.Outcome(*r.Job)
	case r.Status == api.Duplicate && r.State != "":
		return "the job is " + string(r.State)
	}
	return ""
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

// summary counts things by what became of them, in the order of the alphabet.
func summary(all int, what string, counts map[string]int) string {
	parts := make([]string, 0, len(counts))
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[word], word))
	}
	return cli.Plural(all, what) + ": " + strings.Join(parts, ", ")
}
