package otsemu_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// bench is a server on a socket, a clock that stands still (unless the test brings one) and an official client that does not
// retry.
type bench struct {
	*otsemu.Server
	t     testing.TB
	clock *clock.Manual
	http  *httptest.Server
	sdk   *tablestore.TableStoreClient
}

func config(dir string) otsemu.Config {
	return otsemu.Config{InstanceName: instance, AccessKeyID: accessKey, AccessKeySecret: secretKey, Dir: dir, NoSync: true}
}

func open(t testing.TB, c otsemu.Config) *bench {
	t.Helper()
	b := &bench{t: t}
	if c.Clock == nil {
		b.clock = clock.NewManual(time.Now().Truncate(time.Second))
		c.Clock = b.clock
	}
	var err error
	if b.Server, err = otsemu.New(c); err != nil {
		t.Fatal(err)
	}
	b.http = httptest.NewServer(b.Server)
	t.Cleanup(b.shut)
	b.sdk = client(t, b.http.URL, instance, accessKey, secretKey, "")
	return b
}

func start(t testing.TB) *bench { return open(t, config(t.TempDir())) }

// shut ends the server as a clean stop does.
func (b *bench) shut() {
	b.Stop()
	b.http.Close()
	if err := b.Close(); err != nil {
		b.t.Error(err)
	}
}

