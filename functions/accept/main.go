// Command accept is the HTTP-triggered function: it validates a routine request, puts a job on the queue and answers 202,
// tells what became of jobs, and works off dead letters. It never calls ESA.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"
	"github.com/google/uuid"

	"routinely/functions/deadletters"
	"routinely/functions/invocation"
	"routinely/shared/auth"
	"routinely/shared/config"
)

func main() {
	if err := run(os.Environ(), os.Stdout, func(handler any) { fc.Start(handler) }); err != nil {
		fmt.Fprintln(os.Stderr, "accept:", err)
		os.Exit(1)
	}
}

// run joins the parts and hands the handler to start, which serves it until the process ends.
func run(environ []string, stdout io.Writer, start func(handler any)) error {
	cfg, err := config.LoadAccept(environ)
	if err != nil {
		return err
	}
	guard, err := auth.Parse(cfg.Auth.Reveal())
	if err != nil {
		return err
	}
	parts, err := invocation.NewParts(cfg.Base, stdout, "accept")
	if err != nil {
		return err
	}
	desk := deadletters.New(deadletters.Config{
		Queue: parts.Jobs, Record: parts.Record.Note, Now: time.Now, Sleep: invocation.Sleep, LastLook: time.Second,
	})
	routes := sync.OnceValue(func() http.Handler {
		return newRoutes(service{
			guard: guard,
			jobs:  parts.Jobs, record: parts.Record, letters: desk, now: time.Now, sleep: invocation.Sleep, newID: uuid.NewV7,
		})
	})
	go routes() // while the first event is asked for
	start(func(ctx context.Context, event json.RawMessage) (response, error) {
		return serveEvent(parts.Credentials.Begin(ctx, parts.Log), event, routes()), nil
	})
	return nil
}
