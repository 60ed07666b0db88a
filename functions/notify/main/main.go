// Command notify is the function that the callback queue triggers, see package notify.
package main

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"routinely/functions/notify"
	"routinely/shared/callback"
	"routinely/shared/config"
	"routinely/shared/invocation"
)

func main() {
	invocation.Main("notify", os.Exit, func(process invocation.Process) error {
		return run(process, os.Environ(), os.Stdout)
	})
}

// run joins the parts and serves with them as long as the process lives.
func run(process invocation.Process, environ []string, stdout io.Writer) error {
	cfg, err := config.LoadNotify(environ)
	if err != nil {
		return err
	}
	parts, err := invocation.NewParts(cfg.Function, stdout, "notify")
	if err != nil {
		return err
	}
	secrets := make([]string, 0, len(cfg.Secrets))
	for _, secret := range cfg.Secrets {
		secrets = append(secrets, strings.TrimSpace(secret.Reveal()))
	}
	sender, err := callback.New(callback.Config{
		Secrets: secrets, Policy: callback.PolicyOf(cfg.Receivers), Timeout: cfg.Timeout,
	})
	if err != nil {
		return err
	}
	n, err := notify.New(notify.Config{Queue: parts.Jobs, Sender: sender, Now: time.Now, Draw: rand.Float64, Bits: rand.Uint64})
	if err != nil {
		return err
	}
	invocation.Serve(process, parts, n.Handle, func(context.Context) {})
	return nil
}
