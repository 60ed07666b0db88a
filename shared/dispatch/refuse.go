package dispatch

import (
	"errors"
	"fmt"

	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// Unreadable is why a message holds neither a job that can be run nor a callback; nil if it does.
func Unreadable(d queue.Delivery) *fault.Error {
	if fault.HasCode(d.Err, queue.CodeUnknownKey) {
		return fault.From(d.Err)
	}
	code, err := "UnreadableMessage", d.Err
	var invalid *routine.Invalid
	switch {
	case d.Callback != nil:
		return nil
	case errors.As(err, &invalid) && !invalid.Malformed:
		code = "InvalidRequest"
	case err == nil:
		if err = d.Envelope.Check(); err == nil {
			return nil
		}
		code = fault.From(err).Code
	}
	return refused(code, err)
}

// Misplaced is the fault of a callback on the job queue.
func Misplaced() *fault.Error {
	return refused("UnreadableMessage", errors.New("a callback on the job queue"))
}

func refused(code string, err error) *fault.Error {
	return &fault.Error{
		Kind: fault.Invalid, Code: code, Message: err.Error(), Err: err,
		Hint: "If it was meant as a request, correct it and submit it again; the message as received is kept here. Then drop this one.",
	}
}

// UnknownJob is the fault of an envelope of ours whose job is not in the ledger.
func UnknownJob(d queue.Delivery) *fault.Error {
	return &fault.Error{
		Kind: fault.NotFound, Code: ledger.CodeUnknownJob, Message: fmt.Sprintf("job %q is not in the ledger", d.Envelope.JobID),
		Hint: "The job was forgotten, or belongs to another deployment. If it is to be carried out, redrive it.",
	}
}

// KeyReused is the fault of a message under the id of a job that asks for something else.
func KeyReused(d queue.Delivery) *fault.Error {
	return &fault.Error{
		Kind: fault.Conflict, Code: "KeyReused", Message: fmt.Sprintf("job %q asks for something else", d.Envelope.JobID),
		Hint: "Whoever sent this message used an id twice. Redrive it to carry it out as a job of its own, or drop it.",
	}
}
