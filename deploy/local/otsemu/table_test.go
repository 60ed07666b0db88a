package otsemu_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

func describe(b *bench, name string) (*tablestore.DescribeTableResponse, error) {
	return b.sdk.DescribeTable(&tablestore.DescribeTableRequest{TableName: name})
}

func TestCreateTable(t *testing.T) {
	t.Run("keeps the definition and lists the table", func(t *testing.T) {
		b := start(t)
		request := newTable("jobs", []column{
			{"id", tablestore.PrimaryKeyType_STRING}, {"n", tablestore.PrimaryKeyType_INTEGER}, {"raw", tablestore.PrimaryKeyType_BINARY},
		}, &tablestore.TableOption{TimeToAlive: 86400, MaxVersion: 1, DeviationCellVersionInSec: 1000})
		request.ReservedThroughput = &tablestore.ReservedThroughput{Readcap: 3, Writecap: 4}
		must[*tablestore.CreateTableResponse](t)(b.sdk.CreateTable(request))
		b.table("a_table", textKey)

		got := must[*tablestore.DescribeTableResponse](t)(describe(b, "jobs"))
		same(t, "meta", got.TableMeta, request.TableMeta)
		same(t, "throughput", got.ReservedThroughput, request.ReservedThroughput)
		allowUpdate := true
		request.TableOption.AllowUpdate = &allowUpdate
		same(t, "options", got.TableOption, request.TableOption)
		same(t, "stream", got.StreamDetails.EnableStream, false)
		list := must[*tablestore.ListTableResponse](t)(b.sdk.ListTable())
		same(t, "tables", list.TableNames, []string{"a_table", "jobs"})
		if list.RequestId == "" {
			t.Error("no request id")
		}
	})

	t.Run("gives a table the documented deviation", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		got := must[*tablestore.DescribeTableResponse](t)(describe(b, "jobs"))
		same(t, "deviation", got.TableOption.DeviationCellVersionInSec, int64(86400))
	})

	t.Run("refuses a name that exists", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		_, err := b.sdk.CreateTable(newTable("jobs", numberKey, forever()))
		refused(t, err, "OTSObjectAlreadyExist", 409, "Requested table already exists.")
	})

	t.Run("refuses more tables than an instance may have", func(t *testing.T) {
		b := start(t)
		for i := range 64 {
			b.table(fmt.Sprint("t", i), textKey)
		}
		_, err := b.sdk.CreateTable(newTable("one_more", textKey, forever()))
		refused(t, err, "OTSQuotaExhausted", 403, "Number of tables exceeded the quota.")
	})

	t.Run("refuses what the service refuses and what is left out", func(t *testing.T) {
		b := start(t)
		yes, no := true, false
		five := []column{}
		for i := range 5 {
			five = append(five, column{fmt.Sprint("k", i), tablestore.PrimaryKeyType_STRING})
		}
		option := func(o tablestore.TableOption) *tablestore.TableOption { return &o }
		for message, request := range map[string]*tablestore.CreateTableRequest{
			"Invalid table name: '1jobs'.":                                   newTable("1jobs", textKey, forever()),
			"Invalid table name: 'job-s'.":                                   newTable("job-s", textKey, forever()),
			"Invalid table name: ''.":                                        newTable("", textKey, forever()),
			"Invalid column name: 'a b'.":                                    newTable("jobs", []column{{"a b", 1}}, forever()),
			"Invalid column name: '" + strings.Repeat("x", 256):              newTable("jobs", []column{{strings.Repeat("x", 256), 1}}, forever()),
			"Duplicated primary key name: 'a'.":                              newTable("jobs", []column{{"a", 1}, {"a", 2}}, forever()),
			"only STRING,INTEGER,BINARY":                                     newTable("jobs", []column{{"a", 4}}, forever()),
			"must be in range: [1, 4].":                                      newTable("jobs", five, forever()),
			"TimeToLive cannot be 0 or less than -1.":                        newTable("jobs", textKey, option(tablestore.TableOption{MaxVersion: 1})),
			"TimeToLive must be -1 or at least 86400.":                       newTable("jobs", textKey, option(tablestore.TableOption{TimeToAlive: 86399, MaxVersion: 1})),
			"The maximum versions cannot be less than or equal to 0.":        newTable("jobs", textKey, option(tablestore.TableOption{TimeToAlive: -1})),
			"More than one version is not supported by this local server.":   newTable("jobs", textKey, option(tablestore.TableOption{TimeToAlive: -1, MaxVersion: 2})),
			"A table without updates is not supported by this local server.": newTable("jobs", textKey, option(tablestore.TableOption{TimeToAlive: -1, MaxVersion: 1, AllowUpdate: &no})),
			"The maximum deviation must be in range [0, INT64_MAX/1000000].": newTable("jobs", textKey, option(tablestore.TableOption{TimeToAlive: -1, MaxVersion: 1, DeviationCellVersionInSec: 1 << 62})),
			"Invalid Capacity Unit:-1. Capacity Unit must be nonnegative":    change(newTable("jobs", textKey, forever()), func(r *tablestore.CreateTableRequest) { r.ReservedThroughput.Readcap = -1 }),
			"A stream is not supported by this local server.": change(newTable("jobs", textKey, forever()), func(r *tablestore.CreateTableRequest) {
				r.StreamSpec = &tablestore.StreamSpecification{EnableStream: true}
			}),
			"A local transaction is not supported by this local server.": change(newTable("jobs", textKey, forever()), func(r *tablestore.CreateTableRequest) { r.EnableLocalTxn = &yes }),
			"A predefined column is not supported by this local server.": change(newTable("jobs", textKey, forever()), func(r *tablestore.CreateTableRequest) {
				r.TableMeta.AddDefinedColumn("c", tablestore.DefinedColumn_STRING)
			}),
			"A secondary index is not supported by this local server.": change(newTable("jobs", textKey, forever()), func(r *tablestore.CreateTableRequest) { r.AddIndexMeta(&tablestore.IndexMeta{IndexName: "i"}) }),
			"An auto-increment primary key is not supported by this local server": change(newTable("jobs", textKey, forever()), func(r *tablestore.CreateTableRequest) {
				r.TableMeta.AddPrimaryKeyColumnOption("auto", tablestore.PrimaryKeyType_INTEGER, tablestore.AUTO_INCREMENT)
			}),
		} {
			_, err := b.sdk.CreateTable(request)
			invalid(t, err, message)
		}
		same(t, "tables", len(must[*tablestore.ListTableResponse](t)(b.sdk.ListTable()).TableNames), 0)
	})
}

