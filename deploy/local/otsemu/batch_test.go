package otsemu_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

func (b *bench) write(changes ...tablestore.RowChange) (*tablestore.BatchWriteRowResponse, error) {
	request := &tablestore.BatchWriteRowRequest{}
	for _, c := range changes {
		request.AddRowChange(c)
	}
	return b.sdk.BatchWriteRow(request)
}

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
		b := start(t)
		b.table("jobs", textKey)
		b.table("other", numberKey)
		b.store("jobs", pk("id", "gone"), attributes{"c": "1"})
		failing := putChange("jobs", pk("id", "failing"), attributes{"c": "1"})
		failing.SetCondition(expectExist)
		update := updateChange("jobs", pk("id", "counted"))
		update.IncrementColumn("n", 3)
		update.SetReturnIncrementValue()
		update.AppendIncrementColumnToReturn("n")
		put := putChange("jobs", pk("id", "put"), attributes{"c": "1"})
		put.SetReturnPk()
		got := must[*tablestore.BatchWriteRowResponse](t)(b.write(
			failing, put, update, deleteChange("jobs", pk("id", "gone")), putChange("jobs", pk("wrong", "key"), attributes{"c": "1"}),
			putChange("other", pk("n", int64(1)), attributes{"c": "1"}), putChange("none", pk("id", "a"), attributes{"c": "1"}),
		))
		same(t, "jobs", codes(got.TableToRowsResult["jobs"]), []string{"OTSConditionCheckFail", "", "", "", "OTSInvalidPK"})
		same(t, "other", codes(got.TableToRowsResult["other"]), []string{""})
		same(t, "none", codes(got.TableToRowsResult["none"]), []string{"OTSObjectNotExist"})
		jobs := got.TableToRowsResult["jobs"]
		same(t, "message", jobs[0].Error.Message, rowMissing)
		same(t, "returned key", keyOf(&jobs[1].PrimaryKey), "id=put")
		same(t, "returned count", jobs[2].Columns[0].Value, any(int64(3)))
		same(t, "capacity", *jobs[1].ConsumedCapacityUnit, tablestore.ConsumedCapacityUnit{Write: 1})
		same(t, "rows", b.pages(everything("jobs", "id")), [][]string{{"id=counted", "id=put"}})
	})

	t.Run("writes 200 rows and no more, 4 MB and no more", func(t *testing.T) {
		b := start(t)
		b.table("numbers", numberKey)
		rows := func(n int) (changes []tablestore.RowChange) {
			for i := range n {
				changes = append(changes, putChange("numbers", pk("n", int64(i)), nil))
			}
			return changes
		}
		same(t, "200", len(must[*tablestore.BatchWriteRowResponse](t)(b.write(rows(200)...)).TableToRowsResult["numbers"]), 200)
		_, err := b.write(rows(201)...)
		invalid(t, err, "Rows count exceeds the upper limit:200.")
		half := attributes{"c": strings.Repeat("x", 2<<20)}
		_, err = b.write(putChange("numbers", pk("n", int64(0)), half), putChange("numbers", pk("n", int64(1)), half))
		invalid(t, err, "The total data size of BatchWriteRow request exceeds the limit, limit size: 4194304")
	})

	t.Run("takes changes of one row in order, unless one has a condition or counts", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		put := func() *tablestore.PutRowChange { return putChange("jobs", pk("id", "a"), attributes{"c": "1"}) }
		update := updateChange("jobs", pk("id", "a"))
		update.PutColumn("d", "2")
		must[*tablestore.BatchWriteRowResponse](t)(b.write(put(), update))
		same(t, "row", b.read("jobs", pk("id", "a")), attributes{"c": "1", "d": "2"})
		expecting := put()
		expecting.SetCondition(expectExist)
		_, err := b.write(put(), expecting)
		invalid(t, err, "Repeated rows do not support row exist expectation check in BatchModify.")
		conditional := put()
		conditional.SetColumnCondition(single("c", tablestore.CT_EQUAL, "1"))
		_, err = b.write(put(), conditional)
		invalid(t, err, "Repeated rows do not support row condition check in BatchModify.")
		counting := updateChange("jobs", pk("id", "a"))
		counting.IncrementColumn("n", 1)
		_, err = b.write(put(), counting)
		invalid(t, err, "Repeated rows do not support increments in BatchModify.")
	})

	t.Run("refuses a batch that is wrong in itself", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		_, err := b.write()
		invalid(t, err, "No row is specified in BatchWriteRow.")
		_, err = b.sdk.BatchWriteRow(&tablestore.BatchWriteRowRequest{RowChangesGroupByTable: map[string][]tablestore.RowChange{"jobs": nil}})
		invalid(t, err, "No operation is specified for table: 'jobs'.")
		_, err = b.write(putChange("jobs", pk("id", "a"), nil), putChange("jobs", pk("id", "b"), attributes{"a b": "1"}))
		invalid(t, err, "Invalid column name: 'a b'.")
		same(t, "rows", b.pages(everything("jobs", "id")), [][]string{{}})
		request := &tablestore.BatchWriteRowRequest{IsAtomic: true}
		request.AddRowChange(putChange("jobs", pk("id", "a"), nil))
		_, err = b.sdk.BatchWriteRow(request)
		invalid(t, err, "An atomic batch is not supported by this local server.")
	})
}

