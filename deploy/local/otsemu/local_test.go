package otsemu_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/deploy/local/faults"
)

func TestFaults(t *testing.T) {
	rule := func(b *bench, r faults.Rule) {
		b.t.Helper()
		must[string](b.t)(b.Faults().Add(r))
	}

	t.Run("answer an error of the protocol to the rows a rule names", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		rule(b, faults.Rule{
			Action: "PutRow", Match: map[string]string{"table": "jobs", "primaryKey": "id=a"},
			Fault: faults.Fault{Answer: faults.Error, Status: 409, Code: "OTSRowOperationConflict", Message: "Data is being modified by the other request."},
		})
		b.store("jobs", pk("id", "b"), nil)
		_, err := b.put(putChange("jobs", pk("id", "a"), nil))
		refused(t, err, "OTSRowOperationConflict", 409, "Data is being modified by the other request.")
		same(t, "row", b.read("jobs", pk("id", "a")), attributes(nil))
		b.store("jobs", pk("id", "a"), nil)
	})

	t.Run("lose the answer of a write that took effect", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		rule(b, faults.Rule{Action: "PutRow", Fault: faults.Fault{Answer: faults.Reset, Execute: true}})
		if _, err := b.put(putChange("jobs", pk("id", "a"), nil)); err == nil {
			t.Error("no error from a connection without an answer")
		}
		same(t, "row", b.read("jobs", pk("id", "a")), attributes{})
	})

	t.Run("make a table unready for a while", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		rule(b, faults.Rule{Times: 2, Fault: faults.Fault{Answer: faults.Error, Status: 404, Code: "OTSTableNotReady", Message: "The table is not ready."}})
		for range 2 {
			_, err := b.put(putChange("jobs", pk("id", "a"), nil))
			refused(t, err, "OTSTableNotReady", 404, "The table is not ready.")
		}
		b.store("jobs", pk("id", "a"), nil)
	})

	t.Run("end when the server stops", func(t *testing.T) {
		b := start(t)
		rule(b, faults.Rule{Action: "ListTable", Fault: faults.Fault{Answer: faults.Hang}})
		ended := make(chan error)
		go func() {
			_, err := b.sdk.ListTable()
			ended <- err
		}()
		b.Stop()
		if err := <-ended; err == nil {
			t.Error("a hanging call succeeded")
		}
	})
}

