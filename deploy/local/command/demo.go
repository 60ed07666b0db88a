package command

import (
	"context"
	"flag"
	"io"
	"path/filepath"
	"time"

	"routinely/deploy/local/demo"
	"routinely/deploy/local/stack"
)

// runDemo submits a file of requests with faults injected and checks what became of each. The report goes to stdout, progress
// to stderr.
func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("local demo", flag.ContinueOnError)
	flags.SetOutput(stdout)
	cfg := demo.Config{
		Stack:  stack.Config{Dir: filepath.FromSlash(".local/demo"), ESALatency: 50 * time.Millisecond},
		Output: stdout, Progress: stderr,
	}
	const free = "127.0.0.1:0"
	stackFlags(flags, &cfg.Stack, free, free, free, free, free)
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := checkBinaries(cfg.Stack); err != nil {
		return err
	}
	unmark, err := mark()
	if err != nil {
		return err
	}
	defer unmark()
	return demo.Run(ctx, cfg)
}
