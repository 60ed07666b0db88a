package fcemu_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	fc "github.com/alibabacloud-go/fc-20230330/v4/client"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/fcemu"
)

// The key of the account whose functions are looked at.
const (
	keyID     = "key"
	keySecret = "secret"
)

// accountOf is a function with every kind of trigger, and one without anything.
func accountOf() fcemu.Config {
	full := function("f")
	full.Env = map[string]string{"A": "1"}
	full.Timeout, full.MaxInstances, full.MemoryMB = 60*time.Second, 3, 256
	full.Async = &fcemu.AsyncConfig{MaxRetryAttempts: 0, MaxEventAge: time.Minute}
	full.FunctionSettings = fcemu.FunctionSettings{Handler: "main", CPU: 0.1, DiskMB: 10240, Role: "role-f", LogProject: "project", LogStore: "store"}
	return fcemu.Config{
		AccessKeyID: keyID, AccessKeySecret: keySecret, Functions: []fcemu.Function{full, function("bare")},
		HTTPTriggers: []fcemu.HTTPTrigger{{Name: "web", Function: "f", Methods: []string{"GET", "POST"}}},
		Timers:       []fcemu.TimerTrigger{{Name: "tick", Function: "f", Schedule: "@every 1m"}},
		Triggers: []fcemu.QueueTrigger{{
			Name: "jobs", Function: "f", Queue: "q", DeadLetterQueue: "q-dead", CountBasedWindow: 10, TimeBasedWindow: time.Second,
			Endpoint: "http://127.0.0.1:1", AccessKeyID: keyID, AccessKeySecret: keySecret,
			TriggerSettings: fcemu.TriggerSettings{Mode: "event-streaming", EventSchema: "CloudEvents", ErrorsTolerance: "ALL", PushRetryStrategy: "EXPONENTIAL_DECAY_RETRY"},
		}},
	}
}

// settings are those of an official client that signs with a secret.
func settings(base, secret string) *openapiutil.Config {
	return &openapiutil.Config{
		AccessKeyId: dara.String(keyID), AccessKeySecret: dara.String(secret), Endpoint: dara.String(strings.TrimPrefix(base, "http://")),
		Protocol: dara.String("HTTP"),
	}
}

