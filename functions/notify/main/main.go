// Command notify is the function that the callback queue triggers, see package notify.
package main

import (
	"os"

	"routinely/functions/notify"
	"routinely/shared/invocation"
)

func main() {
	invocation.Main("notify", os.Exit, func(process invocation.Process) error {
		return notify.Run(process, os.Environ(), os.Stdout)
	})
}
