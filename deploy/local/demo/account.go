package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
)

// The states in which jobs end here.
const (
	succeeded    = "succeeded"
	deadLettered = "dead-lettered"
)

// outcome is everything that is known when all is settled.
type outcome struct {
	lines []*line
	rows  []row
	// strays are jobs of no line.
	strays []job
	// left is how many messages are on the queues.
	left           int
	planted, state esaemu.State
	// calls are ESA's, faults what was planned against them and is left of it.
	calls  []faults.Record
	faults []plannedFault
	// refused and waiting are the demo's.
	refused, waiting int
}

// row is one line with what became of it.
type row struct {
	*line
	submission

	// job is nil if there is none.
	job *job
}

// look takes stock once all is settled.
func (d *demo) look(ctx context.Context) (o outcome, err error) {
	o = outcome{lines: d.lines, planted: d.planted, refused: d.refused, waiting: d.waiting}
	listed, err := d.accept.jobs(ctx)
	if err != nil {
		return o, err
	}
	jobs := map[string]*job{}
	for _, j := range listed {
		whole, err := d.accept.job(ctx, j.ID)
		if err != nil {
			return o, err
		}
		jobs[j.ID] = &whole
	}
	owned := map[string]bool{}
	for i, l := range d.lines {
		r := row{line: l, submission: d.submissions[i]}
		if r.job = r.find(jobs); r.job != nil {
			owned[r.job.ID] = true
		}
		o.rows = append(o.rows, r)
	}
	for _, j := range listed {
		if !owned[j.ID] {
			o.strays = append(o.strays, j)
		}
	}
	if o.left, err = d.left(ctx); err != nil {
		return o, err
	}
	o.state, err = d.stack.ESA().State()
	set := d.stack.ESA().Faults()
	o.calls, o.faults = set.Calls(), struck(set, d.faults)
	return o, err
}

// find is the row's job. One that came over the queue is known by the name of its routine, or by its message if it holds no request.
func (r *row) find(jobs map[string]*job) *job {
	if !r.Queue {
		return jobs[r.jobID]
	}
	for _, j := range jobs {
		if r.wish.Name != "" && j.Request.Name == r.wish.Name || j.Received != nil && j.Received.Body == r.text() {
			return j
		}
	}
	return nil
}

// left is how many messages all queues hold.
func (d *demo) left(ctx context.Context) (n int, err error) {
	var queues []struct {
		ActiveMessages   int `json:"activeMessages"`
		InactiveMessages int `json:"inactiveMessages"`
		DelayMessages    int `json:"delayMessages"`
	}
	err = d.accept.get(ctx, d.stack.MNSURL()+"/_local/queues", &queues)
	for _, q := range queues {
		n += q.ActiveMessages + q.InactiveMessages + q.DelayMessages
	}
	return n, err
}

// became is what became of the line in the words of its expectation.
func (r *row) became() string {
	switch {
	case r.code != "":
		return expectation{Status: r.status, Code: r.code}.shown()
	case r.job == nil:
		return "nothing is known"
	case r.job.State == succeeded && r.job.Result != nil:
		return success(r.job.Result.Routine, r.job.Result.Record)
	case r.job.State == deadLettered:
		return expectation{Kind: r.job.Kind, Code: r.job.Code, Step: r.job.Step}.shown()
	}
	return r.job.State
}

// The things in ESA, as text: what is wanted and what is there are compared as sets of it.

func routineText(name, description string, hasAssets bool) string {
	return fmt.Sprintf("routine %s (description %q, hasAssets %t)", name, description, hasAssets)
}

func plantedText(r esaemu.Routine) string {
	return routineText(r.Name, r.Description, r.HasAssets) + " of " + r.CreateTime.String()
}

func recordText(r esaemu.Record) string {
	if r.Routine == "" {
		return fmt.Sprintf("ordinary record %s, id %d of %s", r.RecordName, r.RecordID, r.CreateTime)
	}
	return fmt.Sprintf("record %s of routine %s in site %d", r.RecordName, r.Routine, r.SiteID)
}

// wanted is what ESA must hold in the end: what was planted, untouched, and what the lines ask for.
func wanted(lines []*line, planted *esaemu.State, siteID int64) map[string]bool {
	things, names := map[string]bool{}, map[string]bool{}
	for _, r := range planted.Routines {
		names[r.Name] = true
		things[plantedText(r)] = true
	}
	for _, r := range planted.Planted {
		things[recordText(r)] = true
	}
	for _, l := range lines {
		if l.leavesRoutine() && !names[l.wish.Name] {
			names[l.wish.Name] = true
			things[routineText(l.wish.Name, l.wish.Description, l.wish.HasAssets)] = true
		}
		if l.Expect.success() {
			things[recordText(esaemu.Record{SiteID: siteID, RecordName: l.recordName(), Routine: l.wish.Name})] = true
		}
	}
	return things
}

// held is what ESA holds.
func held(state, planted *esaemu.State) map[string]bool {
	things, names := map[string]bool{}, map[string]bool{}
	for _, r := range planted.Routines {
		names[r.Name] = true
	}
	for _, r := range state.Routines {
		if names[r.Name] {
			things[plantedText(r)] = true
		} else {
			things[routineText(r.Name, r.Description, r.HasAssets)] = true
		}
		for _, record := range r.Records {
			things[recordText(record)] = true
		}
	}
	for _, r := range state.Planted {
		things[recordText(r)] = true
	}
	return things
}

// missing are the things of one set that are not in the other, in the order of their text.
func missing(from, in map[string]bool) []string {
	var out []string
	for _, thing := range slices.Sorted(maps.Keys(from)) {
		if !in[thing] {
			out = append(out, thing)
		}
	}
	return out
}
