package submit

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// keyReused is the code of the problem that says that a key stands for another request.
const keyReused = "idempotency-key-reused"

// mayBeDead reports whether the request's job may be a dead letter that has to be redriven, with the request as it is now.
func (r *submitted) mayBeDead() bool {
	return r.Status == api.Duplicate && r.State == routine.DeadLettered && r.first == nil ||
		r.Status == api.Rejected && r.JobID != "" && r.Problem != nil && r.Problem.Code == keyReused
}

// retry corrects and redrives the jobs of requests that are dead.
func (s *submission) retry(ctx context.Context, c *client.Client, results []submitted) error {
	var dead []*submitted
	for i := range results {
		if results[i].mayBeDead() {
			dead = append(dead, &results[i])
		}
	}
	bar := s.Progress("redriven", len(dead))
	defer bar.Close()
	for n, r := range dead {
		if err := r.redrive(ctx, c); err != nil {
			return err
		}
		bar.Set(n + 1)
	}
	return nil
}

// redrive redrives the request's job with the request as it stands in the file.
func (r *submitted) redrive(ctx context.Context, c *client.Client) error {
	correction, err := wholeRequest(r.request.Request)
	if err != nil {
		return err
	}
	done, err := c.Correct(ctx, r.JobID, api.Correction{Request: correction, Reason: "submitted again with --retry-dead"})
	switch {
	case fault.HasKind(err, fault.NotFound), fault.HasKind(err, fault.Conflict):
		return r.askAgain(ctx, c)
	case fault.HasKind(err, fault.Denied):
		return needsScope(err, "--retry-dead redrives jobs: that needs a token with the scope operate")
	case fault.HasKind(err, fault.Invalid):
		r.refused(err)
		return nil
	case err != nil:
		return err
	case len(done.Failed) > 0:
		r.Status, r.Problem = api.Failed, done.Failed[0].Problem
	case done.Count > 0:
		r.Status, r.Problem, r.State = statusRedriven, nil, routine.Queued
	default:
		return r.askAgain(ctx, c)
	}
	return nil
}

// askAgain finds out what the key stands for now. The job was no dead letter any more: it never was one, somebody else redrove it, or this
// run did and the answer was lost.
func (r *submitted) askAgain(ctx context.Context, c *client.Client) error {
	err := r.send(ctx, c)
	if fault.HasKind(err, fault.Invalid) {
		r.refused(err)
		return nil
	}
	r.Job = nil // it is waited for like all others
	return err
}

// refused takes over why a request was refused.
func (r *submitted) refused(err error) {
	problem, refused := client.ProblemOf(err)
	if !refused {
		problem = &api.Problem{Code: fault.From(err).Code, Detail: fault.From(err).Message}
	}
	r.Status, r.Problem = api.Rejected, problem
}

// needsScope is a refusal that says which scope would do.
func needsScope(err error, hint string) error {
	explained := *fault.From(err)
	explained.Hint = hint
	return &explained
}

// wholeRequest is a correction that makes a job's request the given one: what it leaves open is taken back.
func wholeRequest(req routine.Request) (json.RawMessage, error) {
	text, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	members := map[string]json.RawMessage{}
	for _, optional := range []string{
		"siteId", "recordName", "records", "description", "hasAssets", "ifExists", "expiresIn", "protected", "labels", "callbackUrl",
	} {
		members[optional] = json.RawMessage("null")
	}
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	return json.Marshal(members)
}

// findForgotten finds the dead jobs of the file's key that no request of the file stands for. While a line is wrong nobody can tell whether it
// stands for one of them.
func (s *submission) findForgotten(ctx context.Context, c *client.Client, results []submitted) error {
	known, someJob := map[string]bool{}, ""
	for i := range results {
		r := &results[i]
		if r.Key == "" {
			s.Note("dead jobs whose lines were removed are looked for once no line is wrong")
			return nil
		}
		known[r.Key] = true
		someJob = cmp.Or(someJob, r.JobID)
	}
	letters, err := s.deadOfKey(ctx, c, someJob)
	if fault.HasKind(err, fault.Denied) {
		s.Note("dead jobs whose lines were removed are not looked for: that needs a token with the scope read, or operate")
		return nil
	}
	ours := len(keyOf(s.key, routine.Request{})) // a longer key is that of a file whose key begins with this one
	s.forgotten = slices.DeleteFunc(letters, func(d api.DeadLetter) bool { return known[d.Key] || len(d.Key) != ours })
	return err
}

// deadOfKey lists the dead jobs of the file's key. Under another caller the same key stands for other jobs, so it asks first whose ours are.
func (s *submission) deadOfKey(ctx context.Context, c *client.Client, someJob string) (letters []api.DeadLetter, err error) {
	if someJob == "" {
		return nil, nil
	}
	job, _, err := c.Job(ctx, someJob, 0)
	if err != nil {
		return nil, err
	}
	letters, _, err = c.DeadLetters(ctx, client.DeadLetterQuery{
		DeadLetterFilter: api.DeadLetterFilter{Caller: job.Caller, KeyPrefix: s.key + "/"},
	}, client.Window{})
	return letters, err
}

// dropChunk is how many ids one printed command has.
const dropChunk = 20

// noteForgotten lists the dead jobs that no line stands for any more, with the commands that drop them.
func (s *submission) noteForgotten() {
	if len(s.forgotten) == 0 {
		return
	}
	s.Note("dead, and no longer in the file:")
	for _, d := range s.forgotten {
		what := "no request"
		if d.Request != nil {
			what = d.Request.Name + "  " + cli.HostNames(*d.Request)
		}
		s.Note("  %s  %s", d.ID, what)
	}
	for part := range slices.Chunk(s.forgotten, dropChunk) {
		ids := make([]string, len(part))
		for i, d := range part {
			ids[i] = d.ID
		}
		s.Note("next: routinely dead-letters drop %s --dry-run", strings.Join(ids, " "))
	}
}
