package routines

import (
	"context"
	"fmt"
	"slices"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
)

// byPlan has the service plan the deletion of several routines, shows the plan, and carries it out.
func (d *deletion) byPlan(ctx context.Context, c *client.Client, wanted api.PlanRequest) error {
	p, err := c.PlanDelete(ctx, wanted)
	if err != nil {
		return err
	}
	if err := allThere(wanted.Names, p); err != nil {
		return err
	}
	if err := d.showPlan(p); err != nil {
		return err
	}
	d.Note("%s: %d to delete, %d kept", cli.Plural(len(p.Items), "routine"), p.Delete, len(p.Items)-p.Delete)
	switch {
	case p.Delete == 0:
		return nil
	case d.dryRun:
		d.noteReal(d.cmd, d.following)
		return nil
	case !d.yes:
		if err := d.Confirm(ctx, fmt.Sprintf("Delete %s?", cli.Plural(p.Delete, "routine"))); err != nil {
			return err
		}
	}
	done, err := c.ApplyDelete(ctx, d.jobKey(), api.ApplyRequest{Hash: p.Hash, Items: p.Items, CallbackURL: d.callbackURL, Reason: d.reason})
	if err != nil {
		return err
	}
	all := make([]asked, len(done.Items))
	for i, item := range done.Items {
		all[i] = asked{Name: item.Name, Status: item.Status, JobID: item.JobID, Problem: item.Problem}
	}
	return d.several(ctx, c, d.following, all)
}

// allThere refuses names that the plan does not have, before anything is done: they may be misspelt.
func allThere(names []string, p api.Plan) error {
	for _, name := range names {
		if !slices.ContainsFunc(p.Items, func(i api.PlanItem) bool { return i.Name == name }) {
			return &fault.Error{
				Kind: fault.NotFound, Code: "unknown-routine", Message: fmt.Sprintf("no routine has the name %q; nothing was done", name),
				Hint: "Check the name: routinely routines list shows those there are.",
			}
		}
	}
	return nil
}

// showPlan shows a plan before anything is done: as the result of a dry run, otherwise to the person who is asked.
func (d *deletion) showPlan(p api.Plan) error {
	if len(p.Items) == 0 || !d.dryRun && (d.yes || !d.Table()) {
		return nil
	}
	all := make([]asked, len(p.Items))
	for i, item := range p.Items {
		all[i] = planned(item)
	}
	return changes().Show(d.App, all)
}
