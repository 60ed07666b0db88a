// Command provision is the function that the job queue triggers, see package provision.
package main

import (
	"os"

	"routinely/functions/provision"
	"routinely/shared/invocation"
)

func main() {
	invocation.Main("provision", os.Exit, func(process invocation.Process) error {
		return provision.Run(process, os.Environ(), os.Stdout)
	})
}
