package deploy_test

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// commands are the words the component takes after `s`. A resource of such a name cannot be deployed alone.
var commands = strings.Fields("alias build concurrency deploy info instance invoke layer list local logs model plan provision remove s2tos3 scaling session sync version")

// rules returns what is wrong with a resource by the rules that are in Function Compute's and EventBridge's documents and not
// in the component's schema: the open maps, limits, and defaults that lose messages.
func rules(name string, props map[string]any) []string {
	var r report
	r.want(!slices.Contains(commands, name), "resource %s: the tool has a command of that name", name)
	function := fmt.Sprint(props["functionName"])
	r.want(len(function) <= 64, "functionName: longer than 64 characters")
	r.environment(object(props["environmentVariables"]))
	memory, cpu := number(props["memorySize"]), number(props["cpu"])
	r.want(math.Mod(memory, 64) == 0 && memory >= 128, "memorySize: %v is not a multiple of 64 from 128 on", memory)
	r.want(isMultiple(cpu, 0.05), "cpu: %v is not a multiple of 0.05", cpu)
	ratio := memory / 1024 / cpu
	r.want(ratio >= 1 && ratio <= 4, "cpu and memorySize: %.2f GB for a vCPU, want 1 to 4", ratio)
	r.want(props["diskSize"] == uint64(512) || props["diskSize"] == uint64(10240), "diskSize: %v is not 512 or 10240", props["diskSize"])
	r.want(props["role"] == strings.ToLower(fmt.Sprint(props["role"])), "role: the component writes %v in lower case", props["role"])
	// A hook that the binary has not registered fails each start of an instance.
	r = append(r, unknown("instanceLifecycleConfig", object(props["instanceLifecycleConfig"]), []string{"preStop"})...)
	triggers := list(props["triggers"])
	for i, trigger := range triggers {
		r.trigger(object(trigger), props, i == len(triggers)-1)
	}
	return r
}

// report collects the rules that are broken.
type report []string

func (r *report) want(ok bool, format string, args ...any) {
	if !ok {
		*r = append(*r, fmt.Sprintf(format, args...))
	}
}

var environmentName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

func (r *report) environment(variables map[string]any) {
	size := 0
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		value, ok := variables[name].(string)
		r.want(ok, "environment variable %s: %v is not text", name, variables[name])
		r.want(environmentName.MatchString(name), "environment variable %s: not a name", name)
		r.want(!strings.HasPrefix(name, "FC_"), "environment variable %s: FC_ is the platform's", name)
		size += len(name) + len(value)
	}
	r.want(size <= 4096, "environment variables: %d bytes, at most 4096 are possible", size)
}

func (r *report) trigger(trigger, props map[string]any, last bool) {
	name := fmt.Sprint(trigger["triggerName"])
	r.want(len(name) <= 128, "trigger %s: name longer than 128 characters", name)
	if trigger["triggerType"] != "eventbridge" {
		return
	}
	r.want(last, "trigger %s: the component skips the triggers behind an eventbridge trigger", name)
	r.want(trigger["invocationRole"] == nil, "trigger %s: with an invocationRole every deployment updates it again", name)
	r.want(number(props["timeout"]) <= 300, "timeout: EventBridge waits 300 seconds, not %v", props["timeout"])
	r.instances(fmt.Sprint(props["functionName"]), number(at(props, "concurrencyConfig", "reservedConcurrency")))
	r.eventBridge(object(trigger["triggerConfig"]))
	window := number(at(trigger, "triggerConfig", "runOptions", "batchWindow", "CountBasedWindow"))
	if isNotify(fmt.Sprint(props["functionName"])) {
		r.want(window >= 1 && window <= 16, "CountBasedWindow: want 1 to 16, each is posted at the same time")
		return
	}
	r.want(window >= 1 && window <= 10, "CountBasedWindow: want 1 to 10, since jobs run one after the other")
}

// isNotify tells the function of callbacks, by its own name behind the prefix.
func isNotify(function string) bool { return strings.HasSuffix(function, "-notify") }

// instances holds a function to the number of instances it may have.
func (r *report) instances(function string, most float64) {
	if isNotify(function) {
		r.want(most >= 2 && most <= 20, "reservedConcurrency: want 2 to 20, callbacks must neither wait for each other nor take the region's instances")
		return
	}
	r.want(most == 1, "reservedConcurrency: want 1, one routine operation runs per account")
}

var arn = regexp.MustCompile(`^acs:mns:[a-z0-9-]+:[0-9]+:/queues/[A-Za-z0-9][A-Za-z0-9-]{0,119}$`)

func (r *report) eventBridge(config map[string]any) {
	r.want(config["triggerEnable"] == true, "triggerEnable: the trigger is off")
	r.want(config["asyncInvocationType"] == false, "asyncInvocationType: an asynchronous call reports no failure to EventBridge")
	source := object(config["eventSourceConfig"])
	r.want(source["eventSourceType"] == "MNS", "eventSourceType: %v is not MNS", source["eventSourceType"])
	*r = append(*r, unknown("eventSourceParameters", object(source["eventSourceParameters"]), []string{"sourceMNSParameters"})...)
	queue := object(at(source, "eventSourceParameters", "sourceMNSParameters"))
	*r = append(*r, unknown("sourceMNSParameters", queue, []string{"RegionId", "QueueName", "IsBase64Decode"})...)
	r.want(queue["RegionId"] != nil && queue["QueueName"] != nil, "sourceMNSParameters: want RegionId and QueueName")
	r.want(queue["IsBase64Decode"] == false, "IsBase64Decode: the functions send text as it is")
	delivery := object(at(config, "eventSinkConfig", "deliveryOption"))
	*r = append(*r, unknown("deliveryOption", delivery, []string{"eventSchema"})...)
	r.want(delivery["eventSchema"] == "CloudEvents", "eventSchema: %v is not CloudEvents", delivery["eventSchema"])
	r.runOptions(object(config["runOptions"]))
}

func (r *report) runOptions(options map[string]any) {
	known := []string{"mode", "errorsTolerance", "retryStrategy", "batchWindow", "deadLetterQueue"}
	*r = append(*r, unknown("runOptions", options, known)...)
	r.want(options["mode"] == "event-streaming", "mode: %v has no run options", options["mode"])
	r.want(options["errorsTolerance"] == "ALL", "errorsTolerance: %v stops the stream at the first job that fails for good", options["errorsTolerance"])
	retry := object(options["retryStrategy"])
	*r = append(*r, unknown("retryStrategy", retry, []string{"PushRetryStrategy"})...)
	r.want(retry["PushRetryStrategy"] == "EXPONENTIAL_DECAY_RETRY", "PushRetryStrategy: %v gives up within a minute", retry["PushRetryStrategy"])
	window := object(options["batchWindow"])
	*r = append(*r, unknown("batchWindow", window, []string{"CountBasedWindow", "TimeBasedWindow"})...)
	collected := number(window["TimeBasedWindow"])
	r.want(collected >= 0 && collected <= 15, "TimeBasedWindow: want 0 to 15 seconds, as EventBridge takes it")
	letters := object(options["deadLetterQueue"])
	*r = append(*r, unknown("deadLetterQueue", letters, []string{"Arn"})...)
	r.want(arn.MatchString(fmt.Sprint(letters["Arn"])), "deadLetterQueue: %v is not the ARN of a queue", letters["Arn"])
}

func isMultiple(value, step float64) bool {
	times := value / step
	return value > 0 && math.Abs(times-math.Round(times)) < 1e-9
}