func TestBatchGetRow(t *testing.T) {
	criteria := func(table string, keys ...*tablestore.PrimaryKey) *tablestore.MultiRowQueryCriteria {
		return &tablestore.MultiRowQueryCriteria{TableName: table, PrimaryKey: keys, MaxVersion: 1}
	}
	read := func(b *bench, criteria ...*tablestore.MultiRowQueryCriteria) (*tablestore.BatchGetRowResponse, error) {
		return b.sdk.BatchGetRow(&tablestore.BatchGetRowRequest{MultiRowQueryCriteria: criteria})
	}

	t.Run("answers row by row, in the order asked", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"c": "1", "d": "1"})
		b.store("jobs", pk("id", "b"), attributes{"c": "2"})
		wanted := criteria("jobs", pk("id", "b"), pk("id", "none"), pk("id", "a"), pk("id", "a"), pk("wrong", "key"))
		wanted.ColumnsToGet = []string{"c"}
		got := must[*tablestore.BatchGetRowResponse](t)(read(b, wanted, criteria("none", pk("id", "a"))))
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
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"c": "1"})
		b.store("jobs", pk("id", "b"), attributes{"c": "2"})
		wanted := criteria("jobs", pk("id", "a"), pk("id", "b"))
		wanted.SetFilter(single("c", tablestore.CT_EQUAL, "2"))
		jobs := must[*tablestore.BatchGetRowResponse](t)(read(b, wanted)).TableToRowsResult["jobs"]
		same(t, "found", []string{keyOf(&jobs[0].PrimaryKey), keyOf(&jobs[1].PrimaryKey)}, []string{"", "id=b"})
	})

	t.Run("refuses what the service refuses", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		_, err := read(b)
		invalid(t, err, "No row specified in the request of BatchGetRow.")
		_, err = read(b, criteria("jobs", pk("id", "a")), criteria("jobs", pk("id", "b")))
		invalid(t, err, "Duplicated table name: 'jobs'.")
		var keys []*tablestore.PrimaryKey
		for i := range 101 {
			keys = append(keys, pk("id", fmt.Sprint(i)))
		}
		same(t, "100", len(must[*tablestore.BatchGetRowResponse](t)(read(b, criteria("jobs", keys[:100]...))).TableToRowsResult["jobs"]), 100)
		_, err = read(b, criteria("jobs", keys...))
		invalid(t, err, "Rows count exceeds the upper limit:100.")
	})
}
