// Command routinely asks for routines, tells what became of the jobs, and works on dead letters, over accept's HTTP interface.
// It also prepares the cloud services and runs everything on one machine.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"routinely/cmd/routinely/account"
	"routinely/cmd/routinely/callers"
	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/deadletters"
	"routinely/cmd/routinely/doctor"
	"routinely/cmd/routinely/jobs"
	"routinely/cmd/routinely/routines"
	"routinely/cmd/routinely/submit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the process at once
	a := &cli.App{Environ: os.Environ(), Streams: cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}}
	code := a.Run(ctx, os.Args[1:], submit.Command(a), jobs.Command(a), routines.Command(a), deadletters.Command(a), account.Command(a, time.Now), doctor.Command(a, time.Now), setup(a), teardown(a), runJanitor(a), token(a), callers.Command(a, time.Now), callbackSecret(a), messageKey(a), local(a))
	stop()
	os.Exit(code)
}
