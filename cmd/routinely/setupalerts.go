package main

import (
	"context"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/cloud"
	"routinely/deploy/observability"
	"routinely/shared/config"
)

// setupAlerts makes the index, the dashboard and the alert rules of a deployment.
func setupAlerts(a *cli.App) *cobra.Command {
	dryRun, language := false, ""
	var given observability.Deployment
	cmd := &cobra.Command{
		Use: "alerts", Short: "Create or correct the alerts and the dashboard", Args: cobra.NoArgs,
		Long: `Create the index that makes the functions' log lines searchable by field, a dashboard, and the alert rules, or correct them, in
Simple Log Service. The second time there is nothing to do. An alert rule that somebody has disabled stays so.
Alerts tell nobody without an action policy, which is made in the console of Simple Log Service: it says who is told, and how.
The access key is read from ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and ALIBABA_CLOUD_SECURITY_TOKEN.`,
		Example: "  routinely setup alerts --log-project serverless-cn-hangzhou-1234 --action-policy on-call",
	}
	flags := cmd.Flags()
	flags.BoolVar(&dryRun, "dry-run", false, "only show what would be changed")
	flags.StringVar(&given.ActionPolicy, "action-policy", "", "`id` of the action policy that says who is told")
	flags.StringVar(&given.Pages, "pages", "", "`URL` where the pages of the repository are read; alerts link to docs/operations/runbook.md below it")
	flags.StringVar(&language, "language", string(observability.English), "language of the alerts: en or zh (`word`)")
	environ := settingFlags(a, cmd, &config.Logs{})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.LoadLogs(environ())
		if err != nil {
			return cli.Usage("%s", err)
		}
		given.Prefix, given.Region, given.Project, given.Logstore = string(cfg.Prefix), cfg.Region, cfg.Project, cfg.Store
		given.Language = observability.Language(language)
		return makeAlerts(cmd.Context(), a, cfg, given, dryRun)
	}
	return cmd
}

func makeAlerts(ctx context.Context, a *cli.App, cfg config.Logs, given observability.Deployment, dryRun bool) error {
	if err := given.Check(); err != nil {
		return cli.Usage("%s", err)
	}
	key, err := credentials(cfg.Key)
	if err != nil {
		return err
	}
	logs, err := cloud.NewLogs(cloud.LogsConfig{
		Access: cloud.Access{Credentials: key, Timeout: managementTime}, Endpoint: cfg.Endpoint, Project: cfg.Project,
	})
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer logs.Close()
	index, err := given.Index()
	if err != nil {
		return err
	}
	dashboard, err := given.Dashboard()
	if err != nil {
		return err
	}
	rules, err := given.Rules()
	if err != nil {
		return err
	}
	parts := []part{
		func(ctx context.Context, dryRun bool) ([]string, error) {
			return logs.SetUpIndex(ctx, cfg.Store, index, dryRun)
		},
		func(ctx context.Context, dryRun bool) ([]string, error) {
			return logs.SetUpDashboard(ctx, dashboard, dryRun)
		},
	}
	for _, rule := range rules {
		parts = append(parts, func(ctx context.Context, dryRun bool) ([]string, error) { return logs.SetUpAlert(ctx, rule, dryRun) })
	}
	if given.ActionPolicy == "" {
		a.Note("no action policy is given: the alerts are seen in the console alone")
	}
	return change(ctx, a, dryRun, parts...)
}
