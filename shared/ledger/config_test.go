package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/localtest"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestRetention(t *testing.T) {
	c := clock.NewManual(noon)
	_, url := localtest.OTS(t, c)
	l := connect(t, url, nil)
	if _, err := l.Setup(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	quiet, redriven1 := newJob(1), newJob(2)
	claim(t, l, quiet, redriven1)
	add(t, l, redriven1, at(5, deadLettered(1)))
	c.Advance(20 * day)
	add(t, l, redriven1, at(9, redriven(1)))
	c.Advance(20 * day)
	t.Run("forgets a job whose retention has passed since its last change", func(t *testing.T) {
		if _, err := l.Job(t.Context(), quiet.ID); codeOf(err) != "not-found UnknownJob" {
			t.Error(err)
		}
	})
	t.Run("keeps a job that changed, whole and listed", func(t *testing.T) {
		got, err := l.Job(t.Context(), redriven1.ID)
		if err != nil || got.Request != redriven1.Request || got.State != routine.Queued {
			t.Errorf("job %+v, error %v", got, err)
		}
		for _, f := range []ledger.Filter{{}, {State: routine.Queued}, {Name: got.Request.Name}, {Caller: got.Caller, State: routine.Queued}} {
			if ids := list(t, l, f, 10); !cmp.Equal(ids, []string{redriven1.ID}) {
				t.Errorf("%+v: listed %v", f, ids)
			}
		}
	})
}

func TestConfig(t *testing.T) {
	good := ledger.Config{Endpoint: "http://127.0.0.1:1", Instance: "routinely", Credentials: localtest.Credentials, Timeout: time.Second}
	for name, change := range map[string]func(*ledger.Config){
		"no endpoint":                     func(c *ledger.Config) { c.Endpoint = "" },
		"an endpoint with a path":         func(c *ledger.Config) { c.Endpoint = "https://x/y" },
		"another scheme":                  func(c *ledger.Config) { c.Endpoint = "ftp://x" },
		"no instance":                     func(c *ledger.Config) { c.Instance = "" },
		"a bad table name":                func(c *ledger.Config) { c.Table = "routinely-jobs" },
		"a table name with a digit first": func(c *ledger.Config) { c.Table = "1st" },
		"an instance with a space":        func(c *ledger.Config) { c.Instance = "rout inely" },
		"no credentials":                  func(c *ledger.Config) { c.Credentials = nil },
		"no timeout":                      func(c *ledger.Config) { c.Timeout = 0 },
		"a short retention":               func(c *ledger.Config) { c.Retention = time.Hour },
		"a retention too long":            func(c *ledger.Config) { c.Retention = 100 * 366 * 24 * time.Hour },
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			bad := good
			change(&bad)
			if _, err := ledger.New(bad); err == nil {
				t.Error("accepted")
			}
		})
	}
}
