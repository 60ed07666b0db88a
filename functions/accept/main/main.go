// Command accept is the HTTP-triggered function, see package accept.
package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"routinely/functions/accept"
	"routinely/shared/auth"
	"routinely/shared/callback"
	"routinely/shared/config"
	"routinely/shared/invocation"
	"routinely/shared/ledger"
	"routinely/shared/retry"
)

// memoryLimit is what the garbage collector keeps the process to, in bytes: what the longest request needs takes less, and without a limit what
// one request left would stay while the next comes. It stands here and not in the environment so that each binary has it, those of the tests too.
const memoryLimit = 40 << 20

func main() {
	debug.SetMemoryLimit(memoryLimit)
	http.DefaultTransport = invocation.CutEvents(http.DefaultTransport, accept.MaxEvent())
	invocation.Main("accept", os.Exit, func(process invocation.Process) error {
		return run(process, os.Environ(), os.Stdout)
	})
}

// run joins the parts and serves with them as long as the process lives.
func run(process invocation.Process, environ []string, stdout io.Writer) error {
	cfg, err := config.LoadAccept(environ)
	if err != nil {
		return err
	}
	guard, err := auth.Parse(cfg.Auth.Reveal())
	if err != nil {
		return err
	}
	parts, err := invocation.NewParts(cfg.Function, stdout, "accept")
	if err != nil {
		return err
	}
	if guard.Everybody() {
		parts.Log.Warn("ROUTINELY_AUTH is none: whoever reaches this function may do everything")
	}
	jobs, err := ledger.Open(cfg.Ledger, cfg.Prefix, parts.Credentials.Get)
	if err != nil {
		return err
	}
	service, err := accept.New(accept.Config{
		Guard: guard, Receivers: callback.PolicyOf(cfg.Receivers),
		Queue: parts.Jobs, Ledger: jobs, Retention: cfg.Retention,
		ExpiryMin: cfg.ExpiryMin, ExpiryMax: cfg.ExpiryMax, ExpiryGrace: cfg.ExpiryGrace, MayDelete: cfg.Deletion.MayDelete(),
		Now: time.Now, Sleep: retry.Sleep, NewID: uuid.NewV7, Bits: rand.Uint64,
	})
	if err != nil {
		return err
	}
	invocation.Serve(process, parts, service.Handle, func(context.Context) {})
	return nil
}
