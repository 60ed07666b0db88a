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
	get := &cobra.Command{
		Use: "get NAME", Short: "Show what is recorded of a routine and its records", Args: cli.One("name of a routine"),
		Long: "Show what is recorded of a routine and its records. Ready means that the routine and a record exist. A routine without code answers\n" +
			"nothing. On a site with CNAME access the record may draw no traffic by itself, until the owner of the domain points a CNAME at it.",
		ValidArgsFunction: a.completeNames(),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			r, err := c.Routine(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showRoutine(r)
		}),
	}
	records().Flags(app, get)
	return cli.Group("routines", "Show routines", get)
}

// completeNames completes the names of the routines of the latest jobs.
func (a verbs) completeNames() cobra.CompletionFunc {
	const latest = 50
	return a.Complete(false, func(ctx context.Context, c *client.Client) (found [][2]string, err error) {
		jobs, _, err := c.Jobs(ctx, client.JobFilter{}, client.Window{Limit: latest})
		seen := map[string]bool{}
		for _, job := range jobs {
			if name := job.Request.Name; name != "" && !seen[name] {
				seen[name] = true
				found = append(found, [2]string{name, job.Request.RecordName})
			}
		}
		return found, err
	})
}

// records is how the records of a routine are shown.
func records() cli.List[api.Record] {
	type column = cli.Column[api.Record]
	return cli.List[api.Record]{
		ID: func(r api.Record) string { return r.JobID },
		Columns: []column{
			{Name: "record", Least: 16, Text: func(r api.Record) string { return r.RecordName }},
			{Name: "site", Turn: 3, Text: func(r api.Record) string { return cli.Number(r.SiteID) }},
			{Name: "record id", Turn: 1, Text: func(r api.Record) string { return cli.Number(r.RecordID) }},
			{Name: "state", Text: func(r api.Record) string { return string(r.State) }},
			{Name: "updated", Turn: 2, Text: func(r api.Record) string { return cli.Clock(r.UpdatedAt) }},
			{Name: "job", Text: func(r api.Record) string { return r.JobID }},
		},
	}
}

func (a verbs) showRoutine(r api.Routine) error {
	if !a.AsList() {
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
	}
	if r.More {
		a.Note("next: routinely jobs list --name %s --limit 0", cli.Word(r.Name))
	}
	return records().Show(a.App, r.Records)
}
