package otsemu_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

// codes are the error codes of a table's rows, empty for success.
func codes(rows []tablestore.RowResult) []string {
	out := []string{}
	for _, r := range rows {
		out = append(out, r.Error.Code)
	}
	return out
}

func TestBatchWriteRow(t *testing.T) {
	t.Run("carries out each change on its own", func(t *testing.T) {
		f := startWithJobs(t)
		f.table("other", numberKey)
		f.store("jobs", pk("id", "gone"), attributes{"c": "1"})
		f.store("jobs", pk("id", "updated"), attributes{"gone": "1", "kept": "1", "n": int64(1)})
		failing := putChange("jobs", pk("id", "failing"), nil)
		failing.SetCondition(expectExist)
		put := putChange("jobs", pk("id", "put"), attributes{"c": "1"})
		put.SetReturnPk()
		update := countChange("jobs", pk("id", "updated"), 3)
		update.PutColumn("c", "1")
		update.DeleteColumn("gone")
		got := must[*tablestore.BatchWriteRowResponse](t)(f.write(
			failing, put, update, deleteChange("jobs", pk("id", "gone")), putChange("jobs", pk("wrong", "key"), nil),
			putChange("other", pk("n", int64(1)), nil), putChange("none", pk("id", "a"), nil),
		))
		jobs := got.TableToRowsResult["jobs"]
		same(t, "jobs", codes(jobs), []string{"OTSConditionCheckFail", "", "", "", "OTSInvalidPK"})
		same(t, "other", codes(got.TableToRowsResult["other"]), []string{""})
		same(t, "none", codes(got.TableToRowsResult["none"]), []string{"OTSObjectNotExist"})
		same(t, "message", jobs[0].Error.Message, rowMissing)
		same(t, "returned key", keyOf(&jobs[1].PrimaryKey), "id=put")
		same(t, "returned sum", jobs[2].Columns[0].Value, any(int64(4)))
		same(t, "updated", f.read("jobs", pk("id", "updated"), nil), attributes{"c": "1", "kept": "1", "n": int64(4)})
		same(t, "capacity", *jobs[1].ConsumedCapacityUnit, tablestore.ConsumedCapacityUnit{Write: 1})
		same(t, "rows", f.pages(everything("jobs", "id")), [][]string{{"id=put", "id=updated"}})
	})

	t.Run("writes 200 rows, and changes of one row in order", func(t *testing.T) {
		f := start(t)
		f.table("numbers", numberKey)
		f.fill("numbers", 200)
		key := pk("n", int64(7))
		must[*tablestore.BatchWriteRowResponse](t)(f.write(
			putChange("numbers", key, attributes{"c": "1"}), putChange("numbers", key, attributes{"c": "2"}), updateChange("numbers", key, attributes{"d": "3"}),
		))
		same(t, "row", f.read("numbers", key, nil), attributes{"c": "2", "d": "3"})
	})

	t.Run("refuses a batch that is wrong in itself, and writes none of it", func(t *testing.T) {
		f := startWithJobs(t)
		many := []tablestore.RowChange{}
		for i := range 201 {
			many = append(many, putChange("jobs", pk("id", fmt.Sprint(i)), nil))
		}
		put := func(columns attributes) *tablestore.PutRowChange { return putChange("jobs", pk("id", "a"), columns) }
		expecting, conditional := put(nil), put(nil)
		expecting.SetCondition(expectExist)
		conditional.SetColumnCondition(single("c", tablestore.CT_EQUAL, "1"))
		half := attributes{"c": strings.Repeat("x", 2<<20)}
		for message, changes := range map[string][]tablestore.RowChange{
			"No row is specified in BatchWriteRow.":                                     nil,
			"Rows count exceeds the upper limit:200.":                                   many,
			"data size of BatchWriteRow request exceeds the limit, limit size: 4194304": {putChange("jobs", pk("id", "b"), half), put(half)},
			"Repeated rows do not support row exist expectation check in BatchModify.":  {put(nil), expecting},
			"Repeated rows do not support row condition check in BatchModify.":          {put(nil), conditional},
			"Invalid column name: 'a b'.":                                               {put(nil), putChange("jobs", pk("id", "b"), attributes{"a b": "1"})},
			"Repeated rows do not support increments in BatchModify.":                   {put(nil), countChange("jobs", pk("id", "a"), 1)},
		} {
			_, err := f.write(changes...)
			invalid(t, err, message)
		}
		_, err := f.sdk.BatchWriteRow(&tablestore.BatchWriteRowRequest{RowChangesGroupByTable: map[string][]tablestore.RowChange{"jobs": nil}})
		invalid(t, err, "No operation is specified for table: 'jobs'.")
		_, err = f.sdk.BatchWriteRow(&tablestore.BatchWriteRowRequest{IsAtomic: true})
		invalid(t, err, "An atomic batch is not supported by this local server.")
		same(t, "rows", f.pages(everything("jobs", "id")), [][]string{{}})
	})
}

