// Command host is the fc subcommand as a program of its own, for tests that kill it.
package main

import (
	"context"
	"fmt"
	"os"

	"routinely/deploy/local/fcemu"
)

func main() {
	if err := fcemu.Command(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
