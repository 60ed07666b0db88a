// Package jobs is the commands about jobs.
package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/routine"
)

// verbs are the commands.
type verbs struct{ *cli.App }

// Command returns the command jobs.
func Command(app *cli.App) *cobra.Command {
	a := verbs{app}
	return cli.Group("jobs", "List, show, watch and cancel jobs, send their callbacks again", a.list(), a.get(), a.watch(), a.cancel(), a.notify())
}

// jobID is what the commands about one job want.
const jobID = "job id"

// list is how jobs are shown.
func list() cli.List[routine.Job] {
	type column = cli.Column[routine.Job]
	return cli.List[routine.Job]{
		ID: func(job routine.Job) string { return job.ID },
		Columns: []column{
			{Name: "job", Text: func(job routine.Job) string { return job.ID }},
			{Name: "name", Least: 12, Turn: 6, Text: func(job routine.Job) string { return job.Request.Name }},
			{Name: "action", Turn: 5, Text: func(job routine.Job) string { return string(job.Request.Action) }}, // none of a request to create
			{Name: "record", Least: 16, Turn: 2, Text: func(job routine.Job) string { return cli.HostNames(job.Request) }},
			{Name: "state", Text: func(job routine.Job) string { return string(job.State) }},
			{Name: "attempt", Turn: 1, Text: func(job routine.Job) string { return cli.Number(job.Attempt) }},
			{Name: "accepted", Turn: 3, Text: func(job routine.Job) string { return cli.Clock(job.AcceptedAt) }},
			{Name: "detail", Least: 24, Turn: 4, Text: cli.Outcome},
			{Name: "site", OnWish: true, Text: func(job routine.Job) string { return cli.Sites(job.Request) }},
			{Name: "caller", Least: 12, OnWish: true, Text: func(job routine.Job) string { return job.Caller }},
			{Name: "key", Least: 12, OnWish: true, Text: func(job routine.Job) string { return job.Key }},
			{Name: "updated", OnWish: true, Text: func(job routine.Job) string { return cli.Clock(job.UpdatedAt) }},
		},
	}
}

func (a verbs) list() *cobra.Command {
	var f client.JobFilter
	var w client.Window
	cmd := &cobra.Command{
		Use: "list", Short: "List jobs, the latest first", Args: cobra.NoArgs,
		Example: "  routinely jobs list --state dead-lettered\n  routinely jobs list --name hello --limit 0 -o json",
	}
	cmd.RunE = a.Call(func(ctx context.Context, c *client.Client, _ []string) error {
		return list().ShowPart(a.App, cmd, w, func(w client.Window) ([]routine.Job, string, error) { return c.Jobs(ctx, f, w) })
	})
	flags := cmd.Flags()
	cli.Choice(cmd, &f.State, "state", "only those in this `state`", routine.States()...)
	flags.StringVar(&f.Name, "name", "", "only those for the routine of this `name`")
	flags.StringVar(&f.Record, "record", "", "only those for this host `name`, in any of its forms")
	flags.StringVar(&f.Caller, "caller", "", "only those that this `caller` asked for")
	flags.BoolVar(&f.CallbackFailed, "callback-failed", false, "only those of whose end the receiver could not be told")
	list().PartFlags(a.App, cmd, &w)
	return cmd
}

// completeIDs completes the ids of the latest jobs in a state; empty means in any.
func (a verbs) completeIDs(state routine.State, many bool) cobra.CompletionFunc {
	const latest = 20
	return a.Complete(many, func(ctx context.Context, c *client.Client) (found [][2]string, err error) {
		jobs, _, err := c.Jobs(ctx, client.JobFilter{State: state}, client.Window{Limit: latest})
		for _, job := range jobs {
			found = append(found, [2]string{job.ID, string(job.State) + " " + job.Request.Name})
		}
		return found, err
	})
}

func (a verbs) get() *cobra.Command {
	wait := false
	cmd := &cobra.Command{
		Use: "get ID", Short: "Show a job with its attempts", Args: cli.One(jobID), ValidArgsFunction: a.completeIDs("", false),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			if wait {
				if err := a.Wait(ctx, c, args, func(routine.Job) {}); err != nil {
					return err
				}
			}
			job, _, err := c.Job(ctx, args[0], 0)
			if err != nil {
				return err
			}
			if err := a.showJob(job); err != nil || !wait {
				return err
			}
			return judge(job)
		}),
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the job has ended; the exit code then tells how")
	return cmd
}

// judge makes an exit code of how a job has ended.
func judge(job routine.Job) error {
	if job.State == routine.Succeeded {
		return nil
	}
	return &cli.Ending{Code: cli.ExitJobsFailed, Text: fmt.Sprintf("job %s is %s", job.ID, job.State)}
}

