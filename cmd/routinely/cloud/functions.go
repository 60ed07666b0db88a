package cloud

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	fc "github.com/alibabacloud-go/fc-20230330/v4/client"
	"github.com/alibabacloud-go/tea/dara"

	"routinely/shared/fault"
)

// FunctionsConfig is what Functions needs.
type FunctionsConfig struct {
	Access
	// FunctionCompute and EventBridge are endpoints, such as ACCOUNT.REGION.fc.aliyuncs.com and eventbridge-console.REGION.aliyuncs.com.
	// Required.
	FunctionCompute, EventBridge string
}

// Functions reads what is deployed: functions, their triggers, and the event streams of these. It makes one call at a time.
type Functions struct {
	caller
	functions *fc.Client
	streams   *openapi.Client
}

// NewFunctions checks the configuration and returns a client. It makes no call.
func NewFunctions(cfg FunctionsConfig) (*Functions, error) {
	w := newWire()
	settings, err := cfg.settings(cfg.FunctionCompute, w)
	if err != nil {
		return nil, fmt.Errorf("function compute: %w", err)
	}
	functions, err := fc.NewClient(settings)
	if err != nil {
		return nil, fmt.Errorf("function compute: %w", err)
	}
	functions.DisableSDKError = dara.Bool(true)
	streams, err := cfg.general(cfg.EventBridge, w)
	if err != nil {
		return nil, fmt.Errorf("event bridge: %w", err)
	}
	return &Functions{caller: caller{w, cfg.Timeout}, functions: functions, streams: streams}, nil
}

// Settings are settings as the API has them, by their names in s.yaml. Numbers are json.Number.
type Settings map[string]any

// Environment is the environment variables of a function. Some are secrets: it prints as a row of stars.
type Environment map[string]string

// String hides the values.
func (Environment) String() string { return "***" }

// GoString hides the values from %#v.
func (Environment) GoString() string { return "***" }

// Function is a function as it is deployed.
type Function struct {
	Settings    Settings
	Environment Environment
}

// Function returns a function. A missing one is a fault of kind NotFound.
func (f *Functions) Function(ctx context.Context, name string) (Function, error) {
	var found *fc.GetFunctionResponse
	err := f.call(ctx, "GetFunction", func() (err error) {
		found, err = f.functions.GetFunctionWithOptions(&name, &fc.GetFunctionRequest{}, nil, &dara.RuntimeOptions{})
		return err
	})
	if err != nil {
		return Function{}, err
	}
	out := Function{Environment: Environment{}}
	for name, value := range found.Body.EnvironmentVariables {
		out.Environment[name] = dara.StringValue(value)
	}
	found.Body.EnvironmentVariables = nil
	out.Settings, err = settingsOf(found.Body)
	return out, err
}

// Concurrency returns what is reserved for a function, {"reservedConcurrency": N}. A function without any has none.
func (f *Functions) Concurrency(ctx context.Context, name string) (Settings, error) {
	var found *fc.GetConcurrencyConfigResponse
	err := f.call(ctx, "GetConcurrencyConfig", func() (err error) {
		found, err = f.functions.GetConcurrencyConfigWithOptions(&name, nil, &dara.RuntimeOptions{})
		return err
	})
	if err != nil {
		return Settings{}, unlessNotFound(err)
	}
	return settingsOf(found.Body)
}

// Async returns how asynchronous calls of a function are repeated, such as {"maxAsyncRetryAttempts": N}. A function without settings has none.
func (f *Functions) Async(ctx context.Context, name string) (Settings, error) {
	var found *fc.GetAsyncInvokeConfigResponse
	err := f.call(ctx, "GetAsyncInvokeConfig", func() (err error) {
		found, err = f.functions.GetAsyncInvokeConfigWithOptions(&name, &fc.GetAsyncInvokeConfigRequest{}, nil, &dara.RuntimeOptions{})
		return err
	})
	if err != nil {
		return Settings{}, unlessNotFound(err)
	}
	return settingsOf(found.Body)
}

