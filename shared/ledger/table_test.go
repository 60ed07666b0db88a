package ledger_test

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore/otsprotocol"
	"github.com/golang/protobuf/proto"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
)

// partly is the answer to one BatchWriteRow of so many rows of a table of which one fails with a code, executed or not.
func partly(t testing.TB, table string, rows, failed int, code string, execute bool) faults.Rule {
	t.Helper()
	answer := &otsprotocol.TableInBatchWriteRowResponse{TableName: proto.String(table)}
	for i := range rows {
		row := &otsprotocol.RowInBatchWriteRowResponse{IsOk: proto.Bool(i != failed)}
		row.Consumed = &otsprotocol.ConsumedCapacity{CapacityUnit: &otsprotocol.CapacityUnit{Read: proto.Int32(1), Write: proto.Int32(1)}}
		if i == failed {
			row.Error = &otsprotocol.Error{Code: proto.String(code), Message: proto.String("refused")}
		}
		answer.Rows = append(answer.Rows, row)
	}
	body, err := proto.Marshal(&otsprotocol.BatchWriteRowResponse{Tables: []*otsprotocol.TableInBatchWriteRowResponse{answer}})
	must(t, err)
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

// rows are a table as it is.
func (b *book) rows(t testing.TB, table string) []*sdk.Row {
	t.Helper()
	criteria := &sdk.RangeRowQueryCriteria{
		TableName: table, MaxVersion: 1, StartPrimaryKey: new(sdk.PrimaryKey), EndPrimaryKey: new(sdk.PrimaryKey),
	}
	for _, column := range []string{"p", "s"} {
		criteria.StartPrimaryKey.AddPrimaryKeyColumnWithMinValue(column)
		criteria.EndPrimaryKey.AddPrimaryKeyColumnWithMaxValue(column)
	}
	res, err := b.sdkClient().GetRange(&sdk.GetRangeRequest{RangeRowQueryCriteria: criteria})
	must(t, err)
	return res.Rows
}

// putRecords puts so many more claims of host names of a routine that has one, and returns all their names.
func (b *book) putRecords(t testing.TB, name string, count int) (names []string) {
	t.Helper()
	var partition any
	for _, row := range b.rows(t, "state") {
		recordName, isRecord := strings.CutPrefix(row.PrimaryKey.PrimaryKeys[1].Value.(string), "record/")
		if p := row.PrimaryKey.PrimaryKeys[0].Value; isRecord && strings.HasSuffix(p.(string), "/"+name) {
			partition, names = p, append(names, recordName)
		}
	}
	added := make([]string, count)
	for n := range added {
		added[n] = fmt.Sprintf("more-%04d.example.com", n)
	}
	for chunk := range slices.Chunk(added, 200) {
		batch := new(sdk.BatchWriteRowRequest)
		for _, recordName := range chunk {
			change := &sdk.PutRowChange{TableName: "state", PrimaryKey: new(sdk.PrimaryKey)}
			change.PrimaryKey.AddPrimaryKeyColumn("p", partition)
			change.PrimaryKey.AddPrimaryKeyColumn("s", "record/"+recordName)
			change.SetCondition(sdk.RowExistenceExpectation_EXPECT_NOT_EXIST)
			change.AddColumn("mark", fmt.Sprintf(`{"routine":%q,"recordName":%q}`, name, recordName))
			change.AddColumn("seq", int64(1))
			batch.AddRowChange(change)
		}
		_, err := b.sdkClient().BatchWriteRow(batch)
		must(t, err)
		names = append(names, chunk...)
	}
	slices.Sort(names)
	return names
}

// isJob reports whether the row is a job's own.
func isJob(row *sdk.Row) bool { return row.PrimaryKey.PrimaryKeys[1].Value == "job" }

func (b *book) wantRows(t testing.TB, want int) {
	t.Helper()
	var keys []string
	for _, row := range b.rows(t, "jobs") {
		keys = append(keys, fmt.Sprint(row.PrimaryKey.PrimaryKeys[0].Value, " ", row.PrimaryKey.PrimaryKeys[1].Value))
	}
	if len(keys) != want {
		t.Errorf("%d rows, want %d:\n%s", len(keys), want, strings.Join(keys, "\n"))
	}
}

// deleteRows deletes the chosen rows of the jobs, as if they had not been written.
func (b *book) deleteRows(t testing.TB, chosen func(*sdk.Row) bool) {
	t.Helper()
	for _, row := range b.rows(t, "jobs") {
		if !chosen(row) {
			continue
		}
		change := &sdk.DeleteRowChange{TableName: "jobs", PrimaryKey: row.PrimaryKey}
		change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
		_, err := b.sdkClient().DeleteRow(&sdk.DeleteRowRequest{DeleteRowChange: change})
		must(t, err)
	}
}