func TestScripts(t *testing.T) {
	t.Run("see tables and rows that have not expired", func(t *testing.T) {
		b := start(t)
		must[*tablestore.CreateTableResponse](t)(b.sdk.CreateTable(newTable("jobs", []column{
			{"id", tablestore.PrimaryKeyType_STRING}, {"raw", tablestore.PrimaryKeyType_BINARY}, {"n", tablestore.PrimaryKeyType_INTEGER},
		}, &tablestore.TableOption{TimeToAlive: 86400, MaxVersion: 1})))
		b.store("jobs", pk("id", "old", "raw", []byte{1}, "n", int64(1)), attributes{"c": "1"})
		b.clock.Advance(24 * time.Hour)
		b.store("jobs", pk("id", "new", "raw", []byte{1}, "n", int64(1)), attributes{
			"s": "x", "n1": int64(-1), "d": 1.5, "yes": true, "bin": []byte{0xff},
		})
		var tables []map[string]any
		same(t, "status", b.script("GET", "/tables", "", &tables), 200)
		same(t, "tables", tables, []map[string]any{{
			"name": "jobs", "timeToLive": 86400.0, "deviation": 86400.0, "readUnits": 0.0, "writeUnits": 0.0,
			"primaryKey": []any{
				map[string]any{"name": "id", "type": "STRING"},
				map[string]any{"name": "raw", "type": "BINARY"},
				map[string]any{"name": "n", "type": "INTEGER"},
			},
		}})
		var rows []map[string]any
		b.script("GET", "/tables/jobs/rows", "", &rows)
		at := float64(b.clock.Now().UnixMilli())
		cell := func(value any) map[string]any { return map[string]any{"value": value, "timestamp": at} }
		same(t, "rows", rows, []map[string]any{{
			"primaryKey": map[string]any{"id": "new", "raw": map[string]any{"base64": "AQ=="}, "n": 1.0},
			"columns": map[string]any{
				"s": cell("x"), "n1": cell(-1.0), "d": cell(1.5), "yes": cell(true), "bin": cell(map[string]any{"base64": "/w=="}),
			},
		}})
	})

	t.Run("see as many rows as they ask for", func(t *testing.T) {
		b := start(t)
		b.table("numbers", numberKey)
		b.fill("numbers", 1001)
		for path, want := range map[string]int{"/tables/numbers/rows": 1000, "/tables/numbers/rows?limit=7": 7, "/tables/numbers/rows?limit=5000": 1001} {
			var rows []json.RawMessage
			b.script("GET", path, "", &rows)
			same(t, path, len(rows), want)
		}
	})

	t.Run("are told what is wrong", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		var problem map[string]string
		same(t, "no table", b.script("GET", "/tables/none/rows", "", &problem), 404)
		same(t, "error", problem["error"], "Requested table does not exist.")
		for _, limit := range []string{"0", "-1", "x"} {
			same(t, limit, b.script("GET", "/tables/jobs/rows?limit="+limit, "", &problem), 400)
			same(t, "error", problem["error"], `limit "`+limit+`": want a positive number`)
		}
	})

	t.Run("see calls with their tables and keys but no values", func(t *testing.T) {
		b := start(t)
		b.table("parts", []column{{"job", tablestore.PrimaryKeyType_STRING}, {"part", tablestore.PrimaryKeyType_INTEGER}, {"raw", tablestore.PrimaryKeyType_BINARY}})
		key := pk("job", "abc", "part", int64(3), "raw", []byte{0xab})
		b.store("parts", key, attributes{"c": "a secret value"})
		must[*tablestore.BatchWriteRowResponse](t)(b.write(deleteChange("parts", key), putChange("none", pk("x", "y"), nil)))
		must[*tablestore.GetRangeResponse](t)(b.scan(everything("parts", "job", "part", "raw")))
		_, err := b.sdk.DeleteTable(&tablestore.DeleteTableRequest{TableName: "none"})
		refused(t, err, "OTSObjectNotExist", 404, "")
		var log struct {
			Counters map[string]int
			Calls    []faults.Record
		}
		b.script("GET", "/calls", "", &log)
		same(t, "counters", log.Counters, map[string]int{"CreateTable": 1, "PutRow": 1, "BatchWriteRow": 1, "GetRange": 1, "DeleteTable": 1})
		params := map[string]map[string]string{}
		for _, call := range log.Calls {
			params[call.Action] = call.Params
		}
		// The SDK sends a batch's tables in no order.
		if tables := params["BatchWriteRow"]["table"]; tables == "none,parts" {
			params["BatchWriteRow"]["table"] = "parts,none"
		}
		same(t, "parameters", params, map[string]map[string]string{
			"CreateTable":   {"table": "parts"},
			"PutRow":        {"table": "parts", "primaryKey": "job=abc,part=3,raw=ab"},
			"BatchWriteRow": {"table": "parts,none", "rows": "2"},
			"GetRange":      {"table": "parts", "from": "job=INF_MIN,part=INF_MIN,raw=INF_MIN", "to": "job=INF_MAX,part=INF_MAX,raw=INF_MAX"},
			"DeleteTable":   {"table": "none"},
		})
		same(t, "code", log.Calls[len(log.Calls)-1].Code, "OTSObjectNotExist")
	})

	t.Run("add and clear faults", func(t *testing.T) {
		b := start(t)
		same(t, "add", b.script("POST", "/faults", `{"action":"ListTable","times":-1,"fault":{"answer":"error","status":503,"code":"OTSServerBusy"}}`, nil), 201)
		_, err := b.sdk.ListTable()
		refused(t, err, "OTSServerBusy", 503, "")
		same(t, "clear", b.script("DELETE", "/faults", "", nil), 204)
		must[*tablestore.ListTableResponse](t)(b.sdk.ListTable())
		if got := b.raw(raw{path: "/_local"}); !strings.Contains(got.message, "Unsupported operation") {
			t.Errorf("got %q", got.message)
		}
	})
}
