// Package accept is the HTTP-triggered function: it validates a routine request, puts a job on the queue and answers 202,
// tells what became of jobs, and works off dead letters. It never calls ESA.
package accept

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"routinely/functions/deadletters"
	"routinely/functions/record"
	"routinely/shared/auth"
	"routinely/shared/callback"
	"routinely/shared/config"
	"routinely/shared/invocation"
)

// Run joins the parts and serves with them as long as the process lives.
func Run(process invocation.Process, environ []string, stdout io.Writer) error {
	cfg, err := config.LoadAccept(environ)
	if err != nil {
		return err
	}
	guard, err := auth.Parse(cfg.Auth.Reveal())
	if err != nil {
		return err
	}
	receivers := callback.Policy{AllowHTTP: cfg.Receivers.HTTP, Networks: cfg.Receivers.Networks}
	if err := receivers.Check(); err != nil {
		return err
	}
	parts, err := invocation.NewParts(cfg.Common, stdout, "accept")
	if err != nil {
		return err
	}
	history, err := record.Open(cfg.Base, parts.Credentials.Get)
	if err != nil {
		return err
	}
	desk := deadletters.New(deadletters.Config{
		Queue: parts.Jobs, Record: history.Note, Now: time.Now, Sleep: invocation.Sleep, LastLook: time.Second,
	})
	routes := sync.OnceValue(func() http.Handler {
		return newRoutes(service{
			guard: guard, receivers: receivers,
			jobs: parts.Jobs, record: history, letters: desk, now: time.Now, sleep: invocation.Sleep, newID: uuid.NewV7,
		})
	})
	invocation.Serve(process, parts, func(ctx context.Context, event json.RawMessage) (response, error) {
		return serveEvent(ctx, event, routes()), nil
	}, history.Flush)
	return nil
}
