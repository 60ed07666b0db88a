package stack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/stack"
	"routinely/queue"
	"routinely/shared/callback"
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

// settings are those of a deployment on free ports whose functions are all the same command.
func settings(dir, command string) stack.Config {
	const free = "127.0.0.1:0"
	return stack.Config{
		Dir: dir, NoSync: true, Accept: command, Provision: command, Notify: command, Janitor: command, Hosts: []string{"tunnel.example"},
		Addresses: stack.Addresses{HTTP: free, MNS: free, ESA: free, OTS: free, FC: free},
	}
}

// unused is a new deployment with these settings.
func unused(t *testing.T, command string) *stack.Stack {
	t.Helper()
	s, err := stack.New(settings(t.TempDir(), command))
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
		path := "/_local/faults"
		if url == s.FCURL() {
			path = "/_local/triggers"
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
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

// environments are what a deployment gives to functions.
func environments(t *testing.T, cfg stack.Config, functions ...string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	err = s.Run(ctx, func(ctx context.Context) error {
		defer stop()
		for _, function := range functions {
			described, err := s.FC().Invoke(ctx, function, []byte(`{"do":"describe"}`))
			if err != nil {
				return err
			}
			var is struct{ Env []string }
			if err := json.Unmarshal(described.Result, &is); err != nil {
				return err
			}
			out[function] = is.Env
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// secretsOf are the secrets that a deployment gives to its function notify.
func secretsOf(t *testing.T, cfg stack.Config) (messageKeys, callbackSecrets string) {
	t.Helper()
	for _, pair := range environments(t, cfg, stack.FunctionNotify)[stack.FunctionNotify] {
		switch name, value, _ := strings.Cut(pair, "="); name {
		case "ROUTINELY_MESSAGE_KEYS":
			messageKeys = value
		case "ROUTINELY_CALLBACK_SECRETS":
			callbackSecrets = value
		}
	}
	return messageKeys, callbackSecrets
}

func TestExpiry(t *testing.T) {
	built, err := localtest.Build("deploy/local/fcemu/testdata/function")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(built) }()
	// shown are what is deleted, and how long routines live, are left alone and stay, as the functions read it.
	shown := func(t *testing.T, deletion string, short bool) string {
		cfg := settings(t.TempDir(), filepath.Join(built, "function"))
		cfg.Deletion, cfg.Short = deletion, short
		given := environments(t, cfg, stack.FunctionAccept, stack.FunctionWorker, stack.FunctionJanitor)
		sender, err1 := config.LoadAccept(given[stack.FunctionAccept])
		worker, err2 := config.LoadProvision(given[stack.FunctionWorker])
		janitor, err3 := config.LoadJanitor(given[stack.FunctionJanitor])
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s %s %s %s %s %s %s %s", sender.Deletion, worker.Deletion, janitor.Deletion,
			sender.ExpiryMin, sender.ExpiryMax, janitor.ExpirySettle, sender.ExpiryGrace, janitor.ExpiryGrace)
	}
	for _, test := range []struct {
		name, deletion string
		short          bool
		want           string
	}{
		{"is as in s.yaml, and everything may be deleted", "", false, "expired-too expired-too expired-too 1h0m0s 720h0m0s 10m0s 24h0m0s 24h0m0s"},
		{"follows the choice of what is deleted", "never", false, "never never never 1h0m0s 720h0m0s 10m0s 24h0m0s 24h0m0s"},
		{"can be seen within minutes", "", true, "expired-too expired-too expired-too 1m0s 1h0m0s 10s 1m0s 1m0s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := shown(t, test.deletion, test.short); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestOwnSecrets(t *testing.T) {
	built, err := localtest.Build("deploy/local/fcemu/testdata/function")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(built) }()
	cfg := settings(t.TempDir(), filepath.Join(built, "function"))
	key, secret := secretsOf(t, cfg)
	t.Run("are those that the functions take", func(t *testing.T) {
		if _, err := queue.ParseKeys(key); err != nil {
			t.Error(err)
		}
		if _, err := callback.New(callback.Config{Secrets: []string{secret}}); err != nil {
			t.Error(err)
		}
	})
	t.Run("are found again at the next start", func(t *testing.T) {
		if nextKey, nextSecret := secretsOf(t, cfg); nextKey != key || nextSecret != secret {
			t.Errorf("%q and %q, before %q and %q", nextKey, nextSecret, key, secret)
		}
	})
	t.Run("can be read by the owner of the data directory alone", func(t *testing.T) {
		for name, want := range map[string]string{"message-keys": key, "callback-secrets": secret} {
			path := filepath.Join(cfg.Dir, name)
			content, err := os.ReadFile(path)
			if err != nil || string(content) != want+"\n" {
				t.Errorf("%s: %q, %v, want %q", name, content, err, want)
			}
			if about, err := os.Stat(path); err != nil || about.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, about.Mode(), err)
			}
		}
	})
	t.Run("are others in another directory", func(t *testing.T) {
		other := cfg
		other.Dir = t.TempDir()
		if otherKey, otherSecret := secretsOf(t, other); otherKey == key || otherSecret == secret {
			t.Errorf("%q and %q again", key, secret)
		}
	})
	t.Run("give way to those of the configuration, and are kept", func(t *testing.T) {
		given := cfg
		given.MessageKeys, given.CallbackSecrets = "k1:given", "whsec_given"
		if key, secret := secretsOf(t, given); key != "k1:given" || secret != "whsec_given" {
			t.Errorf("%q and %q", key, secret)
		}
		if nextKey, nextSecret := secretsOf(t, cfg); nextKey != key || nextSecret != secret {
			t.Errorf("%q and %q, before %q and %q", nextKey, nextSecret, key, secret)
		}
	})
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