// client is the official client. Its own transport would keep connections for 25 seconds and has no way to close them.
func client(t testing.TB, endpoint, instance, id, secret, token string) *tablestore.TableStoreClient {
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	t.Cleanup(transport.CloseIdleConnections)
	c := tablestore.NewDefaultTableStoreConfig()
	c.RetryTimes = 0
	c.Transport = transport
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

// refused checks the code, the HTTP status and a part of the message of an error; an empty code stands for success.
func refused(t testing.TB, err error, code string, status int, message string) {
	t.Helper()
	var ots *tablestore.OtsError
	switch {
	case err == nil && code == "":
	case !errors.As(err, &ots):
		t.Errorf("got %v, want %s", err, code)
	case ots.Code != code || ots.HttpStatusCode != status || !strings.Contains(ots.Message, message):
		t.Errorf("got %d %s %q, want %d %s %q", ots.HttpStatusCode, ots.Code, ots.Message, status, code, message)
	case ots.RequestId == "":
		t.Errorf("%v has no request id", err)
	}
}

func invalid(t testing.TB, err error, message string) {
	t.Helper()
	refused(t, err, "OTSParameterInvalid", 400, message)
}

// The texts of a condition that does not hold: on columns, and on the existence of the row.
const (
	columnsDiffer = "Condition check failed."
	rowExists     = "Row exists which is expected nonexistent"
	rowMissing    = "Row does not exist which is expected existent"
)

func conditionFailed(t testing.TB, err error, text string) {
	t.Helper()
	refused(t, err, "OTSConditionCheckFail", 403, text)
	var ots *tablestore.OtsError
	if errors.As(err, &ots) && ots.Message != text {
		t.Errorf("text %q, want %q", ots.Message, text)
	}
}

// column is a primary key column of a table under test.
type column struct {
	name string
	kind tablestore.PrimaryKeyType
}

var (
	textKey   = []column{{"id", tablestore.PrimaryKeyType_STRING}}
	numberKey = []column{{"n", tablestore.PrimaryKeyType_INTEGER}}
)

func newTable(name string, key []column, option *tablestore.TableOption) *tablestore.CreateTableRequest {
	meta := &tablestore.TableMeta{TableName: name}
	for _, c := range key {
		meta.AddPrimaryKeyColumn(c.name, c.kind)
	}
	return &tablestore.CreateTableRequest{TableMeta: meta, TableOption: option, ReservedThroughput: &tablestore.ReservedThroughput{}}
}

func forever() *tablestore.TableOption { return tablestore.NewTableOptionWithMaxVersion(1) }

func (b *bench) table(name string, key []column) {
	b.t.Helper()
	if _, err := b.sdk.CreateTable(newTable(name, key, forever())); err != nil {
		b.t.Fatal(err)
	}
}

// pk makes a primary key of names and values.
func pk(namesAndValues ...any) *tablestore.PrimaryKey {
	out := &tablestore.PrimaryKey{}
	for i := 0; i < len(namesAndValues); i += 2 {
		name := namesAndValues[i].(string)
		switch v := namesAndValues[i+1].(type) {
		case tablestore.PrimaryKeyOption:
			out.PrimaryKeys = append(out.PrimaryKeys, &tablestore.PrimaryKeyColumn{ColumnName: name, PrimaryKeyOption: v})
		default:
			out.AddPrimaryKeyColumn(name, v)
		}
	}
	return out
}

// attributes are a row's columns by name.
type attributes map[string]any

func condition(existence tablestore.RowExistenceExpectation, filter tablestore.ColumnFilter) *tablestore.RowCondition {
	return &tablestore.RowCondition{RowExistenceExpectation: existence, ColumnCondition: filter}
}

const (
	ignore         = tablestore.RowExistenceExpectation_IGNORE
	expectExist    = tablestore.RowExistenceExpectation_EXPECT_EXIST
	expectNotExist = tablestore.RowExistenceExpectation_EXPECT_NOT_EXIST
)

func putChange(table string, key *tablestore.PrimaryKey, columns attributes) *tablestore.PutRowChange {
	change := &tablestore.PutRowChange{TableName: table, PrimaryKey: key, Condition: condition(ignore, nil)}
	for name, value := range columns {
		change.AddColumn(name, value)
	}
	return change
}

func updateChange(table string, key *tablestore.PrimaryKey) *tablestore.UpdateRowChange {
	return &tablestore.UpdateRowChange{TableName: table, PrimaryKey: key, Condition: condition(ignore, nil)}
}

func deleteChange(table string, key *tablestore.PrimaryKey) *tablestore.DeleteRowChange {
	return &tablestore.DeleteRowChange{TableName: table, PrimaryKey: key, Condition: condition(ignore, nil)}
}

func (b *bench) put(change *tablestore.PutRowChange) (*tablestore.PutRowResponse, error) {
	return b.sdk.PutRow(&tablestore.PutRowRequest{PutRowChange: change})
}

func (b *bench) update(change *tablestore.UpdateRowChange) (*tablestore.UpdateRowResponse, error) {
	return b.sdk.UpdateRow(&tablestore.UpdateRowRequest{UpdateRowChange: change})
}

func (b *bench) delete(change *tablestore.DeleteRowChange) (*tablestore.DeleteRowResponse, error) {
	return b.sdk.DeleteRow(&tablestore.DeleteRowRequest{DeleteRowChange: change})
}

// store puts a row that must be accepted.
func (b *bench) store(table string, key *tablestore.PrimaryKey, columns attributes) {
	b.t.Helper()
	if _, err := b.put(putChange(table, key, columns)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) get(criteria *tablestore.SingleRowQueryCriteria) (*tablestore.GetRowResponse, error) {
	if criteria.MaxVersion == 0 && criteria.TimeRange == nil {
		criteria.MaxVersion = 1
	}
	return b.sdk.GetRow(&tablestore.GetRowRequest{SingleRowQueryCriteria: criteria})
}

// read is a row's attributes; nil when there is no such row.
func (b *bench) read(table string, key *tablestore.PrimaryKey) attributes {
	b.t.Helper()
	return attributesOf(must[*tablestore.GetRowResponse](b.t)(b.get(&tablestore.SingleRowQueryCriteria{TableName: table, PrimaryKey: key})))
}

func attributesOf(r *tablestore.GetRowResponse) attributes {
	if len(r.PrimaryKey.PrimaryKeys) == 0 {
		return nil
	}
	out := attributes{}
	for _, c := range r.Columns {
		out[c.ColumnName] = c.Value
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

// script calls a path under /_local/ and decodes what it answers.
func (b *bench) script(method, path, body string, into any) int {
	b.t.Helper()
	request := must[*http.Request](b.t)(http.NewRequest(method, b.http.URL+"/_local"+path, strings.NewReader(body)))
	response := must[*http.Response](b.t)(b.http.Client().Do(request))
	defer func() { _ = response.Body.Close() }()
	raw := must[[]byte](b.t)(io.ReadAll(response.Body))
	if into != nil {
		if err := json.Unmarshal(raw, into); err != nil {
			b.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
	return response.StatusCode
}
