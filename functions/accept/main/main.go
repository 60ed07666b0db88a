// Command accept is the HTTP-triggered function, see package accept.
package main

import (
	"os"

	"routinely/functions/accept"
	"routinely/shared/invocation"
)

func main() {
	invocation.Main("accept", os.Exit, func(process invocation.Process) error {
		return accept.Run(process, os.Environ(), os.Stdout)
	})
}
