package janitor

import (
	"context"

	"routinely/shared/fault"
	"routinely/shared/logging"
)

// Report is what a run did, in numbers.
type Report struct {
	// Sent counts the messages and callbacks that were due and are sent.
	Sent int `json:"sent"`
	// SentAgain counts the jobs without news whose message was sent again.
	SentAgain int `json:"sentAgain"`
	// Redelivered, GivenUp, Filed, CallbacksFailed and Passed count the messages of the dead-letter queue: jobs and callbacks that were sent again,
	// those of jobs that are dead letters now, those that hold no job of ours and are dead letters now, callbacks that nobody took, and those with
	// nothing to do. Left counts those that stay there for the next run.
	Redelivered     int `json:"redelivered"`
	GivenUp         int `json:"givenUp"`
	Filed           int `json:"filed"`
	CallbacksFailed int `json:"callbacksFailed"`
	Passed          int `json:"passed"`
	Left            int `json:"left"`
	// Expired counts the jobs that were made about routines whose time is over.
	Expired int `json:"expired"`
	// Told counts the jobs that will be forgotten soon and were told of.
	Told int `json:"told"`
	// More means that the run was over before its work.
	More bool `json:"more"`
	// Failed lists the tasks that failed; the next run does them again.
	Failed []Failure `json:"failed,omitempty"`
}

// Failure is why a task failed.
type Failure struct {
	Task  string     `json:"task"`
	Kind  fault.Kind `json:"kind"`
	Code  string     `json:"code"`
	Error string     `json:"error"`
	Hint  string     `json:"hint,omitempty"`
}

// fail notes and logs the failure of a task.
func (r *run) fail(ctx context.Context, task string, err error) {
	failure := fault.From(err)
	r.out.Failed = append(r.out.Failed, Failure{task, failure.Kind, failure.Code, err.Error(), failure.Hint})
	logging.From(ctx).WithFields(logging.Fields{
		logging.Event: logging.TaskFailed, logging.Task: task, logging.Kind: failure.Kind, logging.Step: failure.Step, logging.Code: failure.Code, logging.Error: err.Error(), logging.Hint: failure.Hint,
	}).Error("a task of the janitor failed")
}

// log writes the one line of a run: what it did, and how the deployment is.
func (r Report) log(ctx context.Context, seen logging.Fields) {
	logging.From(ctx).WithFields(seen).WithFields(logging.Fields{
		logging.Event: logging.AccountSeen,
		logging.Sent:  r.Sent, logging.SentAgain: r.SentAgain, logging.Redelivered: r.Redelivered, logging.GivenUp: r.GivenUp, logging.Filed: r.Filed,
		logging.CallbacksFailed: r.CallbacksFailed, logging.Passed: r.Passed, logging.Left: r.Left, logging.Expired: r.Expired, logging.Told: r.Told,
		logging.More: r.More, logging.FailedTasks: len(r.Failed),
	}).Info("the janitor is done")
}