func unlessNotFound(err error) error {
	if fault.HasKind(err, fault.NotFound) {
		return nil
	}
	return err
}

// Trigger is a trigger of a function.
type Trigger struct {
	// Name is its name, Type its kind, such as eventbridge.
	Name, Type string
	// Settings is its triggerConfig.
	Settings Settings
	// Stream is the name of its event stream; empty if it has none, or if Function Compute does not say which.
	Stream string
}

// Triggers returns the triggers of a function.
func (f *Functions) Triggers(ctx context.Context, function string) ([]Trigger, error) {
	var out []Trigger
	for request := (&fc.ListTriggersRequest{}); ; {
		var found *fc.ListTriggersResponse
		err := f.call(ctx, "ListTriggers", func() (err error) {
			found, err = f.functions.ListTriggersWithOptions(&function, request, nil, &dara.RuntimeOptions{})
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, one := range found.Body.Triggers {
			trigger := Trigger{Name: dara.StringValue(one.TriggerName), Type: dara.StringValue(one.TriggerType), Stream: streamIn(dara.StringValue(one.SourceArn))}
			if trigger.Settings, err = readSettings([]byte(dara.StringValue(one.TriggerConfig))); err != nil {
				return nil, unreadable("ListTriggers", fmt.Sprintf("the settings of trigger %s: %s", trigger.Name, err))
			}
			out = append(out, trigger)
		}
		if dara.StringValue(found.Body.NextToken) == "" {
			return out, nil
		}
		request.NextToken = found.Body.NextToken
	}
}

// streamIn is the event stream in the ARN of a trigger's source, acs:eventbridge:REGION:ACCOUNT:eventstreaming/NAME.
func streamIn(arn string) string {
	_, name, found := strings.Cut(arn, ":eventstreaming/")
	if !found || !strings.HasPrefix(arn, "acs:eventbridge:") {
		return ""
	}
	return name
}

// States of an event stream: it delivers, or it is about to.
const (
	StreamRunning  = "RUNNING"
	StreamStarting = "STARTING"
)

// Stream returns the state of an event stream, such as RUNNING or PAUSED. A missing one is a fault of kind NotFound.
func (f *Functions) Stream(ctx context.Context, name string) (state string, err error) {
	err = f.call(ctx, "GetEventStreaming", func() error {
		answer, err := f.streams.CallApi(&openapiutil.Params{
			Action: dara.String("GetEventStreaming"), Version: dara.String("2020-04-01"), Protocol: dara.String("HTTPS"), Pathname: dara.String("/"),
			Method: dara.String("POST"), AuthType: dara.String("AK"), Style: dara.String("RPC"), ReqBodyType: dara.String("formData"), BodyType: dara.String("json"),
		}, &openapiutil.OpenApiRequest{Body: map[string]any{"EventStreamingName": name}}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		var body struct {
			Code, Message string
			Success       bool
			Data          struct{ Status string }
		}
		text, err := json.Marshal(answer["body"])
		if err == nil {
			err = json.Unmarshal(text, &body)
		}
		if err == nil && !body.Success {
			err = &refusal{refusedStatus(body.Code), body.Code, body.Message}
		}
		state = body.Data.Status
		return err
	})
	return state, err
}

// refusedStatus is the status of a failure that EventBridge answers with 200: its older pages show such answers.
func refusedStatus(code string) int {
	if strings.HasSuffix(code, "NotExist") {
		return 404
	}
	return 400
}

// settingsOf is a body of the SDK as JSON has it.
func settingsOf(body any) (Settings, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return readSettings(text)
}

func readSettings(text []byte) (out Settings, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&out)
	return out, err
}

// unreadable is an answer in a form that nobody knows.
func unreadable(action, message string) *fault.Error {
	return &fault.Error{Kind: fault.Unavailable, Step: action, Code: "UnusableAnswer", Message: message, Hint: hintAgain}
}
