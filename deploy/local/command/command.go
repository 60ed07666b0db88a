// Package command is the command line of the local servers: all of Routinely on one machine, the demo, or one server alone.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"runtime/debug"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/fcemu"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/local/otsemu"
	"routinely/deploy/local/serve"
)

const usage = `Usage: local [command] [flags]

Commands:
  run    everything: MNS, ESA, Function Compute and the functions (default)
  demo   the same once, with a file of requests, injected faults and checks
         of what became of each
  mns    a local MNS alone
  esa    a local ESA alone
  fc     a local Function Compute alone, for any function binary
  ots    a local Tablestore alone

"local COMMAND -h" explains the flags of a command.
`

// gcPercent lets the local servers, which make much garbage of little memory, collect it less often than Go would.
const gcPercent = 400

// Run carries out one command line until it is done or ctx is. Output that is asked for goes to stdout, progress to stderr.
// environ is the environment, as NAME=value pairs.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	command := "run"
	if len(args) > 0 && args[0] != "" && (args[0][0] != '-' || args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		command, args = args[0], args[1:]
	}
	whole := func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
		return runStack(ctx, args, environ, stdout, stderr)
	}
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) error{
		"run": whole, "demo": runDemo, "mns": mnsemu.Command, "esa": esaemu.Command, "fc": fcemu.Command, "ots": otsemu.Command,
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
	return serve.Mistake{Err: fmt.Errorf("there is no command %q; see local help", command)}
}

// IsMistake reports whether an error of Run is one of the command line: nothing was begun. So is an address that cannot be one.
func IsMistake(err error) bool {
	return errors.As(err, new(serve.Mistake)) || errors.As(err, new(*net.AddrError))
}
