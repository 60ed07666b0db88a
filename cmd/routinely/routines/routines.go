// Package routines is the commands about routines: those that show what is known of them, and those that ask for a change in their lives. A routine is
// made by the command submit.
package routines

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// verbs are the commands.
type verbs struct{ *cli.App }

// Command returns the command routines.
func Command(app *cli.App) *cobra.Command {
	a := verbs{app}
	noun := cli.Group("routines", "List, show, delete, renew, roll back, claim and check routines",
		a.list(), a.get(), a.delete(), a.renew(), a.versions(), a.rollback(), a.claim(), a.check())
	noun.Long = `What is known of the routines that were asked for: who owns each, until when it lives, and its host names.

  owned     a job of this deployment made the routine. Only such a routine is altered or deleted, and only while ESA shows the same one.
  adopted   it was there before.
  unproven  it is there after a call had no answer, and nothing proves that the call made it. "routines claim" makes it owned.`
	return noun
}

// routineName is what the commands about one routine want.
const routineName = "name of a routine"

// completeNames completes the names of routines.
func (a verbs) completeNames(many bool) cobra.CompletionFunc {
	const most = 200
	return a.Complete(many, func(ctx context.Context, c *client.Client) (found [][2]string, err error) {
		list, _, err := c.Routines(ctx, api.RoutineFilter{}, client.Window{Limit: most})
		for _, r := range list {
			found = append(found, [2]string{r.Name, string(r.State) + " " + r.Caller})
		}
		return found, err
	})
}

// filterFlags are the flags that choose routines.
type filterFlags struct {
	api.RoutineFilter
	before string
}

func (f *filterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.Caller, "caller", "", "only those that this `caller` owns")
	cli.Choice(cmd, &f.State, "state", "only those in this `state`", routine.ClaimStates()...)
	cli.Choice(cmd, &f.Ownership, "ownership", "only those of this `kind` of ownership", routine.Ownerships()...)
	flags.StringVar(&f.Label, "label", "", "only those with this `label`, a key or key=value")
	flags.StringVar(&f.before, "expiring-before", "", "only those whose time is over before this `time`, such as 2026-11-30T08:00:00Z")
}

// filter is what the flags choose.
func (f *filterFlags) filter() (out api.RoutineFilter, err error) {
	out = f.RoutineFilter
	if f.before == "" {
		return out, nil
	}
	if out.ExpiringBefore, err = time.Parse(time.RFC3339, f.before); err != nil {
		return out, cli.Usage("--expiring-before %q: want a time such as 2026-11-30T08:00:00Z", f.before)
	}
	return out, nil
}
