package deadletters

import (
	"context"
	"maps"
	"slices"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// handled is what became of one dead letter.
type handled struct {
	ID      string       `json:"id"`
	Status  string       `json:"status"`
	Problem *api.Problem `json:"problem,omitempty"`
	// Letter is what a dry run would work off.
	Letter *api.DeadLetter `json:"deadLetter,omitempty"`
	// Job is the job as it ended, if it was waited for; of an undo, as it was seen last.
	Job *routine.Job `json:"job,omitempty"`
	// Undoes is the dropped job whose work this job deletes, and undo says what that is.
	Undoes string `json:"undoes,omitempty"`
	undo   string
}

// word is what became of it, in a word.
func (h handled) word() string {
	if h.Job != nil {
		return string(h.Job.State)
	}
	return h.Status
}

// bad reports whether somebody has to act.
func (h handled) bad() bool {
	return h.Problem != nil || h.Job != nil && h.Job.State != routine.Succeeded
}

// ended reports whether the job was seen at its end.
func (h handled) ended() bool { return h.Job != nil && h.Job.State.Final() }

// request is what was asked for, as far as that is known.
func (h handled) request() routine.Request {
	switch {
	case h.Job != nil:
		return h.Job.Request
	case h.Letter != nil && h.Letter.Request != nil:
		return *h.Letter.Request
	}
	return routine.Request{}
}

func (h handled) detail() string {
	switch {
	case h.undo != "" && !h.ended():
		return h.undo
	case h.Job != nil:
		return cli.Outcome(*h.Job)
	case h.Letter != nil:
		return why(*h.Letter)
	}
	return cli.Told(h.Problem)
}

// outcomes is how they are shown.
func outcomes() cli.List[handled] {
	return cli.List[handled]{
		ID: func(h handled) string { return h.ID },
		Columns: []cli.Column[handled]{
			{Name: "job", Text: func(h handled) string { return h.ID }},
			{Name: "name", Least: 12, Turn: 2, Text: func(h handled) string { return h.request().Name }},
			{Name: "record", Least: 16, Turn: 1, Text: func(h handled) string { return cli.HostNames(h.request()) }},
			{Name: "state", Text: handled.word},
			{Name: "detail", Least: 21, Text: handled.detail},
		},
	}
}

// wouldBe are dead letters that a dry run would work off.
func wouldBe(letters []api.DeadLetter) []handled {
	out := make([]handled, len(letters))
	for i, d := range letters {
		out[i] = handled{ID: d.ID, Status: string(routine.DeadLettered), Letter: &d}
	}
	return out
}

// tally is what was achieved so far.
type tally struct {
	count   int
	handled []handled
	failed  map[string]*api.Problem
	// undone are the jobs that delete what dropped ones have left.
	undone []handled
}

func newTally() *tally { return &tally{failed: map[string]*api.Problem{}} }

// add takes over what one call has done. What has failed before may have been done now.
func (t *tally) add(did api.WorkedOff, status string) {
	t.count += did.Count
	for _, id := range did.IDs {
		delete(t.failed, id)
		t.handled = append(t.handled, handled{ID: id, Status: status})
	}
	for _, f := range did.Failed {
		t.failed[f.ID] = f.Problem
	}
}

// has reports whether a dead letter was worked off.
func (t *tally) has(id string) bool {
	return slices.ContainsFunc(t.handled, func(h handled) bool { return h.ID == id })
}

// failures puts what has failed before the rest, and returns it as faults.
func (t *tally) failures() (failed []error) {
	var told []handled
	for _, id := range slices.Sorted(maps.Keys(t.failed)) {
		p := t.failed[id]
		if p == nil {
			p = &api.Problem{Code: "unexplained"}
		}
		told = append(told, handled{ID: id, Status: string(api.Failed), Problem: p})
		failed = append(failed, &fault.Error{Kind: fault.KindOf(p.Status), Step: id, Message: cli.Told(p)})
	}
	t.handled = append(told, t.handled...)
	return failed
}

// await waits for jobs to end, and puts those before the rest that did not succeed.
func await(ctx context.Context, a *cli.App, c *client.Client, jobs []handled) error {
	var ids []string
	at := map[string]int{}
	for i, h := range jobs {
		if h.Problem == nil {
			ids, at[h.ID] = append(ids, h.ID), i
		}
	}
	err := a.Wait(ctx, c, ids, func(job routine.Job) { jobs[at[job.ID]].Job = &job })
	slices.SortStableFunc(jobs, func(a, b handled) int {
		switch {
		case a.bad() == b.bad():
			return 0
		case a.bad():
			return -1
		}
		return 1
	})
	return err
}

// dead are the redriven jobs, and those of an undo, that have ended without success.
func (t *tally) dead() (again []handled) {
	for _, h := range slices.Concat(t.handled, t.undone) {
		if h.ended() && h.bad() {
			again = append(again, h)
		}
	}
	return again
}
