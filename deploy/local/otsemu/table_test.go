package otsemu_test

import (
	"encoding/binary"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore/otsprotocol"
	"github.com/golang/protobuf/proto"
)

func (f *fixture) describe(name string) (*tablestore.DescribeTableResponse, error) {
	return f.sdk.DescribeTable(&tablestore.DescribeTableRequest{TableName: name})
}

func TestCreateTable(t *testing.T) {
	t.Run("keeps the definition, with the documented deviation of timestamps", func(t *testing.T) {
		f := start(t)
		request := newTable("jobs", []column{
			{"id", tablestore.PrimaryKeyType_STRING}, {"n", tablestore.PrimaryKeyType_INTEGER}, {"raw", tablestore.PrimaryKeyType_BINARY},
		}, 86400)
		must[*tablestore.CreateTableResponse](t)(f.sdk.CreateTable(request))
		got := must[*tablestore.DescribeTableResponse](t)(f.describe("jobs"))
		yes := true
		same(t, "meta", got.TableMeta, request.TableMeta)
		same(t, "throughput", *got.ReservedThroughput, tablestore.ReservedThroughput{})
		same(t, "options", *got.TableOption, tablestore.TableOption{
			TimeToAlive: 86400, MaxVersion: 1, DeviationCellVersionInSec: 86400, AllowUpdate: &yes,
		})
	})

	t.Run("describes the rest for other SDKs: the table is active, as old as it is, and has no stream and no encryption", func(t *testing.T) {
		f := startWithJobs(t)
		made := f.clock.Now()
		f.clock.Advance(time.Hour)
		w := httptest.NewRecorder()
		f.ServeHTTP(w, request("DescribeTable", encode(t, &otsprotocol.DescribeTableRequest{TableName: proto.String("jobs")})))
		got := &otsprotocol.DescribeTableResponse{}
		must[any](t)(nil, proto.Unmarshal(w.Body.Bytes(), got))
		same(t, "status", got.GetTableStatus(), otsprotocol.TableStatus_ACTIVE)
		same(t, "stream", *got.StreamDetails.EnableStream, false)
		same(t, "encryption", *got.SseDetails.Enable, false)
		same(t, "change of throughput", got.ReservedThroughputDetails.GetLastIncreaseTime(), made.Unix())
		// The Go SDK does not know field 9, the time of creation in microseconds.
		same(t, "creation", got.XXX_unrecognized, binary.AppendUvarint([]byte{9 << 3}, uint64(made.UnixMicro())))
	})

	t.Run("refuses a name that exists, and more tables than an instance may have", func(t *testing.T) {
		f := start(t)
		for i := range 64 {
			f.table(fmt.Sprint("t", i), textKey)
		}
		_, err := f.sdk.CreateTable(newTable("t1", numberKey, -1))
		refused(t, err, "OTSObjectAlreadyExist", 409, "Requested table already exists.")
		_, err = f.sdk.CreateTable(newTable("one_more", textKey, -1))
		refused(t, err, "OTSQuotaExhausted", 403, "Number of tables exceeded the quota.")
	})

	t.Run("refuses what the service refuses and what is left out", func(t *testing.T) {
		f := start(t)
		yes, no, service := true, false, tablestore.SSE_KMS_SERVICE
		five := []column{}
		for i := range 5 {
			five = append(five, column{fmt.Sprint("k", i), tablestore.PrimaryKeyType_STRING})
		}
		with := func(edit func(*tablestore.CreateTableRequest)) *tablestore.CreateTableRequest {
			request := newTable("jobs", textKey, -1)
			edit(request)
			return request
		}
		for message, request := range map[string]*tablestore.CreateTableRequest{
			"Invalid table name: '1jobs'.":                                   newTable("1jobs", textKey, -1),
			"Invalid table name: 'job-s'.":                                   newTable("job-s", textKey, -1),
			"Invalid table name: ''.":                                        newTable("", textKey, -1),
			"Invalid column name: 'a b'.":                                    newTable("jobs", []column{{"a b", 1}}, -1),
			"Invalid column name: '" + strings.Repeat("x", 256):              newTable("jobs", []column{{strings.Repeat("x", 256), 1}}, -1),
			"Duplicated primary key name: 'a'.":                              newTable("jobs", []column{{"a", 1}, {"a", 2}}, -1),
			"only STRING,INTEGER,BINARY":                                     newTable("jobs", []column{{"a", 4}}, -1),
			"must be in range: [1, 4].":                                      newTable("jobs", five, -1),
			"TimeToLive cannot be 0 or less than -1.":                        newTable("jobs", textKey, 0),
			"TimeToLive must be -1 or at least 86400.":                       newTable("jobs", textKey, 86399),
			"The maximum versions cannot be less than or equal to 0.":        with(func(r *tablestore.CreateTableRequest) { r.TableOption.MaxVersion = 0 }),
			"More than one version is not supported by this local server.":   with(func(r *tablestore.CreateTableRequest) { r.TableOption.MaxVersion = 2 }),
			"A table without updates is not supported by this local server.": with(func(r *tablestore.CreateTableRequest) { r.TableOption.AllowUpdate = &no }),
			"A deviation of timestamps is not supported by this local":       with(func(r *tablestore.CreateTableRequest) { r.TableOption.DeviationCellVersionInSec = 1 }),
			"Reserved capacity is not supported by this local server.":       with(func(r *tablestore.CreateTableRequest) { r.ReservedThroughput.Readcap = 1 }),
			"A local transaction is not supported by this local server.":     with(func(r *tablestore.CreateTableRequest) { r.EnableLocalTxn = &yes }),
			"A secondary index is not supported by this local server.":       with(func(r *tablestore.CreateTableRequest) { r.AddIndexMeta(&tablestore.IndexMeta{IndexName: "i"}) }),
			"Encryption is not supported by this local server.": with(func(r *tablestore.CreateTableRequest) {
				r.SSESpecification = &tablestore.SSESpecification{Enable: true, KeyType: &service}
			}),
			"A stream is not supported by this local server.": with(func(r *tablestore.CreateTableRequest) {
				r.StreamSpec = &tablestore.StreamSpecification{EnableStream: true}
			}),
			"A predefined column is not supported by this local server.": with(func(r *tablestore.CreateTableRequest) {
				r.TableMeta.AddDefinedColumn("c", tablestore.DefinedColumn_STRING)
			}),
			"An auto-increment primary key is not supported by this local server": with(func(r *tablestore.CreateTableRequest) {
				r.TableMeta.AddPrimaryKeyColumnOption("auto", tablestore.PrimaryKeyType_INTEGER, tablestore.AUTO_INCREMENT)
			}),
		} {
			_, err := f.sdk.CreateTable(request)
			invalid(t, err, message)
		}
		_, err := f.describe("jobs")
		refused(t, err, "OTSObjectNotExist", 404, "Requested table does not exist.")
	})
}

