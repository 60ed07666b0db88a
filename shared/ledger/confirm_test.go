package ledger_test

import (
	"strings"
	"testing"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestCreateAgainPutsMissingIndexRows(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	server, url := localtest.OTS(t, clock.NewManual(noon))
	for _, name := range []string{"jobs", "state"} {
		if err := server.CreateTable(name, "p", "s"); err != nil {
			t.Fatal(err)
		}
	}
	jobs := sim.Ledger(t, ledger.Config{Endpoint: url})
	row := ledger.NewRow(routine.Job{ID: "j", AcceptedAt: noon, Request: routine.Request{Name: "pr-1", SiteID: 7, RecordName: "a.example.com"}})
	if made := jobs.Create(t.Context(), row)[0]; made.Err != nil {
		t.Fatal(made.Err)
	}
	// As if a writer had ended between the job's row and its index rows.
	if n := dropIndexRows(t, url); n == 0 {
		t.Fatal("there is no index row")
	}
	again := row
	again.AcceptedAt = noon.Add(time.Hour)
	if made := jobs.Create(t.Context(), again)[0]; made.Err != nil || !made.Existed || !made.Row.AcceptedAt.Equal(noon) {
		t.Fatalf("got %+v", made)
	}
	for _, f := range []ledger.Filter{{}, {State: routine.Queued}, {Name: "pr-1"}, {RecordName: "a.example.com"}} {
		if found, _, err := jobs.Jobs(t.Context(), f, 10, ""); err != nil || len(found) != 1 {
			t.Errorf("%+v: %d jobs, %v", f, len(found), err)
		}
	}
}

// dropIndexRows deletes every row that is not a job's own, and returns how many there were.
func dropIndexRows(t *testing.T, url string) (dropped int) {
	t.Helper()
	client := sdk.NewClient(url, localtest.Instance, localtest.AccessKeyID, localtest.AccessKeySecret)
	first, last := new(sdk.PrimaryKey), new(sdk.PrimaryKey)
	for _, column := range []string{"p", "s"} {
		first.AddPrimaryKeyColumnWithMinValue(column)
		last.AddPrimaryKeyColumnWithMaxValue(column)
	}
	found, err := client.GetRange(&sdk.GetRangeRequest{RangeRowQueryCriteria: &sdk.RangeRowQueryCriteria{
		TableName: "jobs", Direction: sdk.FORWARD, MaxVersion: 1, Limit: 100, StartPrimaryKey: first, EndPrimaryKey: last,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range found.Rows {
		if p, _ := row.PrimaryKey.PrimaryKeys[0].Value.(string); strings.HasPrefix(p, "job/") {
			continue
		}
		change := &sdk.DeleteRowChange{TableName: "jobs", PrimaryKey: row.PrimaryKey}
		change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
		if _, err := client.DeleteRow(&sdk.DeleteRowRequest{DeleteRowChange: change}); err != nil {
			t.Fatal(err)
		}
		dropped++
	}
	return dropped
}
