// Package sim makes what functions are made of for their tests: the process, and the queue and the ledger on the local servers
// of localtest. It is for tests only.
package sim

import (
	"cmp"
	"context"
	"testing"
	"time"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/otsemu"
	"routinely/queue"
	"routinely/shared/invocation"
	"routinely/shared/ledger"
)

// patience is the time limit of calls in tests that are not about it.
const patience = 10 * time.Second

// Process returns a process that nobody asks to end, in which start stands for the platform. Its function returns once start does.
func Process(t testing.TB, start func(handler any, preStop func(context.Context))) invocation.Process {
	return invocation.Process{
		Stopping: t.Context(), Watch: func() {}, Start: start,
		Exit: func(code int) { t.Errorf("the process ends with %d", code) },
	}
}

// Queue returns a client of queues, closed when the test ends. Of cfg the Endpoint is required; what else is missing is filled
// in, the names with jobs, jobs-dead and jobs-callbacks.
func Queue(t testing.TB, cfg queue.Config) *queue.Client {
	t.Helper()
	cfg.Queue, cfg.DeadLetterQueue = cmp.Or(cfg.Queue, "jobs"), cmp.Or(cfg.DeadLetterQueue, "jobs-dead")
	cfg.CallbackQueue, cfg.Timeout = cmp.Or(cfg.CallbackQueue, "jobs-callbacks"), cmp.Or(cfg.Timeout, patience)
	if cfg.Credentials == nil {
		cfg.Credentials = localtest.Credentials
	}
	client, err := queue.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Ledger returns a ledger of localtest's instance, closed when the test ends. Of cfg the Endpoint is required; Credentials and
// Timeout are filled in if they are missing.
func Ledger(t testing.TB, cfg ledger.Config) *ledger.Ledger {
	t.Helper()
	cfg.Instance, cfg.Timeout = localtest.Instance, cmp.Or(cfg.Timeout, patience)
	if cfg.Credentials == nil {
		cfg.Credentials = localtest.Credentials
	}
	book, err := ledger.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(book.Close)
	return book
}

// NewLedger starts a Tablestore with the ledger's table, and returns it with the ledger.
func NewLedger(t testing.TB) (*otsemu.Server, *ledger.Ledger) {
	t.Helper()
	server, url := localtest.OTS(t, nil)
	if err := server.CreateTable(ledger.DefaultTable, "p", "s"); err != nil {
		t.Fatal(err)
	}
	return server, Ledger(t, ledger.Config{Endpoint: url})
}
