package fcemu

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FunctionSettings are settings of a function that this server takes and shows in its management API, and nothing else: no value changes
// what the function does, and none is checked.
type FunctionSettings struct {
	// Handler is the name of the binary in the function's code; empty means that of Command.
	Handler string
	// CPU is how many processors the function gets; 0 means 0.35. DiskMB is its disk, 512 or 10240; 0 means 512.
	CPU    float64
	DiskMB int
	// Role is the name of the role that the function takes.
	Role string
	// NoInternet is a function that does not reach the internet.
	NoInternet bool
	// LogProject and LogStore are where Simple Log Service keeps what the function prints; empty for nowhere.
	LogProject, LogStore string
}

// HTTPTrigger is the HTTP trigger of a function, as the management API shows it; Server.HTTP is what answers requests.
type HTTPTrigger struct {
	// Name and Function are the trigger's name and the function's. Required.
	Name, Function string
	// Methods are those that the trigger takes. The trigger works with any.
	Methods []string
}

// The runtime, and what a function has that says nothing of its processors and its disk. (fc3 schema.)
const (
	runtimeName   = "go1"
	defaultCPU    = 0.35
	defaultDiskMB = 512
)

// object is a JSON object.
type object = map[string]any

// shown is what the management API shows of a function: function, concurrency, asyncInvokeConfig, triggers by their name, each with a
// triggerConfig, and streams by their name. What is not set is not there. Each call returns one of its own.
func (s *Server) shown(f *function) object {
	c := f.config
	out := object{"function": s.shownFunction(f), "triggers": s.shownTriggers(c.Name), "streams": s.shownStreams(c.Name)}
	if c.MaxInstances != defaultInstances {
		out["concurrency"] = object{"functionArn": s.functionARN(c.Name), "reservedConcurrency": c.MaxInstances}
	}
	if f.asyncSet {
		out["asyncInvokeConfig"] = object{
			"functionArn": s.functionARN(c.Name), "maxAsyncRetryAttempts": c.Async.MaxRetryAttempts,
			"maxAsyncEventAgeInSeconds": int(c.Async.MaxEventAge / time.Second),
		}
	}
	return normal(out)
}

func (s *Server) shownFunction(f *function) object {
	c := f.config
	env := object{}
	for name, value := range c.Env {
		env[name] = value
	}
	out := object{
		"functionName": c.Name, "functionArn": s.functionARN(c.Name), "runtime": runtimeName, "handler": cmp.Or(c.Handler, f.handler),
		"cpu": cmp.Or(c.CPU, defaultCPU), "memorySize": c.MemoryMB, "diskSize": cmp.Or(c.DiskMB, defaultDiskMB),
		"timeout": int(c.Timeout / time.Second), "internetAccess": !c.NoInternet, "environmentVariables": env, "instanceConcurrency": 1,
		"logConfig": object{"project": c.LogProject, "logstore": c.LogStore}, "state": "Active", "lastUpdateStatus": "Successful",
	}
	if c.Role != "" {
		out["role"] = "acs:ram::" + s.config.AccountID + ":role/" + c.Role
	}
	return out
}

func (s *Server) functionARN(name string) string {
	return "acs:fc:" + s.config.Region + ":" + s.config.AccountID + ":functions/" + name
}

// streamName is what the event stream of a trigger is called. Local choice: Function Compute does not document it, and tells its ARN as that of the
// trigger's source.
func streamName(t QueueTrigger) string { return t.Function + "-" + t.Name }

func (s *Server) shownTriggers(function string) object {
	out := object{}
	add := func(name, kind, source string, config object) {
		out[name] = object{
			"triggerName": name, "triggerType": kind, "qualifier": qualifier, "status": "", "sourceArn": source,
			"targetArn": s.functionARN(function), "triggerConfig": config,
		}
	}
	for _, t := range s.config.HTTPTriggers {
		if t.Function == function {
			add(t.Name, "http", "", object{"authType": "anonymous", "disableURLInternet": false, "methods": t.Methods})
		}
	}
	for _, t := range s.timers {
		if t.config.Function == function {
			add(t.config.Name, "timer", "", object{"enable": true, "cronExpression": t.config.Schedule, "payload": ""})
		}
	}
	for _, t := range s.triggers {
		if t.config.Function == function {
			add(t.config.Name, "eventbridge", s.streamARN(streamName(t.config)), s.queueTriggerConfig(t.config))
		}
	}
	return out
}

