package main

import (
	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/queue"
)

// messageKey makes a key that seals the messages on the queues.
func messageKey(a *cli.App) *cobra.Command {
	return &cobra.Command{
		Use: "message-key [ID]", Short: "Make a key that seals the messages on the queues", Args: cli.AtMostOne("key id"),
		Long: `Make a random key for ROUTINELY_MESSAGE_KEYS, the same for all functions. They seal their messages with the first key and take for their own
what any of the keys has sealed: whoever else may write to a queue can pass for nobody. ID names the key in messages and is no secret; without
one it is random.

To replace a key, put the new one behind the old one, with a comma between them, and deploy; change their places and deploy again; after four
days take the old one away. A callback that waits for its receiver is sealed again at least once a day.`,
		RunE: func(_ *cobra.Command, args []string) error {
			id := ""
			if len(args) > 0 {
				id = args[0]
			}
			key, err := queue.NewKey(id)
			if err != nil {
				return cli.Usage("%s", err)
			}
			return a.WriteLine(key, map[string]string{"key": key})
		},
	}
}
