package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Codes of changes that a job does not take.
const (
	// CodeUnknownJob: no such job is recorded.
	CodeUnknownJob = "UnknownJob"
	// CodeChanged: another writer came first.
	CodeChanged = "Changed"
	// CodeNotDead: the job is not a dead letter, or not of the round that was meant.
	CodeNotDead = "NotDeadLettered"
	// CodeEnded: the job has ended, or another delivery of it is on its way.
	CodeEnded = "Ended"
	// CodeBegun: a worker has begun with the job.
	CodeBegun = "Begun"
)

// NewAttempt is the attempt that came to a failure.
func NewAttempt(number int, at time.Time, failure *fault.Error) routine.Attempt {
	return routine.Attempt{
		Number: number, At: stored(at), Step: routine.Step(failure.Step), Kind: string(failure.Kind), Code: failure.Code,
		RequestID: failure.RequestID, Message: failure.Error(), Hint: failure.Hint,
	}
}

// Hash tells requests apart. It is the same for requests that mean the same, being made of the request after decoding.
func Hash(r routine.Request) string {
	sum := sha256.Sum256([]byte(encode(r)))
	return hex.EncodeToString(sum[:])
}

// NewRow is the row of a job that is accepted: ID, Caller, Key, ClaimsJob, AcceptedAt, ProducedAt and Request of job are read. It waits for its
// first delivery.
func NewRow(job routine.Job) Row {
	at := stored(job.AcceptedAt)
	return Row{
		Job: routine.Job{
			ID: job.ID, State: routine.Queued, Request: job.Request, Caller: cut(job.Caller, maxWord), Key: job.Key, ClaimsJob: job.ClaimsJob,
			AcceptedAt: at, ProducedAt: stored(job.ProducedAt), UpdatedAt: at, Attempt: 1, Waiting: &routine.Waiting{For: routine.ForQueue, Since: at},
		},
		Number: 1, Hashes: []string{Hash(job.Request)},
	}
}

// Unreadable is the row of a dead letter made of a message that holds no job, or none that can be run. Of job is read what NewRow reads and,
// as far as there is one, Redriven. A request that no message could hold is kept without its description, and of a
// message longer than MNS takes any its beginning.
func Unreadable(job routine.Job, failure routine.Attempt, reason string, origin Origin, problems []routine.Problem, received *routine.Received) Row {
	if len(encode(job.Request)) > maxRequest {
		job.Request.Description = nil
	}
	r := NewRow(job)
	if received != nil && len(received.Body) > maxReceived {
		short := *received
		short.Body = strings.ToValidUTF8(short.Body[:maxReceived], "")
		received = &short
	}
	r.Problems, r.Received = problems, received
	r.Attempt, r.Redriven = 0, job.Redriven
	r.die(failure, reason, origin)
	return r
}

// StandsFor reports whether the job's id stands for the request: the present one, or one that a correction replaced.
func (r *Row) StandsFor(request routine.Request) bool {
	return slices.Contains(r.Hashes, Hash(request))
}

// Standing is how a delivery relates to its job's row.
type Standing int

// The standings of a delivery.
const (
	// Ours: the delivery is to be worked on.
	Ours Standing = iota
	// Over: the job has ended in the delivery's round or a later one.
	Over
	// Passed: a later delivery of the job is on its way.
	Passed
	// Ahead: the delivery is of a round that the row does not know.
	Ahead
)

// Standing compares a delivery, by its round and number, with the row. A higher number of the same round is ours: the hand-over that sent
// it could not be recorded.
func (r *Row) Standing(round, number int) Standing {
	switch {
	case round > r.Redriven:
		return Ahead
	case r.State.Final():
		return Over
	case round < r.Redriven, number < r.Number:
		return Passed
	}
	return Ours
}

