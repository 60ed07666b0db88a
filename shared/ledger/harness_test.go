package ledger_test

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore/otsprotocol"
	"github.com/golang/protobuf/proto"
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

// newBook starts a server with the ledger's tables. Nothing was called yet.
func newBook(t testing.TB) *book {
	t.Helper()
	manual := clock.NewManual(noon)
	server, url := localtest.OTS(t, manual)
	b := &book{server: server, url: url, clock: manual}
	b.Ledger = b.connect(t, nil)
	if _, err := b.Setup(t.Context(), false); err != nil {
		t.Fatal(err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// before returns a client that runs do before its n-th call, counted from 1.
func (b *book) before(t testing.TB, n int, do func()) *ledger.Ledger {
	calls := 0
	return b.connect(t, func(c *ledger.Config) {
		c.Credentials = func() (string, string, string) {
			if calls++; calls == n {
				do()
			}
			return localtest.Credentials()
		}
	})
}

// killed returns a client whose calls take no effect from the n-th on, as those of a process that is killed before it.
func (b *book) killed(t testing.TB, n int) *ledger.Ledger {
	calls := 0
	return b.connect(t, func(c *ledger.Config) {
		c.Credentials = func() (string, string, string) {
			if calls++; calls >= n {
				return localtest.AccessKeyID, "wrong", ""
			}
			return localtest.Credentials()
		}
	})
}

// breaks makes the server break calls.
func (b *book) breaks(t testing.TB, rule faults.Rule) {
	t.Helper()
	if _, err := b.server.Faults().Add(rule); err != nil {
		t.Fatal(err)
	}
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
	if diff := cmp.Diff(want, b.calls()); diff != "" {
		t.Errorf("calls -want +got:\n%s", diff)
	}
}

// lost is the loss of so many answers to calls that took effect. A request on a kept connection is sent once more after the first.
func lost(action string, skip, times int) faults.Rule {
	return faults.Rule{Action: action, Skip: skip, Times: times, Fault: faults.Fault{Answer: faults.Reset, Execute: true}}
}

// newRow is the n-th job, accepted n seconds after noon.
func newRow(n int) ledger.Row {
	return ledger.NewRow(routine.Job{
		ID: fmt.Sprintf("job-%06d", n), Caller: fmt.Sprintf("caller-%d", n%3), AcceptedAt: noon.Add(time.Duration(n) * time.Second),
		Request: routine.Request{
			Name: fmt.Sprintf("pr-%d", n%10), SiteID: localtest.SiteID + int64(n%2), RecordName: fmt.Sprintf("pr-%d.example.com", n),
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
func deadRows(n int, code func(n int) string) []ledger.Row {
	rows := newRows(n)
	for i, row := range rows {
		rows[i] = ledger.Unreadable(row.Job, failureAt(i, code(i)), "it would fail again", ledger.Worker, nil, nil)
	}
	return rows
}

// create creates jobs, which must be new.
func (b *book) create(t testing.TB, rows ...ledger.Row) []ledger.Row {
	t.Helper()
	out := make([]ledger.Row, 0, len(rows))
	for _, made := range b.Create(t.Context(), rows...) {
		if made.Err != nil || made.Existed {
			t.Fatalf("existed %t, %v", made.Existed, made.Err)
		}
		out = append(out, made.Row)
	}
	return out
}

// change changes a job, which must work.
func (b *book) change(t testing.TB, id string, change func(*ledger.Row)) ledger.Row {
	t.Helper()
	row, err := b.Change(t.Context(), id, func(r *ledger.Row) error {
		change(r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
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

// dies is the change by which a job dies some seconds after noon.
func dies(seconds int, code string) func(*ledger.Row) {
	return func(r *ledger.Row) {
		r.Die(failureAt(seconds, code), "it would fail again", ledger.Worker, r.Progress, noon.Add(time.Duration(seconds)*time.Second))
	}
}

// redriven is the change that queues a dead letter again some seconds after noon.
func redriven(t testing.TB, seconds int) func(*ledger.Row) {
	return func(r *ledger.Row) {
		at := noon.Add(time.Duration(seconds) * time.Second)
		if err := r.Redrive("olga", "quota raised", nil, at, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func succeeds(r *ledger.Row) {
	r.Succeed(routine.Result{Routine: routine.Created, Record: routine.Created, RecordID: 7}, r.Progress, noon, noon)
}

// listed are the ids of all pages of a list.
func listed(t rapid.TB, l *ledger.Ledger, f ledger.Filter, page int) []string {
	t.Helper()
	return pages(t, func(cursor string) (ids []string, next string, err error) {
		jobs, next, err := l.Jobs(context.Background(), f, page, cursor)
		for _, job := range jobs {
			ids = append(ids, job.ID)
		}
		return ids, next, err
	})
}

// dead are the ids of all pages of a list of dead letters.
func dead(t rapid.TB, l *ledger.Ledger, f ledger.DeadFilter, page int) []string {
	t.Helper()
	return pages(t, func(cursor string) ([]string, string, error) {
		rows, next, err := l.DeadLetters(context.Background(), f, page, cursor)
		return idsOf(rows), next, err
	})
}

func pages(t rapid.TB, read func(cursor string) (ids []string, next string, err error)) []string {
	t.Helper()
	all := []string{}
	for cursor := ""; ; {
		ids, next, err := read(cursor)
		if err != nil {
			t.Fatal(err)
		}
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
	if err != nil {
		t.Fatal(err)
	}
	want := func(list any, got []string, wanted bool) {
		t.Helper()
		if times := strings.Count(" "+strings.Join(got, " ")+" ", " "+id+" "); times > 1 || (times == 1) != wanted {
			t.Errorf("%+v holds a job that is %s, due %s, %d times", list, row.State, row.DueAt, times)
		}
	}
	for _, state := range append(routine.States(), "") {
		for _, f := range []ledger.Filter{{}, {Name: row.Request.Name}, {RecordName: row.Request.RecordName}, {Caller: row.Caller}} {
			f.State = state
			want(f, listed(t, b.Ledger, f, 100), state == "" || state == row.State)
		}
	}
	failed := ledger.Filter{CallbackFailed: true}
	want(failed, listed(t, b.Ledger, failed, 100), row.Callback != nil && row.Callback.State == routine.CallbackFailed)
	for _, f := range []ledger.DeadFilter{
		{}, {Code: row.Code}, {Name: row.Request.Name}, {RecordName: row.Request.RecordName}, {SiteID: row.Request.SiteID}, {Caller: row.Caller}, {IDs: []string{id}},
	} {
		want(f, dead(t, b.Ledger, f, 100), row.State == routine.DeadLettered)
	}
	due, _, dueErr := b.Due(context.Background(), later, 100)
	want("due", idsOf(due), !row.DueAt.IsZero())
	unfinished, _, unfinishedErr := b.Unfinished(context.Background(), later, "", 100)
	want("unfinished", idsOf(unfinished), row.State == routine.Queued)
	if dueErr != nil || unfinishedErr != nil {
		t.Fatal(dueErr, unfinishedErr)
	}
}

// codeOf is the kind and code of a fault, empty for none.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	f := fault.From(err)
	return string(f.Kind) + " " + f.Code
}

// partly is the answer to one BatchWriteRow of so many rows of which one fails with a code, executed or not.
func partly(t testing.TB, rows, failed int, code string, execute bool) faults.Rule {
	t.Helper()
	table := &otsprotocol.TableInBatchWriteRowResponse{TableName: proto.String("jobs")}
	for i := range rows {
		row := &otsprotocol.RowInBatchWriteRowResponse{IsOk: proto.Bool(i != failed)}
		row.Consumed = &otsprotocol.ConsumedCapacity{CapacityUnit: &otsprotocol.CapacityUnit{Read: proto.Int32(1), Write: proto.Int32(1)}}
		if i == failed {
			row.Error = &otsprotocol.Error{Code: proto.String(code), Message: proto.String("refused")}
		}
		table.Rows = append(table.Rows, row)
	}
	body, err := proto.Marshal(&otsprotocol.BatchWriteRowResponse{Tables: []*otsprotocol.TableInBatchWriteRowResponse{table}})
	if err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum(body)
	return faults.Rule{Action: "BatchWriteRow", Fault: faults.Fault{
		Answer: faults.Document, Body: string(body), Execute: execute,
		Headers: map[string]string{"x-ots-contentmd5": base64.StdEncoding.EncodeToString(sum[:]), "x-ots-requestid": "R-partly"},
	}}
}

// sdkClient is the SDK as it is, for what the ledger does not do.
func (b *book) sdkClient() *sdk.TableStoreClient {
	return sdk.NewClient(b.url, localtest.Instance, localtest.AccessKeyID, localtest.AccessKeySecret)
}

// rowsOfQueued is how many rows a queued job of newRow has: its own, four lists of all jobs, and that of its state.
const rowsOfQueued = 1 + 4 + 1

// rows are the table of the jobs as it is.
func (b *book) rows(t testing.TB) []*sdk.Row {
	t.Helper()
	criteria := &sdk.RangeRowQueryCriteria{
		TableName: "jobs", MaxVersion: 1, StartPrimaryKey: new(sdk.PrimaryKey), EndPrimaryKey: new(sdk.PrimaryKey),
	}
	for _, column := range []string{"p", "s"} {
		criteria.StartPrimaryKey.AddPrimaryKeyColumnWithMinValue(column)
		criteria.EndPrimaryKey.AddPrimaryKeyColumnWithMaxValue(column)
	}
	res, err := b.sdkClient().GetRange(&sdk.GetRangeRequest{RangeRowQueryCriteria: criteria})
	if err != nil {
		t.Fatal(err)
	}
	return res.Rows
}

// isJob reports whether the row is a job's own.
func isJob(row *sdk.Row) bool { return row.PrimaryKey.PrimaryKeys[1].Value == "job" }

func (b *book) wantRows(t testing.TB, want int) {
	t.Helper()
	keys := ""
	rows := b.rows(t)
	for _, row := range rows {
		keys += fmt.Sprintln(row.PrimaryKey.PrimaryKeys[0].Value, row.PrimaryKey.PrimaryKeys[1].Value)
	}
	if len(rows) != want {
		t.Errorf("%d rows, want %d:\n%s", len(rows), want, keys)
	}
}

// deleteRows deletes the chosen rows of the jobs, as if they had not been written.
func (b *book) deleteRows(t testing.TB, chosen func(*sdk.Row) bool) {
	t.Helper()
	for _, row := range b.rows(t) {
		if !chosen(row) {
			continue
		}
		change := &sdk.DeleteRowChange{TableName: "jobs", PrimaryKey: row.PrimaryKey}
		change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
		if _, err := b.sdkClient().DeleteRow(&sdk.DeleteRowRequest{DeleteRowChange: change}); err != nil {
			t.Fatal(err)
		}
	}
}
