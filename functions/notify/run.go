// Package notify is the function that tells of the ends of jobs: it takes callbacks from their queue and posts each to the URL that
// its request names, again and again if it must, so that no receiver can hold up the jobs.
package notify

import (
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"routinely/shared/callback"
	"routinely/shared/config"
	"routinely/shared/invocation"
)

// Run joins the parts and serves with them as long as the process lives.
func Run(process invocation.Process, environ []string, stdout io.Writer) error {
	cfg, err := config.LoadNotify(environ)
	if err != nil {
		return err
	}
	parts, err := invocation.NewParts(cfg.Common, stdout, "notify")
	if err != nil {
		return err
	}
	secrets := make([]string, 0, len(cfg.Secrets))
	for _, secret := range cfg.Secrets {
		secrets = append(secrets, strings.TrimSpace(secret.Reveal()))
	}
	sender, err := callback.New(callback.Config{
		Secrets: secrets, Policy: callback.Policy{AllowHTTP: cfg.Receivers.HTTP, Networks: cfg.Receivers.Networks}, Timeout: cfg.Timeout,
	})
	if err != nil {
		return err
	}
	n := notifier{queue: parts.Jobs, sender: sender, now: time.Now, draw: rand.Float64}
	invocation.Serve(process, parts, n.handle, func(context.Context) {})
	return nil
}