// Begin marks that a worker begins with delivery number, with the progress as it is now.
func (r *Row) Begin(number int, progress routine.Progress, now time.Time) {
	if number > r.Number {
		r.Number, r.Begins = number, 0
	}
	r.Begins++
	if r.StartedAt.IsZero() {
		r.StartedAt = stored(now)
	}
	r.Waiting, r.DueAt = nil, time.Time{}
	r.Look(progress, now)
}

// Look records the progress of a delivery that was begun, right before its next call.
func (r *Row) Look(progress routine.Progress, now time.Time) {
	r.Progress, r.Begun, r.UpdatedAt = progress, stored(now), stored(now)
}

// Known is the progress as far as it is known. A delivery that was begun and never settled may have made the record.
func (r *Row) Known() routine.Progress {
	known := r.Progress
	known.RecordUnknown = known.RecordUnknown || !r.Begun.IsZero()
	return known
}

// HandOver is how a job goes back to the queue.
type HandOver struct {
	// Failure is why. It counts as an attempt only if Counted.
	Failure routine.Attempt
	Counted bool
	// Waiting is what the job waits for.
	Waiting routine.Waiting
	// Progress is what the steps have achieved so far.
	Progress routine.Progress
	// Sent says that MNS has confirmed the message of the next delivery, sealed under the key SealedUnder. Otherwise its send is due when the
	// job's turn is.
	Sent        bool
	SealedUnder string
}

// HandOver settles a delivery: the next one has number.
func (r *Row) HandOver(number int, h HandOver, now time.Time) {
	now = stored(now)
	r.Number = number
	r.Begun, r.Begins, r.UpdatedAt, r.Progress = time.Time{}, 0, now, h.Progress
	r.blame(h.Failure)
	if h.Counted {
		r.Attempts = remember(r.Attempts, *r.Last)
		r.Attempt++
	} else {
		r.HandedBack++
	}
	waiting := h.Waiting
	waiting.Since, waiting.Until = stored(waiting.Since), stored(waiting.Until)
	r.Waiting, r.DueAt = &waiting, time.Time{}
	r.SealedUnder = h.SealedUnder
	if !h.Sent {
		r.due(slices.MaxFunc([]time.Time{now, waiting.Until}, time.Time.Compare))
	}
}

// due marks that something has to be sent.
func (r *Row) due(at time.Time) {
	r.DueAt = stored(at)
	r.Dues++
}

// Answered marks that ESA has answered, unless it has before in this round. stopped is how long the lane was stopped in all by then.
func (r *Row) Answered(at time.Time, stopped time.Duration) {
	if r.AnsweredAt.IsZero() {
		r.AnsweredAt, r.AnsweredStopped = stored(at), stopped
	}
}

// Age is how long ago ESA first answered in this round, without the time in which the lane was stopped; 0 if ESA has not answered. stopped is
// how long the lane was stopped in all by now.
func (r *Row) Age(now time.Time, stopped time.Duration) time.Duration {
	if r.AnsweredAt.IsZero() {
		return 0
	}
	return now.Sub(r.AnsweredAt) - max(0, stopped-r.AnsweredStopped)
}

// Succeed ends the job. If somebody wants to be told, the callback is due at callbackDue.
func (r *Row) Succeed(result routine.Result, progress routine.Progress, now, callbackDue time.Time) {
	r.end(routine.Succeeded, now)
	makes := r.Request.Action == routine.Create || r.Request.Action == routine.Renew || r.Request.Action == routine.TakeOwnership
	passed := slices.ContainsFunc(result.Records, func(one routine.RecordResult) bool { return one.Outcome == routine.Passed })
	r.Ready, r.Result, r.Progress, r.Left = makes && !passed, &result, progress, r.elsewhere()
	r.Kind, r.Code, r.Hint, r.Reason, r.By, r.Last = "", "", "", "", "", nil
	r.tell(callbackDue)
}