func (a verbs) showJob(job routine.Job) error {
	unwaited := job
	unwaited.Waiting = nil // the field waiting says more
	f := cli.Fields{
		{"job", job.ID},
		{"state", string(job.State)},
		{"action", cli.Action(job.Request)},
		{"name", job.Request.Name},
		{"record", cli.HostNames(job.Request)},
		{"site", cli.Sites(job.Request)},
		{"caller", job.Caller},
		{"key", job.Key},
		{"accepted", cli.Clock(job.AcceptedAt)},
		{"produced", cli.Clock(job.ProducedAt)}, // by the clock of the program that put the request on the queue
		{"started", cli.Clock(job.StartedAt)},
		{"updated", cli.Clock(job.UpdatedAt)},
		{"attempt", cli.Number(job.Attempt)},
		{"handed back", cli.Number(job.HandedBack)},
		{"redriven", cli.Number(job.Redriven)},
		{"waiting", cli.WaitingWord(job.Waiting)},
		{"outcome", cli.Outcome(unwaited)},
		{"reason", job.Reason},
		{"by", job.By},
		{"callback", cli.CallbackWord(job.Callback)},
	}
	f = append(f, cli.Wishes(job.Request)...)
	f = append(f, cli.Result(job.Result)...)
	for _, id := range job.Overtook {
		f = append(f, [2]string{"overtook", "job " + id})
	}
	f = append(f, cli.Left(job.Left)...)
	f = append(f, cli.Attempts(job.Attempts)...)
	f = append(f, cli.Redrives(job.Redrives)...)
	if err := a.Show(job, f); err != nil {
		return err
	}
	switch {
	case job.State == routine.DeadLettered:
		a.NoteNext(job.ID, job.Request.Name != "", job.Left)
	case job.Callback != nil && job.Callback.State == routine.CallbackFailed:
		a.Note("next: routinely jobs notify %s", job.ID)
	case cli.LaneStopped(job.Waiting):
		a.Note("next: %s", cli.AccountShow)
	case job.SupersededBy != "":
		a.Note("next: routinely jobs get %s", job.SupersededBy)
	case !job.State.Final():
		a.Note("next: routinely jobs get %s --wait", job.ID)
	}
	return nil
}

func (a verbs) watch() *cobra.Command {
	return &cobra.Command{
		Use: "watch ID", Short: "Show each change of a job until it has ended", Args: cli.One(jobID), ValidArgsFunction: a.completeIDs(routine.Queued, false),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			var last routine.Job
			err := c.Watch(ctx, args[0], func(job routine.Job) error {
				last = job
				return a.showChange(job)
			})
			if err != nil {
				return err
			}
			if last.State == routine.DeadLettered {
				a.NoteNext(last.ID, last.Request.Name != "", last.Left)
			}
			return judge(last)
		}),
	}
}

// showChange writes a line about a job that has changed.
func (a verbs) showChange(job routine.Job) error {
	const widest = len(routine.DeadLettered)
	return a.WriteRow(job, cli.Fields{
		{"at", job.UpdatedAt.Local().Format(time.TimeOnly)},
		{"state", string(job.State)},
		{"attempt", strings.Repeat(" ", max(0, widest-len(job.State))) + fmt.Sprintf("attempt %d", max(job.Attempt, 1))},
		{"detail", cli.Outcome(job)},
	})
}

func (a verbs) notify() *cobra.Command {
	return &cobra.Command{
		Use: "notify ID", Short: "Send the callback of an ended job again", Args: cli.One(jobID), ValidArgsFunction: a.completeIDs("", false),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			job, err := c.Notify(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showJob(job)
		}),
	}
}

func (a verbs) cancel() *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use: "cancel ID...", Short: "Call off jobs that no worker is at work on", Args: cli.Some(jobID), ValidArgsFunction: a.completeIDs(routine.Queued, true),
		Long: `Call off jobs that no worker is at work on. They cannot be queued again: ask again, under another idempotency key. What a job has made in
ESA stays, and the job says what that is. See with routinely jobs list --state queued first which there are.`,
		Example: `  routinely jobs list --state queued --name preview-41
  routinely jobs cancel 039b9339-ba36-59da-bb27-93ba244291bb --reason closed`,
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			return a.cancelAll(ctx, c, args, reason)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that is kept with the jobs, at most 200 bytes")
	list().Flags(a.App, cmd)
	return cmd
}

func (a verbs) cancelAll(ctx context.Context, c *client.Client, ids []string, reason string) error {
	var jobs []routine.Job
	var failed []error
	bar := a.Progress("cancelled", len(ids))
	defer bar.Close()
	for n, id := range ids {
		job, err := c.Cancel(ctx, id, reason)
		switch {
		case cli.Stopped(err):
			return err
		case err != nil:
			failed = append(failed, err)
		default:
			jobs = append(jobs, job)
		}
		bar.Set(n + 1)
	}
	bar.Close()
	if len(jobs) > 0 {
		if err := list().Show(a.App, jobs); err != nil {
			return err
		}
	}
	return a.Several(len(ids), failed)
}