func (s *Server) streamARN(name string) string {
	return "acs:eventbridge:" + s.config.Region + ":" + s.config.AccountID + ":eventstreaming/" + name
}

// queueTriggerConfig is the triggerConfig that makes such a trigger. (fc3 schema, IEventBridge.)
func (s *Server) queueTriggerConfig(t QueueTrigger) object {
	options := object{
		"mode": t.Mode, "errorsTolerance": t.ErrorsTolerance, "retryStrategy": object{"PushRetryStrategy": t.PushRetryStrategy},
		"batchWindow": object{"CountBasedWindow": t.CountBasedWindow, "TimeBasedWindow": int(t.TimeBasedWindow / time.Second)},
	}
	if t.DeadLetterQueue != "" {
		options["deadLetterQueue"] = object{"Arn": "acs:mns:" + s.config.Region + ":" + s.config.AccountID + ":/queues/" + t.DeadLetterQueue}
	}
	return object{
		"triggerEnable": true, "asyncInvocationType": false, "eventRuleFilterPattern": "{}",
		"eventSourceConfig": object{"eventSourceType": "MNS", "eventSourceParameters": object{"sourceMNSParameters": object{
			"RegionId": s.config.Region, "QueueName": t.Queue, "IsBase64Decode": t.IsBase64Decode,
		}}},
		"eventSinkConfig": object{"deliveryOption": object{"eventSchema": t.EventSchema}},
		"runOptions":      options,
	}
}

// shownStreams are the event streams of a function's triggers. They run until the server stops, whether or not Run was called yet.
func (s *Server) shownStreams(function string) object {
	status := "RUNNING"
	select {
	case <-s.stopping:
		status = "PAUSED"
	default:
	}
	out := object{}
	for _, t := range s.triggers {
		if t.config.Function == function {
			out[streamName(t.config)] = object{"EventStreamingName": streamName(t.config), "Status": status}
		}
	}
	return out
}

// normal is an object as JSON makes it, with numbers as they are written.
func normal(o object) object {
	text, err := json.Marshal(o)
	if err != nil {
		return object{}
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	out := object{}
	_ = decoder.Decode(&out) // it was encoded above
	return out
}

// merge changes a JSON value by a merge patch (RFC 7396).
func merge(value, patch any) any {
	change, isObject := patch.(object)
	if !isObject {
		return patch
	}
	out, isObject := value.(object)
	if !isObject {
		out = object{}
	}
	for name, inner := range change {
		if inner == nil {
			delete(out, name)
			continue
		}
		out[name] = merge(out[name], inner)
	}
	return out
}

// view is shown with the changes of PATCH /_local/functions/{name}.
func (s *Server) view(name string) (object, bool) {
	f := s.functions[name]
	if f == nil {
		return nil, false
	}
	out := s.shown(f)
	s.mu.Lock()
	patches := slices.Clone(s.pretended[name])
	s.mu.Unlock()
	for _, patch := range patches {
		out = merge(out, normal(patch)).(object)
	}
	_, there := out["function"].(object)
	return out, there
}

// part is an object of a view.
func part(view object, name string) (object, bool) {
	out, there := view[name].(object)
	return out, there
}

// stream finds an event stream by its name.
func (s *Server) stream(name string) (object, bool) {
	for _, function := range slices.Sorted(maps.Keys(s.functions)) {
		view, _ := s.view(function)
		streams, _ := part(view, "streams")
		if found, there := part(streams, name); there {
			return found, true
		}
	}
	return nil, false
}

// page is at most limit names from one on, in order, and the name that comes after them. An empty limit means 20.
func page(names []string, from, limit string) (some []string, next string, err error) {
	count := 20
	if limit != "" {
		if count, err = strconv.Atoi(limit); err != nil || count < 1 || count > 100 {
			return nil, "", strconv.ErrRange
		}
	}
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(name string) bool { return name < from })
	if len(names) > count {
		return names[:count], names[count], nil
	}
	return names, "", nil
}
