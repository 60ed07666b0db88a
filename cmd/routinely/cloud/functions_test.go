package cloud_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/cloud"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/fcemu"
	"routinely/deploy/local/localtest"
	"routinely/shared/fault"
)

// deployed is a local Function Compute with a function f and one that has nothing set, of which nothing runs, and a client of it.
func deployed(t *testing.T) (*fcemu.Server, string, *cloud.Functions) {
	t.Helper()
	server, err := fcemu.New(fcemu.Config{
		AccountID: localtest.AccountID, Region: "cn-hangzhou", AccessKeyID: localtest.AccessKeyID, AccessKeySecret: localtest.AccessKeySecret,
		Functions: []fcemu.Function{
			{Name: "f", Command: []string{"true"}, Env: map[string]string{"SECRET": "not for eyes"}, MaxInstances: 3, FunctionSettings: fcemu.FunctionSettings{CPU: 0.1}},
			{Name: "bare", Command: []string{"true"}},
		},
		Triggers: []fcemu.QueueTrigger{{
			Name: "jobs", Function: "f", Queue: "q", Endpoint: "http://127.0.0.1:1", AccessKeyID: localtest.AccessKeyID, AccessKeySecret: localtest.AccessKeySecret,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	url := localtest.Listen(t, server.API(), server.Faults().Stop)
	client, err := cloud.NewFunctions(cloud.FunctionsConfig{Access: access(localtest.AccessKeySecret), FunctionCompute: url, EventBridge: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return server, url, client
}

// pretend makes the API show something else of the function f.
func pretend(t *testing.T, url, patch string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, url+"/_local/functions/f", strings.NewReader(patch))
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Fatal(res.Status)
	}
}

// answers makes the next call of an action be answered with a document.
func answers(t *testing.T, server *fcemu.Server, action, document string) {
	t.Helper()
	fault := faults.Fault{Answer: faults.Document, Headers: map[string]string{"Content-Type": "application/json"}, Body: document}
	if _, err := server.Faults().Add(faults.Rule{Action: action, Fault: fault}); err != nil {
		t.Fatal(err)
	}
}

func TestFunctions(t *testing.T) {
	t.Run("are read with their numbers as they are written, and their environment apart", func(t *testing.T) {
		_, _, client := deployed(t)
		got, err := client.Function(t.Context(), "f")
		if err != nil {
			t.Fatal(err)
		}
		if got.Settings["cpu"] != json.Number("0.1") || got.Settings["memorySize"] != json.Number("512") || got.Settings["environmentVariables"] != nil {
			t.Errorf("got %v", got.Settings)
		}
		if diff := cmp.Diff(map[string]string{"SECRET": "not for eyes"}, map[string]string(got.Environment)); diff != "" {
			t.Errorf("environment (-want +got):\n%s", diff)
		}
		if text := fmt.Sprintf("%v %+v %#v", got, got, got.Environment); strings.Contains(text, "eyes") {
			t.Errorf("the environment can be read: %s", text)
		}
	})
	t.Run("that are missing are told apart from settings that are missing", func(t *testing.T) {
		_, _, client := deployed(t)
		if _, err := client.Function(t.Context(), "nobody"); !fault.HasKind(err, fault.NotFound) || !fault.HasCode(err, "FunctionNotFound") {
			t.Errorf("got %v", err)
		}
		concurrency, err := client.Concurrency(t.Context(), "bare")
		if err != nil || len(concurrency) > 0 {
			t.Errorf("got %v %v, want nothing", concurrency, err)
		}
		async, err := client.Async(t.Context(), "bare")
		if err != nil || len(async) > 0 {
			t.Errorf("got %v %v, want nothing", async, err)
		}
		if got, err := client.Concurrency(t.Context(), "f"); err != nil || got["reservedConcurrency"] != json.Number("3") {
			t.Errorf("got %v %v, want 3", got, err)
		}
	})
	t.Run("are not taken for unset when the key may not look", func(t *testing.T) {
		server, _, client := deployed(t)
		for _, action := range []string{"GetConcurrencyConfig", "GetAsyncInvokeConfig"} {
			if _, err := server.Faults().Add(faults.Rule{Action: action, Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "AccessDenied"}}); err != nil {
				t.Fatal(err)
			}
		}
		_, concurrency := client.Concurrency(t.Context(), "f")
		_, async := client.Async(t.Context(), "f")
		if !fault.HasKind(concurrency, fault.Denied) || !fault.HasKind(async, fault.Denied) {
			t.Errorf("got %v, %v", concurrency, async)
		}
	})
}

func TestTriggers(t *testing.T) {
	t.Run("are read from all pages, with the stream that Function Compute names", func(t *testing.T) {
		_, url, client := deployed(t)
		var more []string
		for i := range 25 {
			more = append(more, fmt.Sprintf(`"t%02d":{"triggerName":"t%02d","triggerType":"timer","triggerConfig":{"enable":true}}`, i, i))
		}
		pretend(t, url, `{"triggers":{`+strings.Join(more, ",")+`}}`)
		got, err := client.Triggers(t.Context(), "f")
		if err != nil || len(got) != 26 {
			t.Fatalf("%d triggers, %v, want 26", len(got), err)
		}
		if got[0].Name != "jobs" || got[0].Type != "eventbridge" || got[0].Stream != "f-jobs" || got[0].Settings["triggerEnable"] != true {
			t.Errorf("got %+v", got[0])
		}
		if got[25].Name != "t24" || got[25].Stream != "" {
			t.Errorf("got %+v", got[25])
		}
	})
	t.Run("with settings that are no JSON are a failure", func(t *testing.T) {
		server, _, client := deployed(t)
		answers(t, server, "ListTriggers", `{"triggers":[{"triggerName":"x","triggerConfig":"{"}]}`)
		if _, err := client.Triggers(t.Context(), "f"); !fault.HasCode(err, "UnusableAnswer") {
			t.Errorf("got %v", err)
		}
	})
}

func TestStream(t *testing.T) {
	server, url, client := deployed(t)
	pretend(t, url, `{"streams":{"f-jobs":{"Status":"PAUSED"}}}`)
	if state, err := client.Stream(t.Context(), "f-jobs"); state != "PAUSED" || err != nil {
		t.Errorf("got %s %v, want PAUSED", state, err)
	}
	if _, err := client.Stream(t.Context(), "other"); !fault.HasKind(err, fault.NotFound) {
		t.Errorf("got %v, want a stream that is not found", err)
	}
	// Older pages show failures with the status 200.
	for code, kind := range map[string]fault.Kind{"EventStreamingNotExist": fault.NotFound, "ServiceNotEnable": fault.Invalid} {
		answers(t, server, "GetEventStreaming", `{"Success":false,"Code":"`+code+`","Message":"m","RequestId":"R"}`)
		if _, err := client.Stream(t.Context(), "f-jobs"); !fault.HasKind(err, kind) || !fault.HasCode(err, code) {
			t.Errorf("got %v, want %s", err, code)
		}
	}
}
