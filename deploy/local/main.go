// Command local runs Routinely on one machine without a cloud account: the function binaries as they are deployed, on local
// MNS, ESA and Function Compute servers that speak the real wire protocols. Each server can also be started alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/fcemu"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/local/otsemu"
)

const usage = `Usage: local [command] [flags]

Commands:
  run    everything: MNS, ESA, Function Compute and both functions (default)
  demo   the same once, with a file of requests, injected faults and checks of what became of each
  mns    a local MNS alone
  esa    a local ESA alone
  fc     a local Function Compute alone, for any function binary
  ots    a local Tablestore alone

"local COMMAND -h" explains the flags of a command.
`

// gcPercent lets the local servers, which make much garbage of little memory, collect it less often than Go would.
const gcPercent = 400

func main() {
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	command := "run"
	if len(args) > 0 && args[0] != "" && (args[0][0] != '-' || args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		command, args = args[0], args[1:]
	}
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) error{
		"run": runStack, "demo": runDemo, "mns": mnsemu.Command, "esa": esaemu.Command, "fc": fcemu.Command, "ots": otsemu.Command,
	}
	switch do, known := commands[command]; {
	case known:
		err := do(ctx, args, stdout, stderr)
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	case command == "help", command[0] == '-':
		_, err := io.WriteString(stdout, usage)
		return err
	}
	return fmt.Errorf("there is no command %q; see local help", command)
}
