// Command accept is the HTTP-triggered function: it validates a routine request, puts a job on the queue and answers 202.
// It never calls ESA and never waits for the job.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"
	"github.com/google/uuid"

	"routinely/functions/invocation"
	"routinely/queue"
	"routinely/shared/config"
	"routinely/shared/logging"
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
	log, err := logging.New(stdout, cfg.LogLevel, "accept")
	if err != nil {
		return err
	}
	creds := invocation.NewCredentials(cfg.Key)
	jobs, err := queue.New(queue.Config{
		Endpoint: cfg.Endpoint, Queue: cfg.Name, DeadLetterQueue: cfg.DeadLetter, Credentials: creds.Get, Timeout: cfg.Timeout,
	})
	if err != nil {
		return err
	}
	routes := newRoutes(api{jobs: jobs, now: time.Now, newID: uuid.NewV7})
	start(func(ctx context.Context, event json.RawMessage) (response, error) {
		return serveEvent(creds.Begin(ctx, log), event, routes), nil
	})
	return nil
}
