package routines

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/routine"
)

func (a verbs) renew() *cobra.Command {
	var f following
	expiresIn := ""
	cmd := &cobra.Command{
		Use: "renew NAME --expires-in TIME", Short: "Let a routine live longer, or end sooner", Args: cli.One(routineName),
		Long: `Set how long a routine is to live from now on. Host names that were unbound because its time was over are bound again. Only its owner may
do that, or a token with the scope operate.`,
		Example:           "  routinely routines renew pr-41 --expires-in 72h",
		ValidArgsFunction: a.completeNames(false),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			if expiresIn == "" {
				return cli.Usage("say how long the routine is to live from now on, with --expires-in")
			}
			if _, detail := routine.ParseSpan(expiresIn); detail != "" {
				return cli.Usage("--expires-in: %s", detail)
			}
			if err := f.checkKey(false); err != nil {
				return err
			}
			job, err := c.Renew(ctx, args[0], f.jobKey(), api.Renewal{ExpiresIn: expiresIn, CallbackURL: f.callbackURL})
			if err != nil {
				return err
			}
			return a.one(ctx, c, f, job)
		}),
	}
	cmd.Flags().StringVar(&expiresIn, "expires-in", "", "the `time` that it is to live from now on, such as 72h or 7d")
	f.add(a, cmd)
	return cmd
}

// claiming is one run of the command claim.
type claiming struct {
	verbs
	following
	cmd                   *cobra.Command
	unproven, dryRun, yes bool
}

func (a verbs) claim() *cobra.Command {
	k := &claiming{verbs: a}
	cmd := &cobra.Command{
		Use: "claim NAME | --unproven", Short: "Make a routine, with its records, your own", Args: cli.AtMostOne(routineName),
		Long: `Make a routine that was adopted, or is unproven, your own, with its records: then it is altered and deleted like any other. --unproven claims
all that are unproven, and shows them first. That needs a token with the scope operate. Look first whether the routine is yours: afterwards
nothing protects it.`,
		Example:           "  routinely routines claim hello --wait\n  routinely routines claim --unproven --dry-run",
		ValidArgsFunction: a.completeNames(false),
		RunE:              func(cmd *cobra.Command, args []string) error { return k.run(cmd.Context(), args) },
	}
	k.cmd = cmd
	flags := cmd.Flags()
	flags.BoolVar(&k.unproven, "unproven", false, "all routines that are unproven")
	flags.BoolVar(&k.dryRun, "dry-run", false, "only show which would be claimed; wants --unproven")
	flags.BoolVarP(&k.yes, "yes", "y", false, "do not ask; wants --unproven")
	k.following.add(a, cmd)
	return cmd
}

func (k *claiming) run(ctx context.Context, names []string) error {
	switch {
	case len(names) > 0 && (k.unproven || k.dryRun || k.yes):
		return cli.Usage("a name stands without --unproven, --dry-run and --yes")
	case len(names) == 0 && !k.unproven:
		return cli.Usage("give the name of a routine, or --unproven")
	}
	if err := k.checkKey(k.unproven); err != nil {
		return err
	}
	if k.unproven && !k.dryRun && !k.yes {
		if err := k.CanAsk("claimed"); err != nil {
			return err
		}
	}
	c, err := k.Connect()
	if err != nil {
		return err
	}
	if k.unproven {
		return k.claimAll(ctx, c)
	}
	job, err := c.Claim(ctx, names[0], k.jobKey(), api.Deletion{CallbackURL: k.callbackURL})
	if err != nil {
		return err
	}
	return k.one(ctx, c, k.following, job)
}

// claimAll claims the routines that are unproven now.
func (k *claiming) claimAll(ctx context.Context, c *client.Client) error {
	found, _, err := table().Read(k.App, client.Window{}, func(w client.Window) ([]api.Routine, string, error) {
		return c.Routines(ctx, api.RoutineFilter{Ownership: routine.Unproven}, w)
	})
	if err != nil {
		return err
	}
	all := make([]asked, len(found))
	for i, r := range found {
		all[i] = planned(api.PlanItem{Name: r.Name, Delete: true, Why: string(r.Ownership), Caller: r.Caller, Labels: r.Labels, ExpiresAt: r.ExpiresAt})
	}
	if len(all) > 0 && (k.dryRun || !k.yes && k.Table()) {
		if err := changes().Show(k.App, all); err != nil {
			return err
		}
	}
	k.Note("%s unproven", cli.Plural(len(all), "routine"))
	switch {
	case len(all) == 0:
		return nil
	case k.dryRun:
		k.noteReal(k.cmd, k.following)
		return nil
	case !k.yes:
		if err := k.Confirm(ctx, fmt.Sprintf("Claim %s?", cli.Plural(len(all), "routine"))); err != nil {
			return err
		}
	}
	for i := range all {
		if err := k.claimOne(ctx, c, &all[i]); err != nil {
			k.Note("%d of %d claimed; the same command goes on", i, len(all))
			return err
		}
	}
	return k.several(ctx, c, k.following, all)
}

// claimOne claims one of several. Why it was refused is kept beside it.
func (k *claiming) claimOne(ctx context.Context, c *client.Client, o *asked) error {
	job, err := c.Claim(ctx, o.Name, k.jobKey()+"/"+o.Name, api.Deletion{CallbackURL: k.callbackURL})
	if problem, refused := client.ProblemOf(err); refused {
		*o = asked{Name: o.Name, Status: api.Rejected, Problem: problem}
		return nil
	}
	if err == nil {
		*o = accepted(job)
	}
	return err
}
