package routines

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// deletion is one run of the command delete.
type deletion struct {
	verbs
	filterFlags
	following
	cmd              *cobra.Command
	record, reason   string
	all, dryRun, yes bool
}

func (a verbs) delete() *cobra.Command {
	d := &deletion{verbs: a}
	cmd := &cobra.Command{
		Use: "delete NAME | NAME --record HOST | filters | --all", Short: "Delete routines with their records, or unbind a host name",
		Long: `Delete the routine of a name, with its records; with --record only that host name is unbound, and the routine stays. Several names, filters or
--all delete several routines: the plan is shown first, with what stays and why, and what has changed when it is carried out is left alone.
Only what this deployment has made is deleted, and nothing that others have bound.`,
		Example: `  routinely routines delete hello --wait
  routinely routines delete hello --record www.example.com
  routinely routines delete --label team=web --dry-run`,
		ValidArgsFunction: a.completeNames(true),
		RunE:              func(cmd *cobra.Command, args []string) error { return d.run(cmd.Context(), args) },
	}
	d.cmd = cmd
	d.filterFlags.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&d.record, "record", "", "only unbind this `host` name")
	flags.BoolVar(&d.all, "all", false, "all routines")
	flags.BoolVar(&d.dryRun, "dry-run", false, "only show what would be deleted")
	flags.StringVar(&d.reason, "reason", "", "`text` for the log about the deletion of several, at most 200 bytes")
	flags.BoolVarP(&d.yes, "yes", "y", false, "do not ask")
	d.following.add(a, cmd)
	return cmd
}

func (d *deletion) run(ctx context.Context, names []string) error {
	wanted, err := d.choose(names)
	if err != nil {
		return err
	}
	c, err := d.Connect()
	if err != nil {
		return err
	}
	switch {
	case d.record != "":
		return d.unbind(ctx, c, names[0])
	case len(names) == 1 && !d.dryRun:
		return d.deleteOne(ctx, c, names[0])
	}
	return d.byPlan(ctx, c, wanted)
}

// choose checks what the command line chooses.
func (d *deletion) choose(names []string) (wanted api.PlanRequest, err error) {
	filter, err := d.filter()
	if err != nil {
		return wanted, err
	}
	named, filtered := len(names) > 0, !reflect.ValueOf(filter).IsZero()
	switch {
	case slices.ContainsFunc(names, func(name string) bool { return strings.TrimSpace(name) == "" }):
		return wanted, cli.Usage("a name is empty")
	case d.cmd.Flags().Changed("all") && !d.all:
		return wanted, cli.Usage("--all=false chooses nothing: leave it out")
	case named && filtered, (named || filtered) && d.all:
		return wanted, cli.Usage("names, filters and --all exclude each other")
	case d.record != "" && len(names) != 1:
		return wanted, cli.Usage("--record unbinds a host name of one routine: give the routine's name and no other choice")
	case !named && !filtered && !d.all:
		return wanted, cli.Usage("choose routines by name or with a filter, or give --all")
	case d.reason != "" && len(names) == 1:
		return wanted, cli.Usage("--reason is about the deletion of several")
	case cli.CheckReason(d.reason) != nil:
		return wanted, cli.CheckReason(d.reason)
	}
	if err := d.checkKey(len(names) != 1); err != nil {
		return wanted, err
	}
	if !d.yes && !d.dryRun {
		if err := d.CanAsk("deleted"); err != nil {
			return wanted, err
		}
	}
	filter.Names = names
	return api.PlanRequest{RoutineFilter: filter, All: d.all}, nil
}

// deleteOne deletes a routine with its records.
func (d *deletion) deleteOne(ctx context.Context, c *client.Client, name string) error {
	if !d.yes {
		r, err := c.Routine(ctx, name)
		if err != nil {
			return err
		}
		bound := cli.Plural(len(r.Records), "record")
		if r.More {
			bound = "more than " + bound
		}
		if err := d.Confirm(ctx, fmt.Sprintf("Delete routine %s, %s, with %s?", r.Name, owner(r), bound)); err != nil {
			return err
		}
	}
	job, err := c.DeleteRoutine(ctx, name, d.jobKey(), api.Deletion{CallbackURL: d.callbackURL})
	if err != nil {
		return err
	}
	return d.one(ctx, c, d.following, job)
}

// owner is whose a routine is, as far as is known.
func owner(r api.Routine) string {
	if r.Caller == "" {
		return "which nobody owns"
	}
	return fmt.Sprintf("%s by %s", r.Ownership, r.Caller)
}

// unbind deletes one record of a routine.
func (d *deletion) unbind(ctx context.Context, c *client.Client, name string) error {
	recordName, detail := routine.NormalizeRecordName(d.record)
	if detail != "" {
		return cli.Usage("--record: %s", detail)
	}
	if !d.yes || d.dryRun {
		record, err := d.bound(ctx, c, name, recordName)
		if err != nil {
			return err
		}
		if d.dryRun {
			defer d.noteReal(d.cmd, d.following)
			return changes().Show(d.App, []asked{{Name: name, RecordName: record.RecordName, Status: statusPlanned}})
		}
		if err := d.Confirm(ctx, fmt.Sprintf("Unbind %s from routine %s?", recordName, name)); err != nil {
			return err
		}
	}
	job, err := c.Unbind(ctx, name, recordName, d.jobKey(), api.Deletion{CallbackURL: d.callbackURL})
	if err != nil {
		return err
	}
	return d.one(ctx, c, d.following, job)
}

// bound finds a host name of a routine. One that is not there ends the command: it may be misspelt.
func (d *deletion) bound(ctx context.Context, c *client.Client, name, recordName string) (record api.RoutineRecord, err error) {
	r, err := c.Routine(ctx, name)
	if err != nil {
		return record, err
	}
	at := slices.IndexFunc(r.Records, func(record api.RoutineRecord) bool { return record.RecordName == recordName })
	switch {
	case at >= 0:
		return r.Records[at], nil
	case r.More: // it may be among those that are not shown
		return api.RoutineRecord{RecordName: recordName}, nil
	}
	return record, &fault.Error{
		Kind: fault.NotFound, Code: "unknown-record", Message: fmt.Sprintf("nothing is known of a host name %q of routine %s; nothing was done", recordName, name),
		Hint: "Check the host name: routinely routines get " + cli.Word(name) + " shows those there are.",
	}
}
