// Command janitor is the function that a timer triggers, see package janitor.
package main

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"routinely/functions/janitor"
	"routinely/shared/config"
	"routinely/shared/esa"
	"routinely/shared/invocation"
	"routinely/shared/ledger"
)

func main() {
	invocation.Main("janitor", os.Exit, func(process invocation.Process) error {
		return run(process, os.Environ(), os.Stdout)
	})
}

// run joins the parts and serves with them as long as the process lives.
func run(process invocation.Process, environ []string, stdout io.Writer) error {
	cfg, err := config.LoadJanitor(environ)
	if err != nil {
		return err
	}
	parts, err := invocation.NewParts(cfg.Function, stdout, "janitor")
	if err != nil {
		return err
	}
	jobs, err := ledger.Open(cfg.Ledger, cfg.Prefix, parts.Credentials.Get)
	if err != nil {
		return err
	}
	account, err := esa.New(esa.Config{Endpoint: cfg.ESA.Endpoint, Credentials: parts.Credentials.Get, Timeout: cfg.ESA.Timeout})
	if err != nil {
		return err
	}
	j, err := janitor.New(janitor.Config{
		Queue: parts.Jobs, Ledger: jobs, ESA: account, Retention: cfg.Retention, MayExpire: cfg.Deletion.MayExpire(),
		ExpirySettle: cfg.ExpirySettle, ExpiryGrace: cfg.ExpiryGrace, ExpiryPerHour: cfg.ExpiryPerHour, Now: time.Now, Bits: rand.Uint64,
	})
	if err != nil {
		return err
	}
	invocation.Serve(process, parts, j.Handle, func(context.Context) {})
	return nil
}
