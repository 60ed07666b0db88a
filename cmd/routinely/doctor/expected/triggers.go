package expected

import "fmt"

// The kinds of triggers.
const (
	eventBridge = "eventbridge"
	timer       = "timer"
	overHTTP    = "http"
)

// Off is the ID of the setting that a trigger is on.
const Off = "trigger-off"

const offWhy = "The trigger is off: nothing calls the function."

// queueTrigger delivers the messages of a queue: at most so many at once, collected for so many seconds.
func (p Place) queueTrigger(name, queue string, count, seconds int) Trigger {
	const source = "eventSourceConfig.eventSourceParameters.sourceMNSParameters."
	return Trigger{Name: name, Type: eventBridge, Streams: true, Settings: []Setting{
		{ID: Off, Path: "triggerEnable", Want: "true", Why: offWhy},
		{
			ID: "trigger-asynchronous", Path: "asyncInvocationType", Want: "false", Preset: true,
			Why: "EventBridge learns of no failure, and deletes messages that nobody has worked off.",
		},
		{
			ID: "trigger-filter", Path: "eventRuleFilterPattern", Want: "{}", Preset: true,
			Why: "Messages that do not fit the filter are deleted, and nobody works them off.",
		},
		{ID: "trigger-source", Path: "eventSourceConfig.eventSourceType", Want: "MNS", Why: "The messages are on a queue of the queue service."},
		{ID: "trigger-source", Path: source + "RegionId", Want: p.Region, Why: "The queue is in the region of the deployment."},
		{ID: "trigger-source", Path: source + "QueueName", Want: queue, Why: "The function gets the messages of another queue, and nobody those of this one."},
		{ID: "trigger-base64", Path: source + "IsBase64Decode", Want: "false", Why: "EventBridge decodes texts that are not encoded, and the function cannot read them."},
		{
			ID: "trigger-format", Path: "eventSinkConfig.deliveryOption.eventSchema", Want: "CloudEvents", Preset: true,
			Why: "It is the form of the events that the tests of the function cover.",
		},
		{
			ID: "trigger-mode", Path: "runOptions.mode", Want: "event-streaming",
			Why: "Only an event stream delivers several messages at once, and one call after the other.",
		},
		{
			ID: "trigger-tolerance", Path: "runOptions.errorsTolerance", Want: "ALL",
			Why: "With NONE the stream stops for good at the first message that cannot be delivered.",
		},
		{
			ID: "trigger-retry", Path: "runOptions.retryStrategy.PushRetryStrategy", Want: "EXPONENTIAL_DECAY_RETRY",
			Why: "Another strategy gives up within a minute, which one throttled call can take.",
		},
		{
			ID: "trigger-window", Path: "runOptions.batchWindow.CountBasedWindow", Want: fmt.Sprint(count), Minor: true,
			Why: "It is how many messages one call gets at most; cost and speed follow from it.",
		},
		{
			ID: "trigger-window", Path: "runOptions.batchWindow.TimeBasedWindow", Want: fmt.Sprint(seconds), Preset: seconds == 0, Minor: true,
			Why: "It is for how many seconds messages are collected; with 0 a call may get one message alone.",
		},
		{
			ID: "trigger-dead-letters", Path: "runOptions.deadLetterQueue.Arn", Want: "acs:mns:" + p.Region + ":" + p.AccountID + ":/queues/" + p.Prefix.DeadLetterQueue(),
			Why: "Messages that cannot be delivered for a day are dropped, or go where the janitor does not look.",
		},
	}}
}

func timerTrigger() Trigger {
	return Trigger{Name: "every-minute", Type: timer, Settings: []Setting{
		{ID: Off, Path: "enable", Want: "true", Why: offWhy},
		{ID: "trigger-schedule", Path: "cronExpression", Want: "@every 1m", Why: "Sends that are due, dead letters and the ends of routines wait for the next run."},
		{ID: "trigger-schedule", Path: "payload", Want: "", Preset: true, Minor: true, Why: "The janitor reads none."},
	}}
}

func httpTrigger() Trigger {
	return Trigger{Name: "http", Type: overHTTP, Settings: []Setting{
		{
			ID: "http-callers", Path: "authType", Want: "anonymous",
			Why: "accept asks its callers for a token itself. Whoever has no signature of the account is refused before.",
		},
		{ID: "http-internet", Path: "disableURLInternet", Want: "false", Preset: true, Why: "Callers on the internet are refused before accept sees them."},
		{ID: "http-methods", Path: "methods", Want: "DELETE,GET,HEAD,POST", Why: "Calls with a method that is missing are refused before accept sees them."},
	}}
}
