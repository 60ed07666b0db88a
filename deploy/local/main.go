// Command local runs Routinely on one machine without a cloud account: the function binaries as they are deployed, on local
// MNS, ESA and Function Compute servers that speak the real wire protocols. Each server can also be started alone.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"routinely/deploy/local/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command.Run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		if command.IsMistake(err) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}
