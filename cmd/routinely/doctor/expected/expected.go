// Package expected is what the functions of a deployment and their triggers are to be, for whoever compares it with what is deployed. A test
// compares it with s.yaml, which is what makes them. It calls nothing and judges nothing.
package expected

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"routinely/shared/config"
)

// Place is which deployment is meant.
type Place struct {
	Prefix            config.Prefix
	Region, AccountID string
}

// Setting is what one setting has to be.
type Setting struct {
	// ID is that of the finding if it is something else.
	ID string
	// Path is its name in s.yaml, with full stops between the parts, such as runOptions.mode.
	Path string
	// Want is its value as Flatten writes it.
	Want string
	// Preset means that Want is also what it is if nobody has set it.
	Preset bool
	// Minor means that the deployment works with another value, too.
	Minor bool
	// Why is what another value does.
	Why string
}

// Function is what a function has to be.
type Function struct {
	// Called is its own name, such as accept, Resource that of its resource in s.yaml, Name the whole one.
	Called, Resource, Name string
	Settings               []Setting
	// Async is whether asynchronous calls of it have settings.
	Async    bool
	Triggers []Trigger
}

// Trigger is what a trigger has to be.
type Trigger struct {
	Name, Type string
	// Settings are those of its triggerConfig.
	Settings []Setting
	// Streams is whether an event stream delivers to it.
	Streams bool
}

// The own names of the functions.
const (
	Accept    = "accept"
	Provision = "provision"
	Notify    = "notify"
	Janitor   = "janitor"
)

// Functions returns the functions of a deployment, in the order of s.yaml.
func Functions(p Place) []Function {
	provision := p.function(Provision, "provisioner", size{memory: 128, timeout: 300, reserved: 1})
	provision.Triggers = []Trigger{p.queueTrigger("jobs", p.Prefix.JobQueue(), 10, 1)}
	notify := p.function(Notify, Notify, size{memory: 128, timeout: 60, reserved: 10})
	notify.Triggers = []Trigger{p.queueTrigger("callbacks", p.Prefix.CallbackQueue(), 10, 0)}
	janitor := p.function(Janitor, Janitor, size{memory: 128, timeout: 50, reserved: 1})
	janitor.Async = true
	janitor.Settings = append(
		janitor.Settings,
		Setting{
			ID: "function-async", Path: "asyncInvokeConfig.maxAsyncRetryAttempts", Want: "0",
			Why: "A run that failed is repeated although the next minute has its own.",
		},
		Setting{
			ID: "function-async", Path: "asyncInvokeConfig.maxAsyncEventAgeInSeconds", Want: "60",
			Why: "Runs that could not begin pile up instead of being dropped.",
		},
	)
	janitor.Triggers = []Trigger{timerTrigger()}
	accept := p.function(Accept, Accept, size{memory: 256, timeout: 60, reserved: 30})
	accept.Triggers = []Trigger{httpTrigger()}
	return []Function{provision, notify, janitor, accept}
}

// size is what differs from function to function: megabytes, seconds and instances.
type size struct{ memory, timeout, reserved int }

func (p Place) function(called, resource string, s size) Function {
	name := p.Prefix.Function(called)
	return Function{Called: called, Resource: resource, Name: name, Settings: []Setting{
		{ID: "function-runtime", Path: "runtime", Want: "go1", Why: "The binary starts in the runtime go1 alone."},
		{ID: "function-handler", Path: "handler", Want: "main", Why: "It names the binary in the code, which is not found otherwise."},
		{ID: "function-size", Path: "cpu", Want: "0.1", Minor: true, Why: "It is what the figures of speed and cost were measured with."},
		{
			ID: "function-size", Path: "memorySize", Want: fmt.Sprint(s.memory), Minor: true,
			Why: "With less the function can be ended in the middle of its work; more costs more.",
		},
		{ID: "function-size", Path: "diskSize", Want: "512", Minor: true, Why: "The function writes nothing; more costs more."},
		{
			ID: "function-timeout", Path: "timeout", Want: fmt.Sprint(s.timeout),
			Why: "With less time the function is ended in the middle of its work; the queues hide messages for the time it has.",
		},
		{ID: "function-role", Path: "role", Want: p.Role(name), Why: "Another role may do too much, or not what the function needs."},
		{
			ID: "function-internet", Path: "internetAccess", Want: "true", Preset: true,
			Why: "The queue service, ESA and the receivers of callbacks are reached over the internet.",
		},
		{ID: "function-concurrency", Path: "concurrencyConfig.reservedConcurrency", Want: fmt.Sprint(s.reserved), Why: concurrencyWhy(called)},
	}}
}

func concurrencyWhy(called string) string {
	if called == Provision {
		return "ESA carries out one operation of an account at a time. Further instances only meet its lock, and use up the attempts of the trigger."
	}
	return "Without a limit of its own the function takes instances from others, or they from it; with 0 it is switched off."
}

// Role is the ARN of a role of the account.
func (p Place) Role(name string) string { return "acs:ram::" + p.AccountID + ":role/" + name }

// LogWhy is what is missing of a function that keeps no log.
const LogWhy = "Nobody can see why jobs fail, and the alarms have nothing to look at."

// QueueEndpoints are the addresses by which functions may reach the queues of the account in the region, beside the one that this machine uses.
func (p Place) QueueEndpoints() []string {
	return []string{"https://" + p.AccountID + ".mns." + p.Region + ".aliyuncs.com", "http://" + p.AccountID + ".mns." + p.Region + "-internal.aliyuncs.com"}
}

// TableEndpoints are the addresses by which functions may reach an instance of Tablestore in the region, beside the one that this machine uses.
func (p Place) TableEndpoints(instance string) []string {
	at := "https://" + instance + "." + p.Region
	return []string{at + ".ots-internal.aliyuncs.com", at + ".ots.aliyuncs.com", at + ".vpc.tablestore.aliyuncs.com"}
}

// Flatten writes settings as texts by their paths. A list is its elements in order, with commas between them; what is null is not there.
func Flatten(settings map[string]any) map[string]string {
	out := map[string]string{}
	flatten(out, "", settings)
	return out
}

func flatten(out map[string]string, path string, value any) {
	switch value := value.(type) {
	case nil:
	case map[string]any:
		for name, inner := range value {
			flatten(out, strings.TrimPrefix(path+"."+name, "."), inner)
		}
	case []any:
		texts := make([]string, len(value))
		for i, one := range value {
			texts[i] = text(one)
		}
		slices.Sort(texts)
		out[path] = strings.Join(texts, ",")
	default:
		out[path] = text(value)
	}
}

func text(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case map[string]any, []any:
		encoded, _ := json.Marshal(value) // what came from JSON or YAML can be written as JSON
		return string(encoded)
	}
	return fmt.Sprint(value)
}

// Difference is a setting that is something else than it has to be.
type Difference struct {
	Setting
	// Have is what it is; empty means that nobody has set it.
	Have string
}

// Differences compares settings, as Flatten writes them, with what they have to be.
func Differences(want []Setting, have map[string]string) []Difference {
	var out []Difference
	for _, one := range want {
		value, set := have[one.Path]
		if value != one.Want && (set || !one.Preset) {
			out = append(out, Difference{one, value})
		}
	}
	return out
}
