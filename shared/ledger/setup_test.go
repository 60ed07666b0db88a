package ledger_test

import (
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestSetup(t *testing.T) {
	manual := clock.NewManual(noon)
	server, url := localtest.OTS(t, manual)
	b := &book{server: server, url: url, clock: manual}
	l := b.connect(t, nil)
	setup := func(t *testing.T, l *ledger.Ledger, dryRun bool, want ...string) {
		t.Helper()
		server.Faults().Reset()
		got, err := l.Setup(t.Context(), dryRun)
		must(t, err)
		same(t, got, want)
		changes := server.Faults().Count("CreateTable") + server.Faults().Count("UpdateTable")
		check(t, changes, dryRun && changes == 0 || !dryRun && changes == len(want))
	}
	jobs, state := "create table jobs, rows are kept for 720h0m0s", "create table state, rows are kept for ever"
	t.Run("says what it would make", func(t *testing.T) {
		setup(t, l, true, jobs, state)
		setup(t, l, true, jobs, state)
	})
	t.Run("makes the two tables, once", func(t *testing.T) {
		setup(t, l, false, jobs, state)
		setup(t, l, false)
		setup(t, l, true)
	})
	t.Run("changes the retention of the jobs alone, once", func(t *testing.T) {
		other := b.connect(t, func(c *ledger.Config) { c.Retention = 60 * 24 * time.Hour })
		const want = "keep the rows of table jobs for 1440h0m0s instead of for 720h0m0s"
		setup(t, other, true, want)
		setup(t, other, false, want)
		setup(t, other, false)
	})
	t.Run("refuses a table with other keys", func(t *testing.T) {
		must(t, server.CreateTable("foreign", "p", "sort"))
		other := b.connect(t, func(c *ledger.Config) { c.Table = "foreign" })
		_, err := other.Setup(t.Context(), false)
		wantCode(t, err, "account ForeignTable")
	})
	t.Run("finds a table that somebody else made meanwhile", func(t *testing.T) {
		server.Faults().Reset()
		racing := b.connect(t, func(c *ledger.Config) {
			c.Table = "race"
			c.Credentials = func() (string, string, string) {
				if server.Faults().Count("DescribeTable") == 1 { // it has looked, and makes the table next
					must(t, server.CreateTable("race", "p", "s"))
				}
				return localtest.Credentials()
			}
		})
		got, err := racing.Setup(t.Context(), false)
		must(t, err)
		same(t, got, []string{"keep the rows of table race for 720h0m0s instead of for ever"})
	})
	t.Run("passes on that the service is busy", func(t *testing.T) {
		b.breaks(t, faults.Rule{Action: "DescribeTable", Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerBusy"}})
		_, err := l.Setup(t.Context(), false)
		wantCode(t, err, "unavailable OTSServerBusy")
	})
}

func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	b := newBook(t, newRows(3)...)
	b.change(t, newRow(2).ID, dies(60, "Taken"))
	waits := func(r *ledger.Row) error { // for weeks
		r.HandOver(r.Number+1, ledger.HandOver{Failure: failureAt(5, "Locked"), Sent: true}, b.clock.Now())
		return nil
	}
	b.clock.Advance(20 * day)
	b.change(t, newRow(1).ID, waits)
	b.change(t, newRow(2).ID, redriven(20*86400))
	b.clock.Advance(20 * day)
	t.Run("forgets a job whose retention has passed since its last change, and keeps the others", func(t *testing.T) {
		_, err := b.Row(t.Context(), newRow(0).ID)
		wantCode(t, err, "not-found UnknownJob")
		same(t, listed(t, b.Ledger, ledger.Filter{}, 100), newestFirst(1, 2))
	})
	t.Run("keeps a job that is handed over for weeks, whole and listed", func(t *testing.T) {
		b.change(t, newRow(1).ID, waits)
		b.clock.Advance(20 * day)
		row, err := b.Row(t.Context(), newRow(1).ID)
		must(t, err)
		check(t, row, ledger.Hash(row.Request) == ledger.Hash(newRow(1).Request) && row.Number == 3)
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("creates a job again that was forgotten", func(t *testing.T) {
		made := b.Create(t.Context(), newRow(0))[0]
		check(t, made, made.Err == nil && !made.Existed && made.Row.State == routine.Queued)
	})
}

func TestConfig(t *testing.T) {
	good := ledger.Config{
		Endpoint: "http://127.0.0.1:1", Instance: "routinely", Table: "jobs", StateTable: "state", Credentials: localtest.Credentials, Timeout: time.Second,
	}
	_, err := ledger.New(good)
	must(t, err)
	for name, change := range map[string]func(*ledger.Config){
		"no endpoint":                     func(c *ledger.Config) { c.Endpoint = "" },
		"an endpoint with a path":         func(c *ledger.Config) { c.Endpoint = "https://x/y" },
		"another scheme":                  func(c *ledger.Config) { c.Endpoint = "ftp://x" },
		"no instance":                     func(c *ledger.Config) { c.Instance = "" },
		"an instance with a space":        func(c *ledger.Config) { c.Instance = "rout inely" },
		"no table":                        func(c *ledger.Config) { c.Table = "" },
		"a bad table name":                func(c *ledger.Config) { c.Table = "routinely-jobs" },
		"a table name with a digit first": func(c *ledger.Config) { c.StateTable = "1st" },
		"one table for both":              func(c *ledger.Config) { c.StateTable = c.Table },
		"no credentials":                  func(c *ledger.Config) { c.Credentials = nil },
		"no timeout":                      func(c *ledger.Config) { c.Timeout = 0 },
		"a short retention":               func(c *ledger.Config) { c.Retention = ledger.MinRetention - time.Second },
		"a retention too long":            func(c *ledger.Config) { c.Retention = 100 * 366 * 24 * time.Hour },
	} {
		bad := good
		change(&bad)
		if _, err := ledger.New(bad); err == nil {
			t.Errorf("takes %s", name)
		}
	}
}
