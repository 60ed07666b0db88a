package main

import (
	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/deploy/local/command"
)

// local runs everything on one machine. Its flags are the local servers' own.
func local(a *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use: "local [run|demo|mns|esa|fc|ots] [flags]", Short: "Run everything on this machine, or a local server alone",
		DisableFlagParsing: true,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := command.Run(cmd.Context(), args, a.Environ, a.Out, a.Err)
		if command.IsMistake(err) {
			return cli.Usage("%s", err)
		}
		return err
	}
	return cmd
}
