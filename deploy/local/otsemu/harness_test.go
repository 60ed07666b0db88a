package otsemu_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/otsemu"
)

const (
	instance  = "routinely"
	accessKey = "test-access-key"
	secretKey = "test-secret-key"
)

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		serveUntilKilled()
		return
	}
	goleak.VerifyTestMain(m)
}

// fixture is a server on a socket with an official client that does not retry. Its clock stands still until the test moves it.
type fixture struct {
	*otsemu.Server
	t     testing.TB
	clock *clock.Manual
	url   string
	sdk   *tablestore.TableStoreClient
	shut  func()
}

func config(dir string) otsemu.Config {
	return otsemu.Config{InstanceName: instance, AccessKeyID: accessKey, AccessKeySecret: secretKey, Dir: dir, NoSync: true}
}

func start(t testing.TB) *fixture { return open(t, config(t.TempDir())) }

// startWithJobs has a table "jobs" with the key "id".
func startWithJobs(t testing.TB) *fixture {
	f := start(t)
	f.table("jobs", textKey)
	return f
}

func open(t testing.TB, c otsemu.Config) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: clock.NewManual(time.Now().Truncate(time.Second))}
	c.Clock = f.clock
	f.Server = must[*otsemu.Server](t)(otsemu.New(c))
	listener := httptest.NewServer(f.Server)
	f.url, f.sdk = listener.URL, client(t, listener.URL, instance, accessKey, secretKey, "")
	f.shut = func() {
		f.Stop()
		listener.Close()
		same(t, "close", f.Close(), nil)
	}
	t.Cleanup(f.shut)
	return f
}

