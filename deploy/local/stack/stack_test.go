package stack_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/stack"
	"routinely/shared/config"
	"routinely/shared/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNames(t *testing.T) {
	p, err := config.ParsePrefix(stack.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		p.JobQueue(), p.DeadLetterQueue(), p.CallbackQueue(), p.JobTable(), p.StateTable(),
		p.Function("accept"), p.Function("provision"), p.Function("notify"), p.Function("janitor"),
	}
	got := []string{
		stack.Queue, stack.DeadLetterQueue, stack.CallbackQueue, stack.Table, stack.StateTable,
		stack.FunctionAccept, stack.FunctionWorker, stack.FunctionNotify, stack.FunctionJanitor,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names of the local deployment: -code +stack:\n%s", diff)
	}
}

func TestTable(t *testing.T) {
	const free, unused = "127.0.0.1:0", "true"
	s, err := stack.New(stack.Config{
		Dir: t.TempDir(), NoSync: true, Accept: unused, Provision: unused, Notify: unused, Janitor: unused,
		Addresses: stack.Addresses{HTTP: free, MNS: free, ESA: free, OTS: free, FC: free},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	l, err := ledger.New(ledger.Config{
		Endpoint: localtest.Listen(t, s.OTS(), nil), Instance: stack.Instance, Table: stack.Table, StateTable: stack.StateTable, Timeout: 10 * time.Second,
		Credentials: func() (string, string, string) { return stack.AccessKeyID, stack.AccessKeySecret, "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if changes, err := l.Setup(t.Context(), true); err != nil || len(changes) > 0 {
		t.Errorf("the setup would change the table: %q, %v", changes, err)
	}
}