func change[T any](v *T, edit func(*T)) *T {
	edit(v)
	return v
}

func TestUpdateTable(t *testing.T) {
	t.Run("changes time to live, deviation and throughput", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		got := must[*tablestore.UpdateTableResponse](t)(b.sdk.UpdateTable(&tablestore.UpdateTableRequest{
			TableName: "jobs", TableOption: &tablestore.TableOption{TimeToAlive: 90000, MaxVersion: 1, DeviationCellVersionInSec: 5},
			ReservedThroughput: &tablestore.ReservedThroughput{Readcap: 1, Writecap: 2},
		}))
		same(t, "answered", *got.TableOption, tablestore.TableOption{TimeToAlive: 90000, MaxVersion: 1, DeviationCellVersionInSec: 5})
		described := must[*tablestore.DescribeTableResponse](t)(describe(b, "jobs"))
		same(t, "described", described.TableOption.TimeToAlive, 90000)
		same(t, "throughput", *described.ReservedThroughput, tablestore.ReservedThroughput{Readcap: 1, Writecap: 2})
	})

	t.Run("changes nothing when a part is wrong", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		_, err := b.sdk.UpdateTable(&tablestore.UpdateTableRequest{
			TableName: "jobs", TableOption: &tablestore.TableOption{TimeToAlive: 5, MaxVersion: 1},
			ReservedThroughput: &tablestore.ReservedThroughput{Readcap: 7},
		})
		invalid(t, err, "TimeToLive must be -1 or at least 86400.")
		same(t, "throughput", must[*tablestore.DescribeTableResponse](t)(describe(b, "jobs")).ReservedThroughput.Readcap, 0)
		_, err = b.sdk.UpdateTable(&tablestore.UpdateTableRequest{TableName: "jobs"})
		invalid(t, err, "No parameter is specified in table options.")
		_, err = b.sdk.UpdateTable(&tablestore.UpdateTableRequest{
			TableName: "jobs", StreamSpec: &tablestore.StreamSpecification{EnableStream: true},
		})
		invalid(t, err, "A stream is not supported")
	})
}

func TestDeleteTable(t *testing.T) {
	t.Run("takes the rows with it", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"c": "1"})
		must[*tablestore.DeleteTableResponse](t)(b.sdk.DeleteTable(&tablestore.DeleteTableRequest{TableName: "jobs"}))
		_, err := describe(b, "jobs")
		refused(t, err, "OTSObjectNotExist", 404, "Requested table does not exist.")
		b.table("jobs", textKey)
		same(t, "row", b.read("jobs", pk("id", "a")), attributes(nil))
	})

	t.Run("is missed by every operation", func(t *testing.T) {
		b := start(t)
		calls := map[string]func() error{
			"DeleteTable": func() error {
				_, err := b.sdk.DeleteTable(&tablestore.DeleteTableRequest{TableName: "none"})
				return err
			},
			"UpdateTable": func() error {
				_, err := b.sdk.UpdateTable(&tablestore.UpdateTableRequest{TableName: "none", TableOption: forever()})
				return err
			},
			"PutRow": func() error {
				_, err := b.put(putChange("none", pk("id", "a"), attributes{"c": "1"}))
				return err
			},
			"GetRow": func() error {
				_, err := b.get(&tablestore.SingleRowQueryCriteria{TableName: "none", PrimaryKey: pk("id", "a")})
				return err
			},
			"GetRange": func() error {
				_, err := b.scan(everything("none", "id"))
				return err
			},
		}
		for name, call := range calls {
			t.Run(name, func(t *testing.T) { refused(t, call(), "OTSObjectNotExist", 404, "Requested table does not exist.") })
		}
	})
}

func TestCreateTableAtStart(t *testing.T) {
	b := start(t)
	for range 2 {
		if err := b.CreateTable("jobs", "p", "s"); err != nil {
			t.Fatal(err)
		}
	}
	found := must[*tablestore.DescribeTableResponse](t)(describe(b, "jobs"))
	if len(found.TableMeta.SchemaEntry) != 2 || found.TableOption.TimeToAlive != -1 {
		t.Errorf("%+v", found)
	}
	for _, key := range [][]string{{"p"}, {"s", "p"}, nil, {"p", ""}, {"a", "b", "c", "d", "e"}} {
		if err := b.CreateTable("jobs", key...); err == nil {
			t.Errorf("key %q was accepted for a table that has another", key)
		}
	}
}
