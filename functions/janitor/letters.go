package janitor

import (
	"context"
	"fmt"

	"routinely/queue"
	"routinely/shared/dispatch"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// outcome is what became of one message of the dead-letter queue.
type outcome string

const (
	redelivered    outcome = "redelivered"
	givenUp        outcome = "given-up"
	filed          outcome = "filed"
	callbackFailed outcome = "callback-failed"
	passed         outcome = "passed"
	left           outcome = "left"
)

// count counts the outcome of a delivery and writes its line.
func (r *run) count(ctx context.Context, d queue.Delivery, what outcome, err error) {
	counter := map[outcome]*int{
		redelivered: &r.out.Redelivered, givenUp: &r.out.GivenUp, filed: &r.out.Filed, callbackFailed: &r.out.CallbacksFailed,
		passed: &r.out.Passed, left: &r.out.Left,
	}[what]
	*counter++
	job, parent := d.Envelope.JobID, d.Envelope.Trace
	if d.Callback != nil {
		job, parent = d.Callback.JobID, d.Callback.Trace
	}
	fields := logging.Fields{logging.Event: logging.DeliveryEnded, logging.Outcome: what, logging.MessageID: d.MessageID}
	switch what {
	case givenUp, filed:
		fields[logging.Event], fields[logging.State], fields[logging.Code] = logging.JobEnded, routine.DeadLettered, codeOf(d, what)
	case callbackFailed:
		fields[logging.Event] = logging.CallbackEnded
	case redelivered, passed, left:
	}
	log := logging.Of(ctx, job, parent.ID()).WithFields(fields)
	switch {
	case err != nil:
		log.WithField(logging.Error, err.Error()).Warn("a dead letter of a trigger")
	case what == givenUp || what == filed:
		log.Error("a dead letter of a trigger")
	default:
		log.Info("a dead letter of a trigger")
	}
}

// codeOf is why a delivery has become a dead letter: empty for one whose job is not in the ledger or asks for something else.
func codeOf(d queue.Delivery, what outcome) string {
	if what == givenUp {
		return undelivered().Code
	}
	if unreadable := dispatch.Unreadable(d); unreadable != nil {
		return unreadable.Code
	}
	return ""
}

const reasonUndelivered = "the trigger has used up its retries"

// undelivered is why a job is dead that its worker never settled.
func undelivered() *fault.Error {
	return &fault.Error{
		Kind: fault.Unavailable, Code: "Undelivered", Message: "the function provision did not take the message from its trigger",
		Hint: "Look at the trigger, and for errors of the function provision in its log; then redrive.",
	}
}

func unknownCallback(d queue.Delivery) *fault.Error {
	return &fault.Error{
		Kind: fault.NotFound, Code: ledger.CodeUnknownJob, Message: fmt.Sprintf("a callback of job %q, which is not in the ledger", d.Callback.JobID),
		Hint: "The job was forgotten, or belongs to another deployment. Nothing can be redriven: drop it.",
	}
}
