package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/cloud"
	"routinely/queue"
	"routinely/shared/accesskey"
	"routinely/shared/config"
	"routinely/shared/ledger"
)

// setup makes the cloud services ready.
func setup(a *cli.App) *cobra.Command {
	dryRun := false
	cmd := &cobra.Command{
		Use: "setup", Short: "Create or correct the queues and the tables", Args: cobra.NoArgs,
		Long: `Create the queues of jobs, dead letters and callbacks and the tables of jobs and of the account's state, or correct their settings;
if wanted also the Tablestore instance, with the networks that reach it. Names are made of the prefix. The second time there is nothing to do.
The access key, the deployer's, is read from ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and
ALIBABA_CLOUD_SECURITY_TOKEN; each flag has an environment variable, as the functions have.`,
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be changed")
	environ := settingFlags(a, cmd, &config.Setup{})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.LoadSetup(environ())
		if err != nil {
			return cli.Usage("%s", err)
		}
		return makeReady(cmd.Context(), a, cfg, dryRun)
	}
	cmd.AddCommand(setupRights(a), setupAlerts(a))
	return cmd
}

// settingFlags gives a command the settings of a configuration as flags, so that they have the same meaning, and returns the environment
// with what was given. Secrets have no flag: others could see them.
func settingFlags(a *cli.App, cmd *cobra.Command, cfg config.Configuration) (environ func() []string) {
	given := map[string]*string{}
	for _, v := range config.Variables(cfg) {
		if name, ours := strings.CutPrefix(v.Name, "ROUTINELY_"); ours && !v.Secret {
			flag := strings.ReplaceAll(strings.ToLower(name), "_", "-")
			given[flag] = cmd.Flags().String(flag, v.Default, v.Doc+" (`"+v.Type+"`; "+v.Name+")")
		}
	}
	return func() []string {
		environ := slices.Clone(a.Environ)
		for flag, value := range given {
			if cmd.Flags().Changed(flag) {
				environ = append(environ, "ROUTINELY_"+strings.ReplaceAll(strings.ToUpper(flag), "-", "_")+"="+*value)
			}
		}
		return environ
	}
}

// credentials returns the access key of the environment.
func credentials(key config.Key) (accesskey.Source, error) {
	if key.ID == "" || key.Secret == "" {
		return nil, cli.Usage("an access key is required: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET")
	}
	return key.AccessKey, nil
}

// part is one part of the setup: it makes changes, or in a dry run only says which.
type part func(ctx context.Context, dryRun bool) ([]string, error)

// managementTime bounds one call of a management API.
const managementTime = 30 * time.Second

// makeReady sets up the queues, the instance if its networks are given, and the tables.
func makeReady(ctx context.Context, a *cli.App, cfg config.Setup, dryRun bool) error {
	key, err := credentials(cfg.Key)
	if err != nil {
		return err
	}
	jobs, err := queue.Open(cfg.Queue, cfg.Prefix, "", key) // without keys: it sends nothing
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer jobs.Close()
	tables, err := ledger.OpenForSetup(cfg, key)
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer tables.Close()
	if len(cfg.Networks) == 0 {
		return change(ctx, a, dryRun, jobs.Setup, tables.Setup)
	}
	instances, err := cloud.NewInstances(cloud.InstancesConfig{Access: cloud.Access{Credentials: key, Timeout: managementTime}, Endpoint: cfg.Instances})
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer instances.Close()
	parts, err := withInstance(a, cfg, instances, tables.Setup)
	if err != nil {
		return err
	}
	return change(ctx, a, dryRun, append([]part{jobs.Setup}, parts...)...)
}

// withInstance puts the instance around its tables: it is made or opened before them and closed to other networks behind them, since
// the setup itself comes over one of these.
func withInstance(a *cli.App, cfg config.Setup, instances *cloud.Instances, tables part) ([]part, error) {
	networks := make([]string, 0, len(cfg.Networks))
	for _, network := range cfg.Networks {
		network = strings.ToUpper(strings.TrimSpace(network))
		if !slices.Contains(cloud.Networks(), network) {
			return nil, cli.Usage("ROUTINELY_TABLESTORE_NETWORKS: %q is none of %s", network, strings.Join(cloud.Networks(), ", "))
		}
		networks = append(networks, network)
	}
	made := false
	open := func(ctx context.Context, dryRun bool) (changes []string, err error) {
		changes, made, err = instances.Open(ctx, cfg.Ledger.Instance, networks, dryRun)
		return changes, err
	}
	inside := func(ctx context.Context, dryRun bool) ([]string, error) {
		if made && dryRun { // nobody can be asked yet
			return []string{fmt.Sprintf("create tables %s and %s in it", cfg.Prefix.JobTable(), cfg.Prefix.StateTable())}, nil
		}
		changes, err := tables(ctx, dryRun)
		if err != nil && made {
			a.Note("the instance was made just now, and its address is known after a minute or so: then run this again")
		}
		return changes, err
	}
	narrow := func(ctx context.Context, dryRun bool) ([]string, error) {
		if made && dryRun {
			return nil, nil
		}
		return instances.Narrow(ctx, cfg.Ledger.Instance, networks, dryRun)
	}
	return []part{open, inside, narrow}, nil
}

// change carries out the parts of a setup and shows what they changed, each before the next.
func change(ctx context.Context, a *cli.App, dryRun bool, parts ...part) error {
	all := 0
	for _, part := range parts {
		changes, err := part(ctx, dryRun)
		all += len(changes)
		for _, text := range changes {
			if err := a.WriteLine(text, map[string]any{"change": text, "done": !dryRun}); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
	switch {
	case all == 0:
		a.Note("everything is as it should be")
	case dryRun:
		a.Note("nothing was changed: this is what would be")
	}
	return nil
}
