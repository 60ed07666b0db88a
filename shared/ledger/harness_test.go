package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/otsemu"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// noon is when the tests begin.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// book is a ledger with its server and their clock.
type book struct {
	*ledger.Ledger
	server *otsemu.Server
	url    string
	clock  *clock.Manual
}

// newBook starts a server with the ledger's tables and some jobs. No call is counted yet.
func newBook(t testing.TB, jobs ...ledger.Row) *book {
	t.Helper()
	manual := clock.NewManual(noon)
	server, url := localtest.OTS(t, manual)
	b := &book{server: server, url: url, clock: manual}
	b.Ledger = b.connect(t, nil)
	_, err := b.Setup(t.Context(), false)
	must(t, err)
	b.create(t, jobs...)
	server.Faults().Reset()
	return b
}

// connect returns another client of the tables, as another process would have one, with a change of its configuration.
func (b *book) connect(t testing.TB, change func(*ledger.Config)) *ledger.Ledger {
	t.Helper()
	cfg := ledger.Config{
		Endpoint: b.url, Instance: localtest.Instance, Table: "jobs", StateTable: "state", Credentials: localtest.Credentials,
		Timeout: 5 * time.Second, Retention: ledger.MinRetention, Now: b.clock.Now,
	}
	if change != nil {
		change(&cfg)
	}
	l, err := ledger.New(cfg)
	must(t, err)
	t.Cleanup(l.Close)
	return l
}

// client returns a client whose n-th call, counted from 1, is made with key(n).
func (b *book) client(t testing.TB, key func(n int) (id, secret, token string)) *ledger.Ledger {
	calls := 0
	return b.connect(t, func(c *ledger.Config) {
		c.Credentials = func() (string, string, string) { calls++; return key(calls) }
	})
}

// before returns a client that runs do before its n-th call.
func (b *book) before(t testing.TB, n int, do func()) *ledger.Ledger {
	return b.client(t, func(call int) (string, string, string) {
		if call == n {
			do()
		}
		return localtest.Credentials()
	})
}

// killed returns a client whose calls take no effect from the n-th on, as those of a process that is killed before it.
func (b *book) killed(t testing.TB, n int) *ledger.Ledger {
	return b.client(t, func(call int) (string, string, string) {
		if call >= n {
			return localtest.AccessKeyID, "wrong", ""
		}
		return localtest.Credentials()
	})
}

// breaks makes the server break calls.
func (b *book) breaks(t testing.TB, rule faults.Rule) {
	t.Helper()
	_, err := b.server.Faults().Add(rule)
	must(t, err)
}

// calls are the actions of the calls since the last time, in order.
func (b *book) calls() (actions []string) {
	for _, call := range b.server.Faults().Calls() {
		actions = append(actions, call.Action)
	}
	b.server.Faults().Reset()
	return actions
}

// wantCalls checks the actions of the calls since the last time.
func (b *book) wantCalls(t testing.TB, want ...string) {
	t.Helper()
	same(t, b.calls(), want)
}

// lost is the loss of so many answers to calls that took effect. A request on a kept connection is sent again after the first.
func lost(action string, skip, times int) faults.Rule {
	return faults.Rule{Action: action, Skip: skip, Times: times, Fault: faults.Fault{Answer: faults.Reset, Execute: true}}
}

// newRow is the n-th job, accepted n seconds after noon.
func newRow(n int) ledger.Row {
	return ledger.NewRow(routine.Job{
		ID: fmt.Sprintf("job-%06d", n), Caller: fmt.Sprintf("caller-%d", n%3), AcceptedAt: noon.Add(time.Duration(n) * time.Second),
		Request: routine.Request{
			Name: fmt.Sprintf("pr-%d", n%10), Records: []routine.Record{{SiteID: localtest.SiteID + int64(n%2), RecordName: fmt.Sprintf("pr-%d.example.com", n)}},
		},
	})
}

func newRows(n int) []ledger.Row {
	rows := make([]ledger.Row, n)
	for i := range rows {
		rows[i] = newRow(i)
	}
	return rows
}

// deadRows are jobs that are dead from the first, each as many seconds after noon as its number says.
func deadRows(n int) []ledger.Row {
	rows := newRows(n)
	for i := range rows {
		_ = dies(i, "Taken")(&rows[i]) // which is never refused
	}
	return rows
}

// create creates jobs, which must be new.
func (b *book) create(t testing.TB, rows ...ledger.Row) []ledger.Row {
	t.Helper()
	out := make([]ledger.Row, 0, len(rows))
	for _, made := range b.Create(t.Context(), rows...) {
		must(t, made.Err)
		check(t, made, !made.Existed)
		out = append(out, made.Row)
	}
	return out
}

// step is a change of a job that may be refused.
type step func(*ledger.Row) error

// change makes changes of a job, none of which is refused.
func (b *book) change(t testing.TB, id string, steps ...step) (row ledger.Row) {
	t.Helper()
	for _, step := range steps {
		var err error
		row, err = b.Change(t.Context(), id, step)
		must(t, err)
	}
	return row
}

// failureAt is a failure some seconds after noon.
func failureAt(seconds int, code string) routine.Attempt {
	return routine.Attempt{
		Number: 1, At: noon.Add(time.Duration(seconds) * time.Second), Step: routine.CreateRoutine, Kind: "conflict", Code: code,
		RequestID: "R1", Message: "it is taken", Hint: "choose another",
	}
}

// dies is the change by which a job dies some seconds after noon, of which somebody may want to be told then.
func dies(seconds int, code string) step {
	return func(r *ledger.Row) error {
		failure := failureAt(seconds, code)
		r.Die(failure, "it would fail again", ledger.Worker, r.Progress, failure.At)
		return nil
	}
}

