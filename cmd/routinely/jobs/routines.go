package jobs

import (
	"context"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
)

// Routines returns the command routines.
func Routines(app *cli.App) *cobra.Command {
	a := verbs{app}
	return cli.Group("routines", "Show routines", &cobra.Command{
		Use: "get NAME", Short: "Show what is recorded of a routine and its records", Args: cobra.ExactArgs(1),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			r, err := c.Routine(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showRoutine(r)
		}),
	})
}

func (a verbs) showRoutine(r api.Routine) error {
	ready, more := "no", ""
	if r.Ready {
		ready = "yes"
	}
	if r.More {
		more = "only the latest jobs were looked at"
	}
	if err := a.Show(r, cli.Fields{{"routine", r.Name}, {"ready", ready}, {"note", more}}); err != nil || a.JSON() {
		return err
	}
	return cli.List(a.App, r.Records, []string{"record", "site", "record id", "state", "updated", "job"}, func(one api.Record) []string {
		return []string{
			one.RecordName, cli.Number(one.SiteID), cli.Number(one.RecordID), string(one.State), cli.Clock(one.UpdatedAt), one.JobID,
		}
	})
}
