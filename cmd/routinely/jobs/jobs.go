// Package jobs is the commands about jobs and the routines they made.
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
	return cli.Group("jobs", "List, show, watch and cancel jobs, and tell of their ends again", a.list(), a.get(), a.watch(), a.cancel(), a.notify())
}

func (a verbs) list() *cobra.Command {
	var f client.JobFilter
	var state string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List jobs, the latest first", Args: cobra.NoArgs,
		Example: "  routinely jobs list --state dead-lettered --limit 0 -o json",
		RunE: a.Call(func(ctx context.Context, c *client.Client, _ []string) error {
			if limit < 0 {
				return cli.Usage("--limit %d: want a number of jobs, or 0 for all", limit)
			}
			f.State = routine.State(state)
			var jobs []routine.Job
			for job, err := range c.Jobs(ctx, f, limit) {
				if err != nil {
					return err
				}
				jobs = append(jobs, job)
			}
			return a.jobTable(jobs)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&state, "state", "", "only those in this `state`: queued, succeeded, dead-lettered, cancelled or dropped")
	flags.StringVar(&f.Name, "name", "", "only those for the routine of this `name`")
	flags.StringVar(&f.Record, "record", "", "only those for this host `name`")
	flags.StringVar(&f.Caller, "caller", "", "only those that this `caller` asked for")
	flags.BoolVar(&f.CallbackFailed, "callback-failed", false, "only those of whose end the receiver could not be told")
	flags.IntVar(&limit, "limit", cli.DefaultLimit, "the `number` of jobs at most; 0 means all")
	return cmd
}

func (a verbs) jobTable(jobs []routine.Job) error {
	header := []string{"job", "name", "record", "state", "attempt", "accepted", "detail"}
	return cli.List(a.App, jobs, header, func(job routine.Job) []string {
		return []string{
			job.ID, job.Request.Name, job.Request.RecordName, string(job.State), cli.Number(job.Attempt), cli.Clock(job.AcceptedAt), cli.Outcome(job),
		}
	})
}

func (a verbs) get() *cobra.Command {
	wait := false
	cmd := &cobra.Command{
		Use: "get ID", Short: "Show a job with its attempts", Args: cobra.ExactArgs(1),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			if wait {
				if err := c.Wait(ctx, args, func(routine.Job) {}); err != nil {
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
	outcome := cli.Outcome(job)
	if job.Kind == "" && job.Waiting != nil {
		outcome = "" // the field waiting says more
	}
	f := cli.Fields{
		{"job", job.ID},
		{"state", string(job.State)},
		{"name", job.Request.Name},
		{"record", job.Request.RecordName},
		{"site", cli.Number(job.Request.SiteID)},
		{"caller", job.Caller},
		{"key", job.Key},
		{"accepted", cli.Clock(job.AcceptedAt)},
		{"started", cli.Clock(job.StartedAt)},
		{"updated", cli.Clock(job.UpdatedAt)},
		{"attempt", cli.Number(job.Attempt)},
		{"handed back", cli.Number(job.HandedBack)},
		{"redriven", cli.Number(job.Redriven)},
		{"waiting", cli.WaitingWord(job.Waiting)},
		{"outcome", outcome},
		{"reason", job.Reason},
		{"by", job.By},
		{"callback", cli.CallbackWord(job.Callback)},
	}
	f = append(f, cli.Left(job.Left)...)
	f = append(f, cli.Attempts(job.Attempts)...)
	f = append(f, cli.Redrives(job.Redrives)...)
	if job.State == routine.DeadLettered {
		f = append(f, [2]string{"next", cli.NextCommand(job.ID, job.Request.Name != "")})
	}
	return a.Show(job, f)
}

func (a verbs) watch() *cobra.Command {
	return &cobra.Command{
		Use: "watch ID", Short: "Show each change of a job until it has ended", Args: cobra.ExactArgs(1),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			var last routine.Job
			err := c.Watch(ctx, args[0], func(job routine.Job) error {
				last = job
				return a.showChange(job)
			})
			if err != nil {
				return err
			}
			return judge(last)
		}),
	}
}

// showChange writes a line about a job that has changed.
func (a verbs) showChange(job routine.Job) error {
	const widest = len(routine.DeadLettered)
	state := a.Fit("state", string(job.State)) + strings.Repeat(" ", max(0, widest-len(job.State)))
	return a.WriteLine(fmt.Sprintf("%s  %s  attempt %d  %s",
		job.UpdatedAt.Local().Format(time.TimeOnly), state, max(job.Attempt, 1), a.Fit("", cli.Outcome(job))), job)
}

func (a verbs) notify() *cobra.Command {
	return &cobra.Command{
		Use: "notify ID", Short: "Tell of a job's end once more", Args: cobra.ExactArgs(1),
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
		Use: "cancel ID...", Short: "Call off jobs that no worker is at work on", Args: cobra.MinimumNArgs(1),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			return a.cancelAll(ctx, c, args, reason)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that is kept with the jobs, at most 200 bytes")
	return cmd
}

func (a verbs) cancelAll(ctx context.Context, c *client.Client, ids []string, reason string) error {
	var jobs []routine.Job
	var failed []error
	for _, id := range ids {
		job, err := c.Cancel(ctx, id, reason)
		switch {
		case cli.Stopped(err):
			return err
		case err != nil:
			failed = append(failed, err)
		default:
			jobs = append(jobs, job)
		}
	}
	if len(jobs) > 0 {
		if err := a.jobTable(jobs); err != nil {
			return err
		}
	}
	return a.Several(len(ids), failed)
}