func sdk(t *testing.T, base, secret string) *fc.Client {
	t.Helper()
	client, err := fc.NewClient(settings(base, secret))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// once are settings of one call, which is made once.
func once() *dara.RuntimeOptions { return &dara.RuntimeOptions{Autoretry: dara.Bool(false)} }

// refusedWith wants the code and the status of an error of the SDK.
func refusedWith(t *testing.T, err error, status int, code string) {
	t.Helper()
	var said *tea.SDKError
	if !errors.As(err, &said) || dara.StringValue(said.Code) != code || dara.IntValue(said.StatusCode) != status {
		t.Errorf("got %v, want %d %s", err, status, code)
	}
}

func TestManagement(t *testing.T) {
	h := start(t, accountOf())
	base := serve(t, h.API())
	client := sdk(t, base, keySecret)

	t.Run("shows a function as it is run", func(t *testing.T) {
		got, err := client.GetFunctionWithOptions(dara.String("f"), &fc.GetFunctionRequest{}, nil, once())
		if err != nil {
			t.Fatal(err)
		}
		f := got.Body
		same(t, "texts", []string{
			dara.StringValue(f.Runtime), dara.StringValue(f.Handler), dara.StringValue(f.Role), dara.StringValue(f.EnvironmentVariables["A"]),
			dara.StringValue(f.LogConfig.Project), dara.StringValue(f.LogConfig.Logstore),
		}, []string{"go1", "main", "acs:ram::1234567890123456:role/role-f", "1", "project", "store"})
		same(t, "numbers", []int32{*f.MemorySize, *f.DiskSize, *f.Timeout}, []int32{256, 10240, 60})
		same(t, "processors", *f.Cpu, float32(0.1))
		same(t, "internet", *f.InternetAccess, true)
	})

	t.Run("shows what is set of concurrency and asynchronous calls, and 404 for what is not", func(t *testing.T) {
		concurrency, err := client.GetConcurrencyConfigWithOptions(dara.String("f"), nil, once())
		if err != nil || *concurrency.Body.ReservedConcurrency != 3 {
			t.Errorf("got %v %v, want 3", concurrency, err)
		}
		async, err := client.GetAsyncInvokeConfigWithOptions(dara.String("f"), &fc.GetAsyncInvokeConfigRequest{}, nil, once())
		if err != nil || *async.Body.MaxAsyncRetryAttempts != 0 || *async.Body.MaxAsyncEventAgeInSeconds != 60 {
			t.Errorf("got %v %v, want 0 and 60", async, err)
		}
		_, err = client.GetConcurrencyConfigWithOptions(dara.String("bare"), nil, once())
		refusedWith(t, err, 404, "ConcurrencyConfigNotFound")
		_, err = client.GetAsyncInvokeConfigWithOptions(dara.String("bare"), &fc.GetAsyncInvokeConfigRequest{}, nil, once())
		refusedWith(t, err, 404, "AsyncConfigNotExists")
		_, err = client.GetFunctionWithOptions(dara.String("nobody"), &fc.GetFunctionRequest{}, nil, once())
		refusedWith(t, err, 404, "FunctionNotFound")
	})

	t.Run("lists triggers by pages", func(t *testing.T) {
		var names []string
		request := &fc.ListTriggersRequest{Limit: dara.Int32(2)}
		for {
			got, err := client.ListTriggersWithOptions(dara.String("f"), request, nil, once())
			if err != nil {
				t.Fatal(err)
			}
			for _, trigger := range got.Body.Triggers {
				names = append(names, dara.StringValue(trigger.TriggerName)+" "+dara.StringValue(trigger.TriggerType))
			}
			if request.NextToken = got.Body.NextToken; request.NextToken == nil {
				break
			}
		}
		same(t, "triggers", names, []string{"jobs eventbridge", "tick timer", "web http"})
		got, err := client.ListTriggersWithOptions(dara.String("f"), &fc.ListTriggersRequest{Prefix: dara.String("jobs")}, nil, once())
		if err != nil || len(got.Body.Triggers) != 1 {
			t.Fatal(got, err)
		}
		same(t, "source", dara.StringValue(got.Body.Triggers[0].SourceArn), "acs:eventbridge:cn-hangzhou:1234567890123456:eventstreaming/f-jobs")
		same(t, "settings", dara.StringValue(got.Body.Triggers[0].TriggerConfig), `{"asyncInvocationType":false,"eventRuleFilterPattern":"{}",`+
			`"eventSinkConfig":{"deliveryOption":{"eventSchema":"CloudEvents"}},"eventSourceConfig":{"eventSourceParameters":{"sourceMNSParameters":`+
			`{"IsBase64Decode":false,"QueueName":"q","RegionId":"cn-hangzhou"}},"eventSourceType":"MNS"},"runOptions":{"batchWindow":`+
			`{"CountBasedWindow":10,"TimeBasedWindow":1},"deadLetterQueue":{"Arn":"acs:mns:cn-hangzhou:1234567890123456:/queues/q-dead"},`+
			`"errorsTolerance":"ALL","mode":"event-streaming","retryStrategy":{"PushRetryStrategy":"EXPONENTIAL_DECAY_RETRY"}},"triggerEnable":true}`)
		_, err = client.ListTriggersWithOptions(dara.String("f"), &fc.ListTriggersRequest{Limit: dara.Int32(101)}, nil, once())
		refusedWith(t, err, 400, "InvalidArgument")
	})

	t.Run("shows the stream of a trigger", func(t *testing.T) {
		got, err := stream(t, base, "2020-04-01", "f-jobs")
		if err != nil {
			t.Fatal(err)
		}
		data, _ := got["Data"].(map[string]any)
		same(t, "status", data["Status"], any("RUNNING"))
		_, err = stream(t, base, "2020-04-01", "other")
		refusedWith(t, err, 404, "EventStreamingNotExist")
		_, err = stream(t, base, "2020-04-02", "f-jobs")
		refusedWith(t, err, 404, "InvalidAction.NotFound")
	})

	t.Run("wants signatures, and the parameters that an action has", func(t *testing.T) {
		_, err := sdk(t, base, "wrong").GetFunctionWithOptions(dara.String("f"), &fc.GetFunctionRequest{}, nil, once())
		refusedWith(t, err, 403, "SignatureDoesNotMatch")
		same(t, "unsigned", send(t, http.MethodGet, base+"/2023-03-30/functions/f", nil).status, 400)
		_, err = call(t, base, "GetFunction", "/2023-03-30/functions/f", map[string]any{"limit": "1"})
		refusedWith(t, err, 400, "InvalidArgument")
		_, err = call(t, base, "GetFunction", "/2023-03-30/functions/f/triggers", nil)
		refusedWith(t, err, 404, "InvalidAction.NotFound")
		_, err = call(t, base, "GetFunction", "/2023-03-30/functions", nil)
		refusedWith(t, err, 404, "InvalidAction.NotFound")
	})

	t.Run("shows something else if wanted, and then again what is", func(t *testing.T) {
		memory := func() int32 {
			got, err := client.GetFunctionWithOptions(dara.String("f"), &fc.GetFunctionRequest{}, nil, once())
			if err != nil {
				t.Fatal(err)
			}
			return *got.Body.MemorySize
		}
		patch := `{"function":{"memorySize":64},"concurrency":null,"triggers":{"jobs":{"triggerConfig":{"triggerEnable":false}}},"streams":{"f-jobs":{"Status":"PAUSED"}}}`
		same(t, "patched", send(t, http.MethodPatch, base+"/_local/functions/f", strings.NewReader(patch)).status, 204)
		same(t, "memory", memory(), int32(64))
		_, err := client.GetConcurrencyConfigWithOptions(dara.String("f"), nil, once())
		refusedWith(t, err, 404, "ConcurrencyConfigNotFound")
		same(t, "no function", send(t, http.MethodPatch, base+"/_local/functions/nobody", strings.NewReader("{}")).status, 404)
		same(t, "no patch", send(t, http.MethodPatch, base+"/_local/functions/f", strings.NewReader("[")).status, 400)
		same(t, "taken back", send(t, http.MethodDelete, base+"/_local/functions/f", nil).status, 204)
		same(t, "memory", memory(), int32(256))
	})
}

// call makes a signed GET of an action and a path that need not belong together.
func call(t *testing.T, base, action, path string, query map[string]any) (map[string]any, error) {
	t.Helper()
	return general(t, base, &openapiutil.Params{
		Action: dara.String(action), Version: dara.String("2023-03-30"), Protocol: dara.String("HTTP"), Pathname: dara.String(path), Method: dara.String("GET"),
		AuthType: dara.String("AK"), Style: dara.String("ROA"), ReqBodyType: dara.String("json"), BodyType: dara.String("json"),
	}, &openapiutil.OpenApiRequest{Query: openapiutil.Query(query)})
}

// stream asks EventBridge for an event stream, as its official clients do.
func stream(t *testing.T, base, version, name string) (map[string]any, error) {
	t.Helper()
	return general(t, base, &openapiutil.Params{
		Action: dara.String("GetEventStreaming"), Version: dara.String(version), Protocol: dara.String("HTTP"), Pathname: dara.String("/"),
		Method: dara.String("POST"), AuthType: dara.String("AK"), Style: dara.String("RPC"), ReqBodyType: dara.String("formData"), BodyType: dara.String("json"),
	}, &openapiutil.OpenApiRequest{Body: map[string]any{"EventStreamingName": name}})
}

func general(t *testing.T, base string, params *openapiutil.Params, request *openapiutil.OpenApiRequest) (map[string]any, error) {
	t.Helper()
	client, err := openapi.NewClient(settings(base, keySecret))
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.CallApiWithCtx(context.Background(), params, request, once())
	body, _ := got["body"].(map[string]any)
	return body, err
}