// Supersede ends a job with nothing left to do, because a newer one is about the same things.
func (r *Row) Supersede(by string, progress routine.Progress, now, callbackDue time.Time) {
	r.end(routine.Superseded, now)
	r.SupersededBy, r.Progress, r.Left = by, progress, r.elsewhere()
	r.Kind, r.Code, r.Hint, r.Reason, r.By, r.Last = "", "", "", "", "", nil
	r.tell(callbackDue)
}

// IntentNumber is the number that orders the job among those about the same things.
func (r *Row) IntentNumber() int64 {
	if r.Intent != 0 {
		return r.Intent
	}
	return routine.NextNumber(r.AcceptedAt)
}

// Die gives the job up because of a failure. If somebody wants to be told, the callback is due at callbackDue.
func (r *Row) Die(failure routine.Attempt, reason string, origin Origin, progress routine.Progress, callbackDue time.Time) {
	r.Progress = progress
	r.die(failure, reason, origin)
	r.tell(callbackDue)
}

func (r *Row) die(failure routine.Attempt, reason string, origin Origin) {
	r.end(routine.DeadLettered, failure.At)
	r.DiedAt, r.Origin, r.Reason, r.By = r.UpdatedAt, origin, cut(reason, maxText), ""
	r.blame(failure)
	r.Attempts = remember(r.Attempts, *r.Last)
	r.Left = r.left()
}

func (r *Row) end(state routine.State, now time.Time) {
	r.State, r.UpdatedAt = state, stored(now)
	r.Begun, r.Begins, r.DueAt, r.SentAt, r.Waiting = time.Time{}, 0, time.Time{}, time.Time{}, nil
}

// tell marks a callback as due if the request asks for one.
func (r *Row) tell(due time.Time) {
	if r.Callback = nil; r.Request.CallbackURL != "" {
		r.due(due)
	}
}

func (r *Row) blame(failure routine.Attempt) {
	failure.At, failure.Redriven = stored(failure.At), r.Redriven
	failure.Kind, failure.Code, failure.RequestID = cut(failure.Kind, maxWord), cut(failure.Code, maxWord), cut(failure.RequestID, maxWord)
	failure.Step = routine.Step(cut(string(failure.Step), maxWord))
	failure.Message, failure.Hint = cut(failure.Message, maxText), cut(failure.Hint, maxText)
	r.Last, r.Kind, r.Code, r.Hint = &failure, failure.Kind, failure.Code, failure.Hint
}

// remember returns the attempts with one more, and without the second and those behind it that are too many.
func remember(attempts []routine.Attempt, a routine.Attempt) []routine.Attempt {
	attempts = append(slices.Clone(attempts), a)
	if over := len(attempts) - maxAttempts; over > 0 {
		attempts = append(attempts[:1:1], attempts[1+over:]...)
	}
	return attempts
}

// CancelAfter is how long a begun delivery keeps a job from being cancelled: an invocation lives five minutes, and what is begun for
// longer was given up by its worker.
const CancelAfter = 10 * time.Minute

// Cancel calls an unfinished job off. A job that a worker has begun with is a fault with CodeBegun that says when to ask again.
func (r *Row) Cancel(by, reason string, now time.Time) error {
	if r.State.Final() {
		return r.refuse(CodeEnded, fmt.Sprintf("the job is %s", r.State))
	}
	if r.Request.Action.Deletes() && !r.StartedAt.IsZero() { // something may be deleted already
		return r.refuse(CodeBegun, "a worker has begun with the deletion")
	}
	if wait := r.Begun.Add(CancelAfter).Sub(stored(now)); !r.Begun.IsZero() && wait > 0 {
		refused := r.refuse(CodeBegun, "a worker has begun with the job")
		refused.RetryAfter = wait
		return refused
	}
	r.Progress = r.Known()
	left := r.left()
	r.end(routine.Cancelled, now)
	r.By, r.Reason, r.Left = cut(by, maxWord), cut(reason, maxText), left
	return nil
}