func TestBatchGetRow(t *testing.T) {
	criteria := func(table string, keys ...*tablestore.PrimaryKey) *tablestore.MultiRowQueryCriteria {
		return &tablestore.MultiRowQueryCriteria{TableName: table, PrimaryKey: keys, MaxVersion: 1}
	}
	read := func(f *fixture, criteria ...*tablestore.MultiRowQueryCriteria) (*tablestore.BatchGetRowResponse, error) {
		return f.sdk.BatchGetRow(&tablestore.BatchGetRowRequest{MultiRowQueryCriteria: criteria})
	}
	f := startWithJobs(t)
	f.store("jobs", pk("id", "a"), attributes{"c": "1", "d": "1"})
	f.store("jobs", pk("id", "b"), attributes{"c": "2"})

	t.Run("answers row by row, in the order asked", func(t *testing.T) {
		wanted := criteria("jobs", pk("id", "b"), pk("id", "none"), pk("id", "a"), pk("id", "a"), pk("wrong", "key"))
		wanted.ColumnsToGet = []string{"c"}
		got := must[*tablestore.BatchGetRowResponse](t)(read(f, wanted, criteria("none", pk("id", "a"))))
		jobs := got.TableToRowsResult["jobs"]
		same(t, "codes", codes(jobs), []string{"", "", "", "", "OTSInvalidPK"})
		same(t, "no table", codes(got.TableToRowsResult["none"]), []string{"OTSObjectNotExist"})
		keys := []string{}
		for _, r := range jobs {
			keys = append(keys, keyOf(&r.PrimaryKey))
		}
		same(t, "keys", keys, []string{"id=b", "", "id=a", "id=a", ""})
		same(t, "columns of a", len(jobs[2].Columns), 1)
		same(t, "capacity of nothing", jobs[1].ConsumedCapacityUnit.Read, int32(1))
	})

	t.Run("filters each row", func(t *testing.T) {
		wanted := criteria("jobs", pk("id", "a"), pk("id", "b"))
		wanted.SetFilter(single("c", tablestore.CT_EQUAL, "2"))
		jobs := must[*tablestore.BatchGetRowResponse](t)(read(f, wanted)).TableToRowsResult["jobs"]
		same(t, "found", []string{keyOf(&jobs[0].PrimaryKey), keyOf(&jobs[1].PrimaryKey)}, []string{"", "id=b"})
	})

	t.Run("reads 100 rows of each table once, and no more", func(t *testing.T) {
		var keys []*tablestore.PrimaryKey
		for i := range 101 {
			keys = append(keys, pk("id", fmt.Sprint(i)))
		}
		got := must[*tablestore.BatchGetRowResponse](t)(read(f, criteria("jobs", keys[:100]...)))
		same(t, "rows", len(got.TableToRowsResult["jobs"]), 100)
		_, err := read(f, criteria("jobs", keys...))
		invalid(t, err, "Rows count exceeds the upper limit:100.")
		_, err = read(f)
		invalid(t, err, "No row specified in the request of BatchGetRow.")
		_, err = read(f, criteria("jobs", pk("id", "a")), criteria("jobs", pk("id", "b")))
		invalid(t, err, "Duplicated table name: 'jobs'.")
	})
}
