package routines

import (
	"context"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// table is how routines are shown.
func table() cli.List[api.Routine] {
	type column = cli.Column[api.Routine]
	return cli.List[api.Routine]{
		ID: func(r api.Routine) string { return r.Name }, IDs: "names of the routines",
		Columns: []column{
			{Name: "name", Least: 12, Text: func(r api.Routine) string { return r.Name }},
			{Name: "state", Text: func(r api.Routine) string { return string(r.State) }},
			{Name: "ownership", Turn: 4, Text: func(r api.Routine) string { return string(r.Ownership) }},
			{Name: "caller", Least: 10, Turn: 3, Text: func(r api.Routine) string { return r.Caller }},
			{Name: "expires", Turn: 2, Text: func(r api.Routine) string { return cli.Clock(r.ExpiresAt) }},
			{Name: "labels", Least: 12, Turn: 1, Text: func(r api.Routine) string { return cli.Labels(r.Labels) }},
			{Name: "reason", Least: 20, OnWish: true, Text: func(r api.Routine) string { return r.Reason }},
			{Name: "deletion job", OnWish: true, Text: func(r api.Routine) string { return r.DeletionJob }},
			{Name: "created", OnWish: true, Text: func(r api.Routine) string { return cli.Clock(r.CreateTime) }},
			{Name: "changed", OnWish: true, Text: func(r api.Routine) string { return cli.Clock(r.ChangedAt) }},
		},
	}
}

func (a verbs) list() *cobra.Command {
	var f filterFlags
	var w client.Window
	cmd := &cobra.Command{
		Use: "list", Short: "List routines by name", Args: cobra.NoArgs,
		Example: "  routinely routines list --label team=web\n  routinely routines list --expiring-before 2026-11-30T08:00:00Z -q",
	}
	cmd.RunE = a.Call(func(ctx context.Context, c *client.Client, _ []string) error {
		filter, err := f.filter()
		if err != nil {
			return err
		}
		return table().ShowPart(a.App, cmd, w, func(w client.Window) ([]api.Routine, string, error) { return c.Routines(ctx, filter, w) })
	})
	f.add(cmd)
	table().PartFlags(a.App, cmd, &w)
	return cmd
}

func (a verbs) get() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show what is known of a routine, its records and its jobs", Args: cli.One(routineName),
		Long: "Show what is known of a routine, its records and its jobs. Ready means that the routine and a record exist. A routine without code answers\n" +
			"nothing. On a site with CNAME access the record may draw no traffic by itself, until the owner of the domain points a CNAME at it.",
		ValidArgsFunction: a.completeNames(false),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			r, err := c.Routine(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showRoutine(r)
		}),
	}
	records().Flags(a.App, cmd)
	return cmd
}

// records is how the records of a routine are shown.
func records() cli.List[api.RoutineRecord] {
	type column = cli.Column[api.RoutineRecord]
	return cli.List[api.RoutineRecord]{
		ID: func(r api.RoutineRecord) string { return r.JobID },
		Columns: []column{
			{Name: "record", Least: 16, Text: func(r api.RoutineRecord) string { return r.RecordName }},
			{Name: "state", Text: func(r api.RoutineRecord) string { return string(r.State) }},
			{Name: "ownership", Turn: 2, Text: func(r api.RoutineRecord) string { return string(r.Ownership) }},
			{Name: "caller", Least: 10, Turn: 1, Text: func(r api.RoutineRecord) string { return r.Caller }},
			{Name: "job", Turn: 3, Text: func(r api.RoutineRecord) string { return r.JobID }},
			{Name: "site", OnWish: true, Text: func(r api.RoutineRecord) string { return cli.Number(r.SiteID) }},
			{Name: "record id", OnWish: true, Text: func(r api.RoutineRecord) string { return cli.Number(r.RecordID) }},
			{Name: "changed", OnWish: true, Text: func(r api.RoutineRecord) string { return cli.Clock(r.ChangedAt) }},
		},
	}
}

// jobs is how the jobs of a routine are shown.
func jobs() cli.List[api.RoutineJob] {
	type column = cli.Column[api.RoutineJob]
	return cli.List[api.RoutineJob]{
		ID: func(j api.RoutineJob) string { return j.JobID },
		Columns: []column{
			{Name: "job", Text: func(j api.RoutineJob) string { return j.JobID }},
			{Name: "action", Text: func(j api.RoutineJob) string { return cli.Action(routine.Request{Name: j.JobID, Action: j.Action}) }},
			{Name: "state", Text: func(j api.RoutineJob) string { return string(j.State) }},
		},
	}
}

// showRoutine shows a routine with its records and its jobs, and what to do about it. As a list it shows the records alone.
func (a verbs) showRoutine(r api.Routine) error {
	if a.AsList() {
		return records().Show(a.App, r.Records)
	}
	f := cli.Fields{
		{"routine", r.Name},
		{"state", string(r.State)},
		{"ownership", string(r.Ownership)},
		{"ready", cli.YesNo(r.Ready)},
		{"caller", r.Caller},
		{"created", cli.Clock(r.CreateTime)},
		{"seen", cli.Clock(r.SeenAt)},
		{"description", r.Description},
		{"labels", cli.Labels(r.Labels)},
		{"expires", cli.Clock(r.ExpiresAt)},
		{"unbound", cli.Clock(r.UnboundAt)},
		{"delete after", cli.Clock(r.DeletedAfter)},
		{"deletion", r.DeletionJob},
		{"reason", r.Reason},
		{"note", r.Note},
	}
	if r.Protected {
		f = append(f, [2]string{"protected", "yes"})
	}
	for _, c := range r.Code {
		f = append(f, [2]string{string(c.Environment), "version " + c.CodeVersion + " since " + cli.Clock(c.Since)})
	}
	if err := a.Show(r, f); err != nil || a.JSON() {
		return err
	}
	if len(r.Records) > 0 {
		if err := records().Show(a.App, r.Records); err != nil {
			return err
		}
	}
	if r.More {
		a.Note("the routine has more records than are shown")
	}
	if len(r.Jobs) > 0 {
		if err := jobs().Show(a.App, r.Jobs); err != nil {
			return err
		}
	}
	a.noteNext(r)
	return nil
}

// noteNext tells what to type about a routine.
func (a verbs) noteNext(r api.Routine) {
	switch {
	case r.DeletionJob != "":
		a.Note("next: routinely jobs get %s", r.DeletionJob)
	case r.State == routine.Expiring:
		a.Note("next: routinely routines renew %s --expires-in 72h", cli.Word(r.Name))
	case r.Ownership == routine.Unproven:
		a.Note("next: routinely routines claim %s", cli.Word(r.Name))
	}
}