// Drop leaves a dead letter undone.
func (r *Row) Drop(by, reason string, now time.Time) error {
	if r.State != routine.DeadLettered {
		return r.refuse(CodeNotDead, fmt.Sprintf("the job is %s", r.State))
	}
	due := r.DueAt // the news of its death is still owed
	r.end(routine.Dropped, now)
	r.DiedOf = r.Reason
	r.DueAt, r.By, r.Reason = due, cut(by, maxWord), cut(reason, maxText)
	return nil
}

// Due marks that the job's message has to be sent: MNS did not confirm it. It is without effect once a worker has told something of it.
func (r *Row) Due(at time.Time) error {
	if !r.Unstarted() {
		return r.refuse(CodeEnded, "the job is under way")
	}
	r.due(at)
	return nil
}

// Unstarted reports whether no worker has told anything of the job in this round, so that its message may never have been sent.
func (r *Row) Unstarted() bool {
	return r.State == routine.Queued && r.StartedAt.IsZero() && r.Number == 1
}

// Sent clears what was due: MNS has the message, or the callback. round and number are those of what was sent, and sealedUnder names the key.
func (r *Row) Sent(round, number int, sealedUnder string, now time.Time) error {
	if r.DueAt.IsZero() || round != r.Redriven || number != r.Number {
		return r.refuse(CodeEnded, "nothing is due any more")
	}
	r.DueAt = time.Time{}
	if r.State.Final() {
		r.Callback = &routine.CallbackStatus{State: routine.HandedOver}
		return nil
	}
	r.SentAt, r.SealedUnder = stored(now), sealedUnder
	return nil
}

// SendAgain marks the message of an unfinished job as due again, begun or not: what became of the one before is not known.
func (r *Row) SendAgain(at time.Time) error {
	if r.State.Final() {
		return r.refuse(CodeEnded, fmt.Sprintf("the job is %s", r.State))
	}
	r.due(at)
	return nil
}

// CallbackDue marks the callback of an ended job as due again.
func (r *Row) CallbackDue(at time.Time) error {
	switch {
	case r.Request.CallbackURL == "":
		return r.refuse(CodeNoCallback, "the request names no callbackUrl")
	case r.State != routine.Succeeded && r.State != routine.DeadLettered && r.State != routine.Superseded:
		return r.refuse(CodeNoCallback, fmt.Sprintf("the job is %s: nobody is told of that", r.State))
	}
	r.Callback = nil
	r.due(at)
	return nil
}

// CodeNoCallback: the job has no callback to send.
const CodeNoCallback = "NoCallback"

// CallbackFailed records that the receiver did not take the news of the round's end.
func (r *Row) CallbackFailed(round, attempts, lastStatus int) error {
	if r.Callback == nil || round != r.Redriven || !r.DueAt.IsZero() {
		return r.refuse(CodeEnded, "the callback is of an earlier end of the job, or is sent again")
	}
	r.Callback = &routine.CallbackStatus{State: routine.CallbackFailed, Attempts: attempts, LastStatus: lastStatus}
	return nil
}

// CountUndelivered counts a dead letter of the trigger, by its MNS id, and returns how many there were in this round. One that is seen
// twice counts once. Beyond maxUndelivered none is kept, and the count is one more: a message that is sent again and again does not fill the row.
func (r *Row) CountUndelivered(messageID string) int {
	switch id := cut(messageID, maxWord); {
	case slices.Contains(r.Undelivered, id):
	case len(r.Undelivered) == maxUndelivered:
		return maxUndelivered + 1
	default:
		r.Undelivered = append(slices.Clone(r.Undelivered), id)
	}
	return len(r.Undelivered)
}

func (r *Row) refuse(code, message string) *fault.Error {
	return &fault.Error{
		Kind: fault.Conflict, Step: "ledger", Code: code, Message: fmt.Sprintf("job %q: %s", r.ID, message),
		Hint: "Look at the job: GET /v1/jobs/" + r.ID,
	}
}
