package routines

import (
	"context"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
)

// findings is how differences are shown.
func findings() cli.List[api.Finding] {
	type column = cli.Column[api.Finding]
	return cli.List[api.Finding]{
		ID: func(f api.Finding) string { return f.Name }, IDs: "names of the routines",
		Columns: []column{
			{Name: "name", Least: 12, Text: func(f api.Finding) string { return f.Name }},
			{Name: "drift", Text: func(f api.Finding) string { return f.What }},
			{Name: "detail", Least: 24, Text: func(f api.Finding) string { return f.Detail }},
			{Name: "to do", Least: 24, Turn: 1, Text: func(f api.Finding) string { return f.Command }},
		},
	}
}

func (a verbs) check() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "Show what differs between ESA and what is known of the routines", Args: cobra.NoArgs,
		Long: `Show what differs between ESA, as the janitor last read it, and what is known of the routines. Nothing is corrected. If anything differs the
exit code is 4; before the first reading it is 6. The differences:

  gone            a routine that was there is not in ESA.
  made-again      ESA shows another routine of the name: somebody deleted it and made it again.
  unclaimed       a routine of the account that nobody asked for here.
  description     somebody changed the description.
  foreign-record  somebody else bound records to a routine of ours: it cannot be deleted while they are there.
  foreign-route   somebody else made routes to a routine of ours: it cannot be deleted while they are there.

Records and routes are read of 20 routines every five minutes, in turn.`,
		RunE: a.Call(func(ctx context.Context, c *client.Client, _ []string) error {
			drift, err := c.Check(ctx)
			if err != nil {
				return err
			}
			return a.showDrift(drift)
		}),
	}
	findings().Flags(a.App, cmd)
	return cmd
}

// showDrift shows the differences, for programs with the time of the reading.
func (a verbs) showDrift(drift api.Drift) error {
	switch {
	case a.JSON() && !a.AsList():
		if err := a.WriteLine("", drift); err != nil {
			return err
		}
	case len(drift.Findings) > 0:
		if err := findings().Show(a.App, drift.Findings); err != nil {
			return err
		}
	}
	if drift.ReadAt.IsZero() {
		return &cli.Ending{Code: cli.ExitUnavailable, Text: "the routines of the account were not read yet: the janitor does it every five minutes"}
	}
	a.Note("read %s", cli.Clock(drift.ReadAt))
	if len(drift.Findings) == 0 {
		return nil
	}
	count := cli.Plural(len(drift.Findings), "difference")
	if drift.More {
		count = "more than " + count
	}
	return &cli.Ending{Code: cli.ExitConflict, Text: count}
}
