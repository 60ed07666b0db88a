package otsemu_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/deploy/local/faults"
)

func TestFaults(t *testing.T) {
	t.Run("answer an error of the protocol to the rows that a rule names", func(t *testing.T) {
		f := startWithJobs(t)
		must[string](t)(f.Faults().Add(faults.Rule{
			Action: "PutRow", Match: map[string]string{"table": "jobs", "primaryKey": "id=a"},
			Fault: faults.Fault{Answer: faults.Error, Status: 409, Code: "OTSRowOperationConflict", Message: "Data is being modified by the other request."},
		}))
		f.store("jobs", pk("id", "b"), nil)
		_, err := f.put(putChange("jobs", pk("id", "a"), nil))
		refused(t, err, "OTSRowOperationConflict", 409, "Data is being modified by the other request.")
		same(t, "row", f.read("jobs", pk("id", "a"), nil), attributes(nil))
		f.store("jobs", pk("id", "a"), nil)
	})

	t.Run("end when the server is closed", func(t *testing.T) {
		f := start(t)
		must[string](t)(f.Faults().Add(faults.Rule{Fault: faults.Fault{Answer: faults.Hang}}))
		ended := make(chan error)
		go func() {
			_, err := http.Post(f.url+"/DescribeTable", "", nil) // unlike the SDK, without a time limit
			ended <- err
		}()
		same(t, "close", f.Close(), nil)
		if err := <-ended; err == nil {
			t.Error("a hanging call succeeded")
		}
	})
}

func TestCallsShowTablesAndKeysButNoValues(t *testing.T) {
	f := start(t)
	f.table("parts", []column{
		{"job", tablestore.PrimaryKeyType_STRING}, {"part", tablestore.PrimaryKeyType_INTEGER}, {"raw", tablestore.PrimaryKeyType_BINARY},
	})
	key := pk("job", "abc", "part", int64(3), "raw", []byte{0xab})
	f.store("parts", key, attributes{"c": "a secret value"})
	must[*tablestore.BatchWriteRowResponse](t)(f.write(deleteChange("parts", key), putChange("parts", key, nil)))
	must[*tablestore.GetRangeResponse](t)(f.scan(everything("parts", "job", "part", "raw")))
	_, err := f.describe("none")
	refused(t, err, "OTSObjectNotExist", 404, "")
	var log struct{ Calls []faults.Record }
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/_local/calls", nil))
	must[any](t)(nil, json.Unmarshal(w.Body.Bytes(), &log))
	params := map[string]map[string]string{}
	for _, call := range log.Calls {
		params[call.Action] = call.Params
	}
	same(t, "parameters", params, map[string]map[string]string{
		"CreateTable":   {"table": "parts"},
		"PutRow":        {"table": "parts", "primaryKey": "job=abc,part=3,raw=ab"},
		"BatchWriteRow": {"table": "parts", "rows": "2"},
		"GetRange":      {"table": "parts", "from": "job=INF_MIN,part=INF_MIN,raw=INF_MIN", "to": "job=INF_MAX,part=INF_MAX,raw=INF_MAX"},
		"DescribeTable": {"table": "none"},
	})
	same(t, "code", log.Calls[len(log.Calls)-1].Code, "OTSObjectNotExist")
}