// redriven is the change that queues a dead letter again some seconds after noon.
func redriven(seconds int) step {
	at := noon.Add(time.Duration(seconds) * time.Second)
	return func(r *ledger.Row) error { return r.Redrive("olga", "quota raised", nil, at, at, at) }
}

func begins(r *ledger.Row) error {
	r.Begin(r.Number, routine.Progress{}, after(1))
	return nil
}

// handsOver makes a job due an hour after noon.
func handsOver(r *ledger.Row) error {
	r.HandOver(r.Number+1, ledger.HandOver{Failure: failureAt(5, "Busy"), Counted: true}, after(60))
	return nil
}

func succeeds(r *ledger.Row) error {
	r.Succeed(routine.Result{Routine: routine.Created, Record: routine.Created, RecordID: 7}, r.Progress, noon, noon)
	return nil
}

func sent(r *ledger.Row) error { return r.Sent(r.Redriven, r.Number, "k1", noon) }

func callbackFailed(r *ledger.Row) error { return r.CallbackFailed(r.Redriven, 8, 500) }

// update is Update with a change that cannot be refused.
func update(t testing.TB, l *ledger.Ledger, row ledger.Row, change step) (ledger.Row, error) {
	return l.Update(context.WithoutCancel(t.Context()), row, func(r *ledger.Row) { _ = change(r) })
}

// jobsPage are the ids of a page of jobs.
func jobsPage(l *ledger.Ledger, f ledger.Filter, limit int, cursor string) (ids []string, next string, err error) {
	jobs, next, err := l.Jobs(context.Background(), f, limit, cursor)
	for _, job := range jobs {
		ids = append(ids, job.ID)
	}
	return ids, next, err
}

// deadPage are the ids of a page of dead letters.
func deadPage(l *ledger.Ledger, f ledger.DeadFilter, limit int, cursor string) ([]string, string, error) {
	rows, next, err := l.DeadLetters(context.Background(), f, limit, cursor)
	return idsOf(rows), next, err
}

// listed are the ids of all pages of a list.
func listed(t rapid.TB, l *ledger.Ledger, f ledger.Filter, limit int) []string {
	t.Helper()
	return pages(t, func(cursor string) ([]string, string, error) { return jobsPage(l, f, limit, cursor) })
}

// dead are the ids of all pages of a list of dead letters.
func dead(t rapid.TB, l *ledger.Ledger, f ledger.DeadFilter, limit int) []string {
	t.Helper()
	return pages(t, func(cursor string) ([]string, string, error) { return deadPage(l, f, limit, cursor) })
}

func pages(t rapid.TB, read func(cursor string) (ids []string, next string, err error)) []string {
	t.Helper()
	all := []string{}
	for cursor := ""; ; {
		ids, next, err := read(cursor)
		must(t, err)
		all = append(all, ids...)
		if cursor = next; next == "" {
			return all
		}
	}
}

func idsOf(rows []ledger.Row) []string {
	ids := []string{}
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids
}

// later is after everything that tests make due.
var later = noon.AddDate(1, 0, 0)

// wantListed checks that a job is listed exactly once in every list that it belongs to, and in no other. At last it reads those that sweep.
func (b *book) wantListed(t rapid.TB, id string) {
	t.Helper()
	row, err := b.Row(context.Background(), id)
	must(t, err)
	want := func(list any, got []string, wanted bool) {
		t.Helper()
		times := len(slices.DeleteFunc(slices.Clone(got), func(other string) bool { return other != id }))
		if times > 1 || (times == 1) != wanted {
			t.Errorf("%+v holds a job that is %s, due %s, %d times", list, row.State, row.DueAt, times)
		}
	}
	for _, state := range append(routine.States(), "") {
		for _, f := range []ledger.Filter{{}, {Name: row.Request.Name}, {RecordName: row.Request.Records[0].RecordName}, {Caller: row.Caller}} {
			f.State = state
			want(f, listed(t, b.Ledger, f, 100), state == "" || state == row.State)
		}
	}
	failed := ledger.Filter{CallbackFailed: true}
	want(failed, listed(t, b.Ledger, failed, 100), row.Callback != nil && row.Callback.State == routine.CallbackFailed)
	for _, f := range []ledger.DeadFilter{
		{}, {Code: row.Code}, {Name: row.Request.Name}, {RecordName: row.Request.Records[0].RecordName}, {SiteID: row.Request.Records[0].SiteID}, {Caller: row.Caller}, {IDs: []string{id}},
	} {
		want(f, dead(t, b.Ledger, f, 100), row.State == routine.DeadLettered)
	}
	due, _, err := b.Due(context.Background(), later, 100)
	must(t, err)
	want("due", idsOf(due), !row.DueAt.IsZero())
	unfinished, _, err := b.Unfinished(context.Background(), later, "", 100)
	must(t, err)
	want("unfinished", idsOf(unfinished), row.State == routine.Queued)
}

// codeOf is the kind and code of a fault, empty for none.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	f := fault.From(err)
	return string(f.Kind) + " " + f.Code
}

// must ends the test if there is an error.
func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantCode checks the kind and code of a fault.
func wantCode(t testing.TB, err error, want string) {
	t.Helper()
	if codeOf(err) != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

// same checks that what was got is what is wanted.
func same[T any](t testing.TB, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// check checks what must hold of what was got.
func check(t testing.TB, got any, holds bool) {
	t.Helper()
	if !holds {
		t.Errorf("got %+v", got)
	}
}
