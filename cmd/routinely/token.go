package main

import (
	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/shared/auth"
)

// token makes a bearer token for a caller.
func token(a *cli.App) *cobra.Command {
	return &cobra.Command{
		Use: "token", Short: "Make a bearer token and its hash", Args: cobra.NoArgs,
		Long: `Make a bearer token for a caller. The token is for the caller alone, who gives it as ROUTINELY_TOKEN or in the header
Authorization: Bearer. The hash goes into the caller's tokens in ROUTINELY_AUTH, the configuration of the function accept. The
token cannot be had from the hash, and is not kept anywhere.`,
		RunE: func(*cobra.Command, []string) error {
			token, hash := auth.NewToken()
			made := struct {
				Token string `json:"token"`
				Hash  string `json:"hash"`
			}{token, hash}
			return a.Show(made, cli.Fields{{"token", token}, {"hash", hash}})
		},
	}
}
