// Command go is the backend of a small product that gives each customer an edge routine: docs/how-to/saas-backend.md explains it. It imports
// nothing of Routinely, so that it can be copied.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv); err != nil {
		log.Fatal(err)
	}
}

// run serves the product, or with the arguments "message NAME HOST" puts one request on the queue.
func run(ctx context.Context, args []string, variable func(string) string) error {
	switch {
	case len(args) == 3 && args[0] == "message":
		return sendMessage(variable, args[1], args[2])
	case len(args) > 0:
		return fmt.Errorf("unknown arguments %q, want none or: message NAME HOST", args)
	}
	pause, err := time.ParseDuration(or(variable("POLL_MS"), "60000") + "ms")
	if err != nil {
		return fmt.Errorf("POLL_MS: %w", err)
	}
	var secrets []*standardwebhooks.Webhook
	for _, text := range strings.Split(variable("CALLBACK_SECRETS"), ",") {
		secret, err := standardwebhooks.NewWebhook(text)
		if text == "" || err != nil {
			return errors.New("CALLBACK_SECRETS: want secrets with commas between them, as routinely callback-secret shows them")
		}
		secrets = append(secrets, secret)
	}
	listen := or(variable("LISTEN"), "127.0.0.1:3000")
	p := &product{
		routinely: &routinely{url: or(variable("ROUTINELY_URL"), "http://127.0.0.1:18082"), token: variable("ROUTINELY_TOKEN")},
		public:    or(variable("PUBLIC_URL"), "http://"+listen), secrets: secrets, customers: map[string]*customer{},
	}
	return serve(ctx, listen, p, pause)
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// serve answers until ctx is done, and meanwhile asks for the state of jobs whose callback has not come.
func serve(ctx context.Context, listen string, p *product, pause time.Duration) error {
	server := &http.Server{Addr: listen, Handler: p.handler(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	log.Printf("listening on http://%s", listen)
	for {
		select {
		case err := <-failed:
			return err
		case <-tick.C:
			p.poll(ctx)
		case <-ctx.Done():
			return server.Close()
		}
	}
}
