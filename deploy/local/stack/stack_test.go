package stack_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
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

// unused is a deployment on free ports whose functions are all the same command.
func unused(t *testing.T, command string) *stack.Stack {
	t.Helper()
	const free = "127.0.0.1:0"
	s, err := stack.New(stack.Config{
		Dir: t.TempDir(), NoSync: true, Accept: command, Provision: command, Notify: command, Janitor: command, Hosts: []string{"tunnel.example"},
		Addresses: stack.Addresses{HTTP: free, MNS: free, ESA: free, OTS: free, FC: free},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestForeignPages(t *testing.T) {
	dir, err := localtest.Build("deploy/local/fcemu/testdata/function")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, client := unused(t, filepath.Join(dir, "function")), &http.Client{}
	status := func(ctx context.Context, url, host, origin string) int {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_local/faults", nil)
		if err != nil {
			t.Fatal(err)
		}
		if request.Host = host; origin != "" {
			request.Header.Set("Origin", origin)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	ctx, stop := context.WithCancel(t.Context())
	err = s.Run(ctx, func(ctx context.Context) error {
		defer stop()
		defer client.CloseIdleConnections()
		for name, url := range map[string]string{"MNS": s.MNSURL(), "ESA": s.ESAURL(), "Tablestore": s.OTSURL(), "FC": s.FCURL(), "accept": s.HTTPURL()} {
			if status(ctx, url, "rebound.example", "") != http.StatusForbidden || status(ctx, url, "", "https://page.example") != http.StatusForbidden {
				t.Errorf("%s answers a page of another site", name)
			}
			if name != "accept" && (status(ctx, url, "", url) != http.StatusOK || status(ctx, url, "tunnel.example", "http://tunnel.example") != http.StatusOK) {
				t.Errorf("%s does not answer its own page", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTable(t *testing.T) {
	s := unused(t, "true")
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
