// Package account is the commands about the account's lane: whether jobs are worked off, why not, and to stop and resume it.
package account

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// verbs are the commands.
type verbs struct {
	*cli.App
	now func() time.Time
}

// Command returns the command account. now is the clock by which the age of jobs counts.
func Command(app *cli.App, now func() time.Time) *cobra.Command {
	a := verbs{app, now}
	noun := cli.Group("account", "Show whether jobs are worked off, pause and resume them", a.show(), a.pause(), a.resume())
	noun.Long = `Jobs of the account are worked off one after the other, in its lane. The lane is running; or parked, while ESA works for no job of the
account: it runs again by itself; or paused, by a person, until a person resumes it. Jobs are accepted all the same.`
	return noun
}

func (a verbs) show() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show whether the lane runs, and if not, why and what to do", Args: cobra.NoArgs,
		RunE: a.Call(func(ctx context.Context, c *client.Client, _ []string) error {
			account, err := c.Account(ctx)
			if err != nil {
				return err
			}
			return a.tell(account)
		}),
	}
}

func (a verbs) pause() *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use: "pause --reason TEXT", Short: "Stop the lane until somebody resumes it", Args: cobra.NoArgs,
		Long: `Stop the lane until somebody resumes it. Jobs are accepted and wait; a job that a worker has begun with is finished. To pause a paused
lane changes who did it and why, and not since when.`,
		Example: "  routinely account pause --reason 'the site moves to another account'",
		RunE: a.Call(func(ctx context.Context, c *client.Client, _ []string) error {
			if err := cli.CheckReason(reason); err != nil {
				return err
			}
			if reason == "" {
				return cli.Usage("say why, with --reason: others must know when to resume the lane")
			}
			account, err := c.Pause(ctx, reason)
			if err != nil {
				return err
			}
			return a.tell(account)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that is shown until the lane is resumed, at most 200 bytes")
	return cmd
}

func (a verbs) resume() *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use: "resume", Short: "Let a paused lane run again", Args: cobra.NoArgs,
		Long: "Let a paused lane run again. A lane that is parked as well stays parked until ESA works: nobody has to resume it then.",
		RunE: a.Call(func(ctx context.Context, c *client.Client, _ []string) error {
			if err := cli.CheckReason(reason); err != nil {
				return err
			}
			account, err := c.Resume(ctx, reason)
			if err != nil {
				return err
			}
			return a.tell(account)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` for the log, at most 200 bytes")
	return cmd
}

// tell shows an account, and what to do if its lane does not run.
func (a verbs) tell(account api.Account) error {
	f := cli.Fields{{"lane", string(account.Lane)}}
	if p := account.Paused; p != nil {
		f = append(f, cli.Fields{{"paused", "since " + cli.Clock(p.Since)}, {"by", p.By}, {"reason", p.Reason}}...)
	}
	if p := account.Parked; p != nil {
		f = append(f, cli.Fields{
			{"parked", fmt.Sprintf("since %s, last found so %s", cli.Clock(p.Since), cli.Clock(p.ToldAt))},
			{"cause", strings.TrimSpace(p.Kind+" "+p.Code) + "  " + cli.WithID(p.Message, p.RequestID)},
			{"what to do", p.Hint},
		}...)
	}
	f = append(f, cli.Fields{{"resumed", cli.Clock(account.ResumedAt)}, {"oldest job", a.oldest(account.OldestWaiting)}, {"quota", quota(account.RoutineQuota)}}...)
	if err := a.Show(account, f); err != nil {
		return err
	}
	switch account.Lane {
	case routine.Paused:
		a.Note("next: routinely account resume")
	case routine.Parked:
		a.Note("the lane runs again by itself as soon as ESA works")
	case routine.Running:
	}
	return nil
}

// oldest is the job that waits longest, with its age.
func (a verbs) oldest(job *api.WaitingJob) string {
	if job == nil {
		return ""
	}
	text := fmt.Sprintf("%s, accepted %s, %s ago", job.JobID, cli.Clock(job.AcceptedAt), max(0, a.now().Sub(job.AcceptedAt)).Round(time.Second))
	if job.Waiting == nil {
		return text + ", with a worker"
	}
	return text + ", waits " + cli.WaitingWord(job.Waiting)
}

func quota(q *routine.Quota) string {
	if q == nil {
		return ""
	}
	return fmt.Sprintf("%d of %d routines used, %d left, read %s", q.Used, q.Limit, max(0, q.Limit-q.Used), cli.Clock(q.ReadAt))
}