func TestUpdateTable(t *testing.T) {
	f := startWithJobs(t)
	update := func(edit func(*tablestore.UpdateTableRequest)) (*tablestore.UpdateTableResponse, error) {
		request := &tablestore.UpdateTableRequest{TableName: "jobs"}
		edit(request)
		return f.sdk.UpdateTable(request)
	}
	timeToLive := func() int {
		return must[*tablestore.DescribeTableResponse](t)(f.describe("jobs")).TableOption.TimeToAlive
	}

	got := must[*tablestore.UpdateTableResponse](t)(update(func(r *tablestore.UpdateTableRequest) { r.TableOption = tablestore.NewTableOption(90000, 1) }))
	same(t, "answered", got.TableOption.TimeToAlive, 90000)
	same(t, "described", timeToLive(), 90000)

	for message, edit := range map[string]func(*tablestore.UpdateTableRequest){
		"TimeToLive must be -1 or at least 86400.":    func(r *tablestore.UpdateTableRequest) { r.TableOption = tablestore.NewTableOption(5, 1) },
		"TimeToLive cannot be 0 or less than -1.":     func(r *tablestore.UpdateTableRequest) { r.TableOption = &tablestore.TableOption{} },
		"More than one version is not supported":      func(r *tablestore.UpdateTableRequest) { r.TableOption = tablestore.NewTableOption(-1, 2) },
		"No parameter is specified in table options.": func(*tablestore.UpdateTableRequest) {},
		"A stream is not supported by this local server.": func(r *tablestore.UpdateTableRequest) {
			r.StreamSpec = &tablestore.StreamSpecification{EnableStream: true}
		},
	} {
		_, err := update(edit)
		invalid(t, err, message)
	}
	same(t, "time to live after refusals", timeToLive(), 90000)
}

func TestListAndDeleteTable(t *testing.T) {
	f := startWithJobs(t)
	f.table("a_table", textKey)
	names := func() []string { return must[*tablestore.ListTableResponse](t)(f.sdk.ListTable()).TableNames }
	same(t, "two tables", names(), []string{"a_table", "jobs"})
	f.store("jobs", pk("id", "a"), nil)
	must[*tablestore.DeleteTableResponse](t)(f.sdk.DeleteTable(&tablestore.DeleteTableRequest{TableName: "jobs"}))
	same(t, "the other table", names(), []string{"a_table"})
	f.table("jobs", textKey)
	same(t, "rows of a new table with the name", f.pages(everything("jobs", "id")), [][]string{{}})
}

func TestMissingTable(t *testing.T) {
	f := start(t)
	_, drop := f.sdk.DeleteTable(&tablestore.DeleteTableRequest{TableName: "none"})
	_, describe := f.describe("none")
	_, update := f.sdk.UpdateTable(&tablestore.UpdateTableRequest{TableName: "none", TableOption: tablestore.NewTableOption(-1, 1)})
	_, put := f.put(putChange("none", pk("id", "a"), nil))
	_, deletion := f.delete(deleteChange("none", pk("id", "a")))
	_, get := f.get("none", pk("id", "a"), nil)
	_, scan := f.scan(everything("none", "id"))
	for _, err := range []error{describe, drop, update, put, deletion, get, scan} {
		refused(t, err, "OTSObjectNotExist", 404, "Requested table does not exist.")
	}
}

func TestCreateTableAtStart(t *testing.T) {
	f := start(t)
	for range 2 {
		must[any](t)(nil, f.CreateTable("jobs", "p", "s"))
	}
	found := must[*tablestore.DescribeTableResponse](t)(f.describe("jobs"))
	same(t, "columns", len(found.TableMeta.SchemaEntry), 2)
	same(t, "time to live", found.TableOption.TimeToAlive, -1)
	for _, key := range [][]string{{"p"}, {"s", "p"}, nil, {"p", ""}, {"a", "b", "c", "d", "e"}} {
		if err := f.CreateTable("jobs", key...); err == nil {
			t.Errorf("key %q was accepted for a table that has another", key)
		}
	}
}
