package accept

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// sees lets the janitor read the account's routines: so many are possible, and those of the names are there.
func (f *function) sees(t testing.TB, limit int64, names ...string) {
	t.Helper()
	f.clock.Advance(countedFresh) // what was counted before is old now
	s := routine.Listing{ReadAt: f.clock.Now(), Limit: limit, Used: int64(len(names))}
	for _, name := range names {
		s.Routines = append(s.Routines, routine.ListedRoutine{Name: name, CreateTime: made})
	}
	if err := f.Ledger.SetListing(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// full is a function whose account has two routines, old and other, and no room for more.
func full(t *testing.T) *function {
	t.Helper()
	f := start(t)
	f.owns(t, anonymous, "old")
	f.owns(t, anonymous, "other")
	f.sees(t, 2, "old", "other")
	return f
}

// hasNoRoom expects that a request for a new routine is refused.
func (f *function) hasNoRoom(t *testing.T, body string) api.Problem {
	t.Helper()
	p := read[api.Problem](t, f.call(t, event("POST", "/v1/routines", body)), 409)
	if p.Code != "quota-reached" || p.Retryable {
		t.Errorf("got %+v", p)
	}
	return p
}

func TestQuota(t *testing.T) {
	t.Run("refuses a new routine for which there is no room, and names what could go and the command", func(t *testing.T) {
		f := full(t)
		for name, end := range map[string]time.Time{"old": f.clock.Now().Add(time.Hour), "other": f.clock.Now().Add(-time.Hour)} {
			f.claims(t, name, func(c *routine.Claim) { c.ExpiresAt = end })
		}
		p := f.hasNoRoom(t, good)
		want := "the account had 2 of 2 routines at 2026-01-15T06:28:19Z. These could go: other (expired 2026-01-15T05:28:19Z); old (made 2026-01-15T05:28:17Z). " +
			"routinely routines delete NAME deletes one"
		if p.Detail != want {
			t.Errorf("got %q, want %q", p.Detail, want)
		}
		if jobs := read[api.JobList](t, f.call(t, event("GET", "/v1/jobs", "")), 200).Jobs; len(jobs) != 0 {
			t.Errorf("jobs %+v", jobs)
		}
	})
	for name, body := range map[string]string{
		"that is claimed":                        `{"name":"old","recordName":"www.example.com"}`,
		"of the account that nobody has claimed": `{"name":"foreign","recordName":"www.example.com"}`,
		"that is being made":                     `{"name":"half","recordName":"www.example.com"}`,
	} {
		t.Run("never refuses a routine "+name, func(t *testing.T) {
			f := start(t)
			f.owns(t, anonymous, "old")
			f.claims(t, "half", func(c *routine.Claim) { c.State = routine.Creating })
			f.sees(t, 2, "old", "foreign")
			f.post(t, body)
		})
	}
	t.Run("never refuses a routine that an unfinished job asks for", func(t *testing.T) {
		f := start(t)
		f.post(t, wishFor(1))
		f.sees(t, 1, "old") // there is less than no room
		f.post(t, wishFor(1))
		f.hasNoRoom(t, wishFor(2))
	})
	t.Run("counts the new names of unfinished jobs, each once", func(t *testing.T) {
		f := start(t)
		f.sees(t, 2, "old")
		first := f.post(t, wishFor(1))
		f.post(t, wishFor(1)) // another job about the same routine
		if p := f.hasNoRoom(t, wishFor(2)); !strings.Contains(p.Detail, "1 of 2 routines") ||
			!strings.Contains(p.Detail, "accepted jobs take what is left") {
			t.Errorf("got %+v", p)
		}
		f.dies(t, first.ID)
		f.hasNoRoom(t, wishFor(2)) // the other job goes on
	})
	t.Run("counts no job that has ended without making its routine", func(t *testing.T) {
		f := start(t)
		f.sees(t, 2, "old")
		f.dies(t, f.post(t, wishFor(1)).ID)
		f.post(t, wishFor(2))
	})
	t.Run("counts a routine that was made since as one that is there", func(t *testing.T) {
		f := start(t)
		f.sees(t, 3, "old")
		f.post(t, wishFor(1))
		f.owns(t, anonymous, "pr-1") // and its job goes on with a host name
		f.changesAccount(t, &routine.Quota{Limit: 3, Used: 2, ReadAt: f.clock.Now().Add(time.Second)})
		f.post(t, wishFor(2))
		f.hasNoRoom(t, wishFor(3))
	})
	t.Run("counts the routines of accepted deletions as gone, at once", func(t *testing.T) {
		f := full(t)
		f.hasNoRoom(t, wishFor(1))
		f.accepts(t, deletion("old"))
		f.post(t, wishFor(1))
		f.hasNoRoom(t, wishFor(2))
	})
	t.Run("counts a routine that is deleted and asked for again as one that is there", func(t *testing.T) {
		f := full(t)
		f.accepts(t, deletion("old"))
		f.post(t, `{"name":"old","recordName":"www.example.com"}`)
		f.hasNoRoom(t, wishFor(2))
	})
	t.Run("never refuses what was accepted before, and gives it no room of others", func(t *testing.T) {
		f := start(t)
		before := f.post(t, wishFor(1), "Idempotency-Key", "k")
		f.dies(t, before.ID)
		f.sees(t, 2, "old")
		keyed := strings.Replace(wishFor(1), "{", `{"idempotencyKey":"k",`, 1)
		result := read[api.BatchResult](t, f.call(t, batch("["+keyed+","+wishFor(2)+","+wishFor(3)+"]")), 202)
		if got := verdicts(result); !cmp.Equal(got, []string{"duplicate", "accepted", "rejected quota-reached"}) {
			t.Errorf("got %q", got)
		}
		if again := f.call(t, event("POST", "/v1/routines", wishFor(1), "Idempotency-Key", "k")); read[routine.Job](t, again, 200).ID != before.ID {
			t.Errorf("got %+v", again)
		}
	})
	t.Run("reports each item of a batch, in their order, and finds out once what could go", func(t *testing.T) {
		f := start(t)
		f.sees(t, 4, "old")
		before := len(f.ots.Faults().Calls())
		items := []string{wishFor(1), `{"name":"old","recordName":"b.example.com"}`, wishFor(2), wishFor(1), wishFor(3), wishFor(4), wishFor(5)}
		result := read[api.BatchResult](t, f.call(t, batch("["+strings.Join(items, ",")+"]")), 202)
		want := []string{"accepted", "accepted", "accepted", "accepted", "accepted", "rejected quota-reached", "rejected quota-reached"}
		if diff := cmp.Diff(want, verdicts(result)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		var lists int // one of unfinished jobs, one of what could go
		for _, c := range f.ots.Faults().Calls()[before:] {
			if c.Action == "GetRange" {
				lists++
			}
		}
		if lists != 2 {
			t.Errorf("%d lists were read", lists)
		}
	})
	t.Run("goes by the worker's reading if it is newer", func(t *testing.T) {
		f := full(t)
		f.changesAccount(t, &routine.Quota{Limit: 100, Used: 2, ReadAt: f.clock.Now().Add(time.Second)})
		f.post(t, good)
	})
}

// changesAccount lets a worker read the account's quota.
func (f *function) changesAccount(t testing.TB, quota *routine.Quota) {
	t.Helper()
	if _, err := f.Ledger.ChangeAccount(t.Context(), func(a *routine.Account) error {
		a.Quota = quota
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestQuotaIsNotKnown(t *testing.T) {
	t.Run("as long as nobody has read the account's routines", func(t *testing.T) {
		start(t).post(t, good)
	})
	t.Run("if they were read some time ago", func(t *testing.T) {
		f := full(t)
		f.clock.Advance(listingFresh)
		f.hasNoRoom(t, good)
		f.clock.Advance(time.Second)
		f.post(t, good)
	})
	t.Run("if the ledger does not say what was read", func(t *testing.T) {
		f := full(t)
		breaks(t, f.ots, faults.Rule{Action: "GetRow", Times: -1, Fault: refusedByOTS})
		f.post(t, good)
	})
	t.Run("if there are too many unfinished jobs to count", func(t *testing.T) {
		f := full(t)
		rows := make([]ledger.Row, queuedPages*ledger.MaxPage+1)
		for i := range rows {
			rows[i] = ledger.NewRow(routine.Job{ID: fmt.Sprintf("job-%d", i), AcceptedAt: now, Request: routine.Request{Name: "old", Action: routine.Renew}})
		}
		f.files(t, rows...)
		f.post(t, good)
	})
}

// TestCounting asserts what it costs to count: the calls of the ledger behind one submit of a new routine.
func TestCounting(t *testing.T) {
	calls := func(f *function) (actions []string) {
		for _, c := range f.ots.Faults().Calls() {
			actions = append(actions, c.Action)
		}
		return actions
	}
	plain := []string{"BatchGetRow", "BatchWriteRow"}
	cost := func(t *testing.T, f *function, n int) []string {
		t.Helper()
		before := len(calls(f))
		f.post(t, wishFor(n))
		return calls(f)[before:]
	}
	looked := []string{"BatchGetRow", "GetRow", "BatchWriteRow"}
	t.Run("a look at the account while what was counted leaves plenty of room", func(t *testing.T) {
		f := start(t)
		f.sees(t, plenty+3, "old")
		if got := cost(t, f, 1); len(got) <= len(looked) {
			t.Errorf("the first counted nothing: %q", got)
		}
		if got := cost(t, f, 2); !cmp.Equal(got, looked) {
			t.Errorf("the second: %q", got)
		}
		if got := cost(t, f, 3); len(got) <= len(looked) {
			t.Errorf("the third, near the end, counted nothing: %q", got)
		}
	})
	t.Run("all of it if the quota was read again", func(t *testing.T) {
		f := start(t)
		f.sees(t, plenty+3, "old")
		cost(t, f, 1)
		f.clock.Advance(time.Millisecond)
		if _, err := f.Ledger.ChangeAccount(t.Context(), func(a *routine.Account) error {
			a.Quota = &routine.Quota{Limit: 1, Used: 1, ReadAt: f.clock.Now()}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		f.hasNoRoom(t, wishFor(2))
	})
	t.Run("two looks while nothing is known of ESA", func(t *testing.T) {
		f := start(t)
		if got, want := cost(t, f, 1), []string{"BatchGetRow", "GetRow", "GetRow", "BatchWriteRow"}; !cmp.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("nothing for a routine that is there", func(t *testing.T) {
		f := full(t)
		f.owns(t, anonymous, "pr-1")
		if got := cost(t, f, 1); !cmp.Equal(got, plain) {
			t.Errorf("got %q", got)
		}
	})
}

func TestAccountShowsTheRoomLeft(t *testing.T) {
	f := start(t)
	f.owns(t, anonymous, "old")
	if account := f.lane(t); account.RoutinesLeft != nil || account.RoutineQuota != nil {
		t.Errorf("before anybody has read it: %+v", account)
	}
	f.sees(t, 5, "old", "foreign")
	f.changesAccount(t, &routine.Quota{Limit: 5, Used: 2, ReadAt: f.clock.Now()})
	f.post(t, wishFor(1))
	account := f.lane(t)
	if want := (&routine.Quota{Limit: 5, Used: 2, ReadAt: f.clock.Now()}); !cmp.Equal(account.RoutineQuota, want) || !cmp.Equal(account.RoutinesLeft, ptr(int64(2))) {
		t.Errorf("got %+v", account)
	}
	f.accepts(t, deletion("old"))
	if account := f.lane(t); !cmp.Equal(account.RoutinesLeft, ptr(int64(3))) {
		t.Errorf("with a deletion: %+v", account)
	}
	f.sees(t, 1, "old", "foreign")
	if account := f.lane(t); !cmp.Equal(account.RoutinesLeft, ptr(int64(0))) {
		t.Errorf("beyond full: %d", *account.RoutinesLeft)
	}
}
