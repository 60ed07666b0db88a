package main

import (
	"strings"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/shared/callback"
)

// callbackSecrets is the variable that holds the secrets of the function notify.
const callbackSecrets = "ROUTINELY_CALLBACK_SECRETS"

// callbackSecret tells the secret that a caller checks callbacks with.
func callbackSecret(a *cli.App) *cobra.Command {
	return &cobra.Command{
		Use: "callback-secret CALLER", Short: "Show the secret that a caller checks callbacks with", Args: cli.One("name of a caller"),
		Long: `Show the secret that a caller checks the signatures of callbacks with. It is made of the secrets of the function notify, read from
ROUTINELY_CALLBACK_SECRETS, and of the caller's name, so that no caller can forge callbacks for another. Where there are several
secrets, each makes one: the caller accepts callbacks signed with any of them.`,
		RunE: func(_ *cobra.Command, args []string) error {
			given := a.Variable(callbackSecrets)
			if given == "" {
				return cli.Usage("%s is not set: give it as the function notify has it", callbackSecrets)
			}
			var its []string
			for secret := range strings.SplitSeq(given, ",") {
				one, err := callback.SecretOf(strings.TrimSpace(secret), args[0])
				if err != nil {
					return cli.Usage("%s: %s", callbackSecrets, err)
				}
				its = append(its, one)
			}
			made := struct {
				Caller  string   `json:"caller"`
				Secrets []string `json:"secrets"`
			}{args[0], its}
			fields := cli.Fields{{"caller", args[0]}}
			for _, one := range its {
				fields = append(fields, [2]string{"secret", one})
			}
			return a.Show(made, fields)
		},
	}
}