// client is the official client. Its own transport would keep connections for 25 seconds and has no way to close them.
func client(t testing.TB, endpoint, instance, id, secret, token string) *tablestore.TableStoreClient {
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	t.Cleanup(transport.CloseIdleConnections)
	c := tablestore.NewDefaultTableStoreConfig()
	c.RetryTimes, c.Transport = 0, transport
	return tablestore.NewClientWithConfig(endpoint, instance, id, secret, token, c)
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// refused checks the code, the HTTP status and a part of the message of an error.
func refused(t testing.TB, err error, code string, status int, message string) {
	t.Helper()
	var ots *tablestore.OtsError
	if !errors.As(err, &ots) || ots.Code != code || ots.HttpStatusCode != status || !strings.Contains(ots.Message, message) || ots.RequestId == "" {
		t.Errorf("got %v, want %d %s %q with a request id", err, status, code, message)
	}
}

func invalid(t testing.TB, err error, message string) {
	t.Helper()
	refused(t, err, "OTSParameterInvalid", 400, message)
}

// column is a primary key column of a table.
type column struct {
	name string
	kind tablestore.PrimaryKeyType
}

var (
	textKey   = []column{{"id", tablestore.PrimaryKeyType_STRING}}
	numberKey = []column{{"n", tablestore.PrimaryKeyType_INTEGER}}
)

// newTable is a request for a table whose rows live for seconds; -1 is for ever.
func newTable(name string, key []column, seconds int) *tablestore.CreateTableRequest {
	meta := &tablestore.TableMeta{TableName: name}
	for _, c := range key {
		meta.AddPrimaryKeyColumn(c.name, c.kind)
	}
	return &tablestore.CreateTableRequest{
		TableMeta: meta, TableOption: tablestore.NewTableOption(seconds, 1), ReservedThroughput: &tablestore.ReservedThroughput{},
	}
}

func (f *fixture) table(name string, key []column) {
	f.t.Helper()
	must[*tablestore.CreateTableResponse](f.t)(f.sdk.CreateTable(newTable(name, key, -1)))
}

// pk makes a primary key of names and values.
func pk(namesAndValues ...any) *tablestore.PrimaryKey {
	out := &tablestore.PrimaryKey{}
	for i := 0; i < len(namesAndValues); i += 2 {
		name := namesAndValues[i].(string)
		if option, is := namesAndValues[i+1].(tablestore.PrimaryKeyOption); is {
			out.PrimaryKeys = append(out.PrimaryKeys, &tablestore.PrimaryKeyColumn{ColumnName: name, PrimaryKeyOption: option})
		} else {
			out.AddPrimaryKeyColumn(name, namesAndValues[i+1])
		}
	}
	return out
}

// keyOf shows a primary key in one line.
func keyOf(key *tablestore.PrimaryKey) string {
	var parts []string
	for _, c := range key.PrimaryKeys {
		parts = append(parts, fmt.Sprintf("%s=%v", c.ColumnName, c.Value))
	}
	return strings.Join(parts, ",")
}

// attributes are a row's columns by name.
type attributes map[string]any

const (
	ignore         = tablestore.RowExistenceExpectation_IGNORE
	expectExist    = tablestore.RowExistenceExpectation_EXPECT_EXIST
	expectNotExist = tablestore.RowExistenceExpectation_EXPECT_NOT_EXIST
)

func putChange(table string, key *tablestore.PrimaryKey, columns attributes) *tablestore.PutRowChange {
	change := &tablestore.PutRowChange{TableName: table, PrimaryKey: key}
	change.SetCondition(ignore)
	for name, value := range columns {
		change.AddColumn(name, value)
	}
	return change
}

func updateChange(table string, key *tablestore.PrimaryKey, puts attributes, deletes ...string) *tablestore.UpdateRowChange {
	change := &tablestore.UpdateRowChange{TableName: table, PrimaryKey: key}
	change.SetCondition(ignore)
	for name, value := range puts {
		change.PutColumn(name, value)
	}
	for _, name := range deletes {
		change.DeleteColumn(name)
	}
	return change
}

// countChange adds to the column "n" and returns the sum.
func countChange(table string, key *tablestore.PrimaryKey, add int64) *tablestore.UpdateRowChange {
	change := updateChange(table, key, nil)
	change.IncrementColumn("n", add)
	change.SetReturnIncrementValue()
	change.AppendIncrementColumnToReturn("n")
	return change
}

func deleteChange(table string, key *tablestore.PrimaryKey) *tablestore.DeleteRowChange {
	change := &tablestore.DeleteRowChange{TableName: table, PrimaryKey: key}
	change.SetCondition(ignore)
	return change
}

func (f *fixture) put(change *tablestore.PutRowChange) (*tablestore.PutRowResponse, error) {
	return f.sdk.PutRow(&tablestore.PutRowRequest{PutRowChange: change})
}

func (f *fixture) update(change *tablestore.UpdateRowChange) (*tablestore.UpdateRowResponse, error) {
	return f.sdk.UpdateRow(&tablestore.UpdateRowRequest{UpdateRowChange: change})
}

func (f *fixture) delete(change *tablestore.DeleteRowChange) (*tablestore.DeleteRowResponse, error) {
	return f.sdk.DeleteRow(&tablestore.DeleteRowRequest{DeleteRowChange: change})
}

// store puts a row that must be accepted.
func (f *fixture) store(table string, key *tablestore.PrimaryKey, columns attributes) {
	f.t.Helper()
	must[*tablestore.PutRowResponse](f.t)(f.put(putChange(table, key, columns)))
}

// get reads a row, after a change of the criteria.
func (f *fixture) get(table string, key *tablestore.PrimaryKey, edit func(*tablestore.SingleRowQueryCriteria)) (*tablestore.GetRowResponse, error) {
	c := &tablestore.SingleRowQueryCriteria{TableName: table, PrimaryKey: key, MaxVersion: 1}
	if edit != nil {
		edit(c)
	}
	return f.sdk.GetRow(&tablestore.GetRowRequest{SingleRowQueryCriteria: c})
}

// read is what get finds; nil when there is no such row.
func (f *fixture) read(table string, key *tablestore.PrimaryKey, edit func(*tablestore.SingleRowQueryCriteria)) attributes {
	f.t.Helper()
	r := must[*tablestore.GetRowResponse](f.t)(f.get(table, key, edit))
	if len(r.PrimaryKey.PrimaryKeys) == 0 {
		return nil
	}
	out := attributes{}
	for _, c := range r.Columns {
		out[c.ColumnName] = c.Value
	}
	return out
}

func (f *fixture) write(changes ...tablestore.RowChange) (*tablestore.BatchWriteRowResponse, error) {
	request := &tablestore.BatchWriteRowRequest{}
	for _, c := range changes {
		request.AddRowChange(c)
	}
	return f.sdk.BatchWriteRow(request)
}
