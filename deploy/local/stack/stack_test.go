package stack_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/stack"
	"routinely/shared/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTable(t *testing.T) {
	const free, unused = "127.0.0.1:0", "true"
	s, err := stack.New(stack.Config{
		Dir: t.TempDir(), NoSync: true, Accept: unused, Provision: unused, Notify: unused,
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
		Endpoint: localtest.Listen(t, s.OTS(), nil), Instance: stack.Instance, Table: stack.Table, Timeout: 10 * time.Second,
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
