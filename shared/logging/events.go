package logging

// Event names the kind of an outcome line; other lines have none. deploy/observability/schema.json says which fields the lines of each kind have, and
// docs/reference/log.md explains them. Alerts and dashboards search for these names: they do not change their meaning.
const Event = "event"

// The kinds of outcome lines.
const (
	// JobAccepted: accept has promised a job, or has found it promised already.
	JobAccepted = "job.accepted"
	// JobEnded: a job is in a final state.
	JobEnded = "job.ended"
	// DeliveryEnded: a message of a queue is dealt with, and neither a job nor a callback has ended by it.
	DeliveryEnded = "delivery.ended"
	// CallbackEnded: a callback is delivered or given up.
	CallbackEnded = "callback.ended"
	// InvocationEnded: the worker is done with an event.
	InvocationEnded = "invocation.ended"
	// InvocationFailed: a function has returned an error to the platform, or has panicked.
	InvocationFailed = "invocation.failed"
	// AccountSeen: the janitor has made a run. The line has what the run did, and how the deployment is.
	AccountSeen = "account.seen"
	// TaskFailed: a task of the janitor's run has failed.
	TaskFailed = "task.failed"
	// RequestFailed: accept has answered with an error that is not the caller's mistake.
	RequestFailed = "request.failed"
	// CallerRefused: accept did not let a caller in, or not so often.
	CallerRefused = "caller.refused"
	// LaneParked and LaneResumed: the lane has stopped because ESA works for no job, and runs again.
	LaneParked  = "lane.parked"
	LaneResumed = "lane.resumed"
)

// Fields of the outcome lines. All are numbers but State, Lane, Reason, Action, Task and those that end in More. A number that could not be read is
// left out; it is never 0 instead.
const (
	State  = "state"  // of the job
	Action = "action" // that the job asks for
	Reason = "reason"
	Task   = "task"
	// ESACalls is how many calls of ESA one delivery of the job took.
	ESACalls = "esaCalls"
	// DurationMs is how long an invocation took, in milliseconds, and LaneBusyMs how long of it jobs ran.
	DurationMs = "durationMs"
	LaneBusyMs = "laneBusyMs"
	Messages   = "messages"
	LeftOut    = "leftOut" // refused callers without a line of their own
	Status     = "status"  // of an HTTP answer

	Sent            = "sent"
	SentAgain       = "sentAgain"
	Redelivered     = "redelivered"
	GivenUp         = "givenUp"
	Filed           = "filed"
	CallbacksFailed = "callbacksFailed"
	Passed          = "passed"
	Left            = "left"
	Expired         = "expired"
	Told            = "told"
	More            = "more"
	FailedTasks     = "failedTasks"

	Lane = "lane"
	// Parked and Paused are 1 while the lane is parked or paused, and 0 otherwise; the others are for how long, in seconds.
	Parked        = "parked"
	ParkedSeconds = "parkedSeconds"
	Paused        = "paused"
	PausedSeconds = "pausedSeconds"
	// WaitingJobs counts the unfinished jobs that were accepted first, at most 100; WaitingMore says that there are more. The fields of the reasons count
	// the same jobs.
	WaitingJobs        = "waitingJobs"
	WaitingMore        = "waitingMore"
	WaitingQueue       = "waitingQueue"
	WaitingTurn        = "waitingTurn"
	WaitingAccountLock = "waitingAccountLock"
	WaitingBackoff     = "waitingBackoff"
	WaitingThrottle    = "waitingThrottle"
	WaitingParked      = "waitingParked"
	WaitingPaused      = "waitingPaused"
	// OldestJobAgeSeconds is the time since the oldest unfinished job was accepted; 0 if none is unfinished.
	OldestJobAgeSeconds = "oldestJobAgeSeconds"
	// DeadLetters counts dead letters, at most 1000; DeadLettersMore says that there are more.
	DeadLetters     = "deadLetters"
	DeadLettersMore = "deadLettersMore"
	// DeadLetterQueueMessages is how many messages the dead-letter queue has after the run, hidden ones included; MNS counts with some delay.
	DeadLetterQueueMessages = "deadLetterQueueMessages"
	// QuotaLimit is how many routines the account may have, QuotaUsed how many it has, QuotaUsedPercent the second as a part of the first.
	QuotaLimit       = "quotaLimit"
	QuotaUsed        = "quotaUsed"
	QuotaUsedPercent = "quotaUsedPercent"
)
