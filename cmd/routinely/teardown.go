package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/cloud"
	"routinely/queue"
	"routinely/shared/config"
	"routinely/shared/ledger"
)

// teardownFlags are what teardown is told beside its settings.
type teardownFlags struct{ dryRun, yes, instance bool }

// teardown removes what the setup has made.
func teardown(a *cli.App) *cobra.Command {
	var given teardownFlags
	cmd := &cobra.Command{
		Use: "teardown", Short: "Delete the queues and the tables of a deployment", Args: cobra.NoArgs,
		Long: `Delete the queues and the tables that routinely setup has made, with all that is known of jobs, dead letters and routines; if wanted also
the Tablestore instance. Nothing in ESA is deleted: without the tables nobody knows any more which routines are Routinely's, so delete those first that nobody
needs. As long as a job is unfinished nothing is deleted. Remove the functions before: s remove -y. What is deleted is shown, and asked for.
The access key is that of a user with the remover's policy (routinely setup rights --remover USER); the settings are those of routinely setup.`,
	}
	flags := cmd.Flags()
	flags.BoolVar(&given.dryRun, "dry-run", false, "only show what would be deleted")
	flags.BoolVar(&given.yes, "yes", false, "do not ask")
	flags.BoolVar(&given.instance, "instance", false, "also delete the Tablestore instance, which must have no other tables")
	environ := settingFlags(a, cmd, &config.Setup{})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.LoadSetup(environ())
		if err != nil {
			return cli.Usage("%s", err)
		}
		return removeAll(cmd.Context(), a, cfg, given)
	}
	return cmd
}

// removeAll shows what is deleted, asks, and deletes it: the tables first, which know whether a job is unfinished.
func removeAll(ctx context.Context, a *cli.App, cfg config.Setup, given teardownFlags) error {
	key, err := credentials(cfg.Key)
	if err != nil {
		return err
	}
	if !given.dryRun && !given.yes {
		if err := a.CanAsk("deleted"); err != nil {
			return err
		}
	}
	queues, err := queue.Open(cfg.Queue, cfg.Prefix, "", key)
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer queues.Close()
	tables, err := ledger.OpenForSetup(cfg, key)
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer tables.Close()
	parts := []part{tables.Remove, queues.Remove}
	if given.instance {
		instances, err := cloud.NewInstances(cloud.InstancesConfig{Access: cloud.Access{Credentials: key, Timeout: managementTime}, Endpoint: cfg.Instances})
		if err != nil {
			return cli.Usage("%s", err)
		}
		defer instances.Close()
		parts = append(parts, func(ctx context.Context, dryRun bool) ([]string, error) {
			return instances.Remove(ctx, cfg.Ledger.Instance, dryRun)
		})
	}
	if !given.dryRun && !given.yes {
		if err := change(ctx, a, true, parts...); err != nil {
			return err
		}
		if err := a.Confirm(ctx, fmt.Sprintf("delete all of that of the deployment %s? It cannot be undone", cfg.Prefix)); err != nil {
			return err
		}
	}
	return change(ctx, a, given.dryRun, parts...)
}
