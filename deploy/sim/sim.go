// Package sim makes what functions are made of for their tests: the process, and the queue and the ledger on the local servers
// of localtest. It is for tests only.
package sim

import (
	"cmp"
	"context"
	"testing"
	"time"

	"routinely/deploy/local/clock"
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

// Names of the queues and tables of tests.
const (
	JobQueue        = "jobs"
	DeadLetterQueue = "jobs-dead"
	CallbackQueue   = "jobs-callbacks"
	jobTable        = "jobs"
	stateTable      = "state"
)

// Queue returns a client of queues, closed when the test ends. Of cfg the Endpoint is required; what else is missing is filled in.
func Queue(t testing.TB, cfg queue.Config) *queue.Client {
	t.Helper()
	cfg.Queue, cfg.DeadLetterQueue = cmp.Or(cfg.Queue, JobQueue), cmp.Or(cfg.DeadLetterQueue, DeadLetterQueue)
	cfg.CallbackQueue, cfg.Timeout = cmp.Or(cfg.CallbackQueue, CallbackQueue), cmp.Or(cfg.Timeout, patience)
	if cfg.Credentials == nil {
		cfg.Credentials = localtest.Credentials
	}
	if cfg.Keys.Sealing() == "" {
		cfg.Keys = Keys(t, Key)
	}
	client, err := queue.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Ledger returns a ledger of localtest's instance, closed when the test ends. Of cfg the Endpoint is required; what else is missing is filled
// in.
func Ledger(t testing.TB, cfg ledger.Config) *ledger.Ledger {
	t.Helper()
	cfg.Instance, cfg.Timeout = localtest.Instance, cmp.Or(cfg.Timeout, patience)
	cfg.Table, cfg.StateTable = cmp.Or(cfg.Table, jobTable), cmp.Or(cfg.StateTable, stateTable)
	if cfg.Credentials == nil {
		cfg.Credentials = localtest.Credentials
	}
	jobs, err := ledger.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(jobs.Close)
	return jobs
}

// NewLedger starts a Tablestore with the ledger's tables, and returns it with the ledger, both on the clock; a nil clock is the system's.
func NewLedger(t testing.TB, c clock.Clock) (*otsemu.Server, *ledger.Ledger) {
	t.Helper()
	server, url := localtest.OTS(t, c)
	for _, name := range []string{jobTable, stateTable} {
		if err := server.CreateTable(name, "p", "s"); err != nil {
			t.Fatal(err)
		}
	}
	cfg := ledger.Config{Endpoint: url}
	if c != nil {
		cfg.Now = c.Now
	}
	return server, Ledger(t, cfg)
}
