package routines

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/cmd/routinely/requests"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Verdicts of this program's own beside accept's.
const (
	// statusPlanned is that of what is about to be asked for, and statusKept that of what is left alone.
	statusPlanned api.Status = "planned"
	statusKept    api.Status = "kept"
)

// asked is one change that was asked for, and what became of it.
type asked struct {
	Name       string       `json:"name"`
	RecordName string       `json:"recordName,omitempty"`
	Status     api.Status   `json:"status"`
	JobID      string       `json:"jobId,omitempty"`
	Problem    *api.Problem `json:"problem,omitempty"`
	// Job is the job as it was seen last; nil if the answer was about several.
	Job *routine.Job `json:"job,omitempty"`
	// Plan is what a plan says of the routine, before anything is done.
	Plan *api.PlanItem `json:"plan,omitempty"`
}

// planned is what a plan would do to a routine.
func planned(item api.PlanItem) asked {
	status := statusKept
	if item.Delete {
		status = statusPlanned
	}
	return asked{Name: item.Name, Status: status, Plan: &item}
}

// accepted is a change whose job is there.
func accepted(job routine.Job) asked {
	one := asked{Name: job.Request.Name, Status: api.Accepted, JobID: job.ID, Job: &job}
	if job.Request.Action == routine.Unbind {
		one.RecordName = cli.HostNames(job.Request)
	}
	return one
}

// word is what became of it, in a word.
func (o asked) word() string {
	if o.Job != nil {
		return string(o.Job.State)
	}
	return string(o.Status)
}

func (o asked) detail() string {
	switch {
	case o.Job != nil:
		return cli.Outcome(*o.Job)
	case o.Plan != nil:
		return strings.TrimPrefix(o.Plan.Why, string(statusKept)+": ")
	}
	return cli.Told(o.Problem)
}

// id is that of the job; of what would be asked for there is none yet, and the routine's name stands for it.
func (o asked) id() string {
	if o.Status == statusPlanned {
		return o.Name
	}
	return o.JobID
}

// changes is how they are shown.
func changes() cli.List[asked] {
	of := func(get func(api.PlanItem) string) func(asked) string {
		return func(o asked) string {
			if o.Plan == nil {
				return ""
			}
			return get(*o.Plan)
		}
	}
	return cli.List[asked]{
		ID: asked.id, IDs: "ids of the jobs, in a dry run the names of the routines",
		Columns: []cli.Column[asked]{
			{Name: "name", Least: 12, Text: func(o asked) string { return o.Name }},
			{Name: "record", Least: 16, Turn: 4, Text: func(o asked) string { return o.RecordName }},
			{Name: "state", Text: asked.word},
			{Name: "job", Turn: 1, Text: func(o asked) string { return o.JobID }},
			{Name: "detail", Least: 22, Text: asked.detail},
			{Name: "caller", Least: 10, Turn: 5, Text: of(func(i api.PlanItem) string { return i.Caller })},
			{Name: "expires", Turn: 3, Text: of(func(i api.PlanItem) string { return cli.Clock(i.ExpiresAt) })},
			{Name: "labels", Least: 12, Turn: 2, Text: of(func(i api.PlanItem) string { return cli.Labels(i.Labels) })},
		},
	}
}

// following are the flags of a command that asks for jobs: under which key, whether to wait for them, and who is to be told of their end.
type following struct {
	wait             bool
	key, callbackURL string
}

func (f *following) add(a verbs, cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait until the jobs have ended; the exit code then tells how")
	cmd.Flags().StringVar(&f.callbackURL, "callback-url", "", "`URL` to call when a job has ended")
	cmd.Flags().StringVar(&f.key, "idempotency-key", "", "`key` under which asking again gives the same jobs")
	changes().Flags(a.App, cmd)
}

// checkKey refuses a key that cannot be sent, also with the name that is added to it for each of several routines.
func (f *following) checkKey(several bool) error {
	key := f.key
	if several && key != "" {
		key += "/" + strings.Repeat("n", routine.MaxName)
	}
	if err := requests.CheckKey(key); err != nil {
		return cli.Usage("%s", err)
	}
	return nil
}

// jobKey is the key that was given, or a new one.
func (f *following) jobKey() string { return cmp.Or(f.key, rand.Text()) }

// noteReal tells the command that does what a dry run has shown, unless its callback URL may hold a secret that a script has put there.
func (a verbs) noteReal(cmd *cobra.Command, f following) {
	if !strings.Contains(f.callbackURL, "?") {
		a.Note("next: %s", cli.Again(cmd, "dry-run"))
	}
}

// one waits for the one job that was asked for, if that is wanted, and shows it.
func (a verbs) one(ctx context.Context, c *client.Client, f following, job routine.Job) error {
	all := []asked{accepted(job)}
	broken := a.await(ctx, c, f, all)
	var err error
	if o := all[0]; a.AsList() {
		err = changes().Show(a.App, all)
	} else {
		err = a.Show(o, cli.Fields{
			{"job", o.JobID}, {"state", o.word()}, {"action", cli.Action(o.Job.Request)}, {"name", o.Name}, {"record", o.RecordName}, {"outcome", o.detail()},
		})
	}
	if err != nil {
		return err
	}
	return a.judge(all, broken)
}

// several waits for the jobs of changes, if that is wanted, and shows them all in a table.
func (a verbs) several(ctx context.Context, c *client.Client, f following, all []asked) error {
	broken := a.await(ctx, c, f, all)
	if err := changes().Show(a.App, all); err != nil {
		return err
	}
	return a.judge(all, broken)
}

// await waits for the jobs to end, if that is wanted.
func (a verbs) await(ctx context.Context, c *client.Client, f following, all []asked) error {
	at := map[string]int{}
	var open []string
	for i, o := range all {
		if o.JobID != "" && (o.Job == nil || !o.Job.State.Final()) {
			open, at[o.JobID] = append(open, o.JobID), i
		}
	}
	if !f.wait || len(open) == 0 {
		return nil
	}
	return a.Wait(ctx, c, open, func(job routine.Job) { all[at[job.ID]].Job = &job })
}

// judge makes an exit code of what became of the changes, and tells how to go on.
func (a verbs) judge(all []asked, broken error) error {
	var open, bad []string
	var failed []error
	for _, o := range all {
		switch {
		case o.Problem != nil:
			failed = append(failed, &fault.Error{Kind: fault.KindOf(o.Problem.Status), Step: o.Name, Message: cli.Told(o.Problem)})
		case o.Job == nil || !o.Job.State.Final():
			open = append(open, o.JobID)
		case o.Job.State != routine.Succeeded:
			bad = append(bad, o.JobID)
		}
	}
	switch {
	case broken != nil:
		return broken
	case len(failed) > 0:
		return a.Several(len(all), failed)
	case len(bad) == 1:
		return &cli.Ending{Code: cli.ExitJobsFailed, Text: fmt.Sprintf("job %s has not succeeded", bad[0]), Next: "routinely jobs get " + bad[0]}
	case len(bad) > 0:
		return &cli.Ending{Code: cli.ExitJobsFailed, Text: "not all jobs have succeeded", Next: "routinely dead-letters list"}
	case len(open) == 1:
		a.Note("next: routinely jobs get %s --wait", open[0])
	case len(open) > 1:
		a.Note("next: routinely jobs list --state queued")
	}
	return nil
}
