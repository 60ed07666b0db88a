package api

import (
	"time"

	"routinely/shared/routine"
)

// Account is what is known of the ESA account and its one lane, in which jobs are worked off.
type Account struct {
	Lane routine.Lane `json:"lane"`
	// Parked is why ESA works for no job; nil if it works. A paused lane can be parked as well.
	Parked *Park `json:"parked,omitempty"`
	// Paused is who has stopped the lane and why; nil if nobody has.
	Paused *routine.Pause `json:"paused,omitempty"`
	// ResumedAt is when the lane last began to run again; zero if it never stopped.
	ResumedAt time.Time `json:"resumedAt,omitzero"`
	// OldestWaiting is the unfinished job that was accepted first; nil if there is none.
	OldestWaiting *WaitingJob `json:"oldestWaiting,omitempty"`
	// RoutineQuota is the account's quota of routines when it was last read; nil if it never was.
	RoutineQuota *routine.Quota `json:"routineQuota,omitempty"`
	// RoutinesLeft is how many more routines may be asked for: what unfinished jobs make and delete is counted. It is nil if that is not known, and after a
	// pause or a resumption.
	RoutinesLeft *int64 `json:"routinesLeft,omitempty"`
}

// NewAccount shows an account, without the job that waits longest.
func NewAccount(a routine.Account) Account {
	out := Account{Lane: a.Lane(), Paused: a.Pause, ResumedAt: a.ResumedAt, RoutineQuota: a.Quota}
	if p := a.Park; p != nil {
		out.Parked = &Park{
			Since: p.Since, ToldAt: p.ToldAt, Kind: p.Kind, Code: p.Code, Message: p.Message, Hint: p.Hint, RequestID: p.RequestID,
		}
	}
	return out
}

// Park says why ESA works for no job.
type Park struct {
	Since time.Time `json:"since"`
	// ToldAt is when a worker last found it so.
	ToldAt time.Time `json:"toldAt"`
	// Kind, Code, Message, Hint and RequestID (ESA's) are those of the failure that parked the lane.
	Kind      string `json:"kind"`
	Code      string `json:"code,omitempty"`
	Message   string `json:"message"`
	Hint      string `json:"hint,omitempty"`
	RequestID string `json:"requestId,omitempty"`
}

// WaitingJob is an unfinished job in short.
type WaitingJob struct {
	JobID      string    `json:"jobId"`
	AcceptedAt time.Time `json:"acceptedAt"`
	// Waiting is what the job waits for; nil while a worker has it.
	Waiting *routine.Waiting `json:"waiting,omitempty"`
}

// PauseRequest is the body of a pause.
type PauseRequest struct {
	// Reason is shown with the account until the lane is resumed, at most MaxReason bytes.
	Reason string `json:"reason"`
}

// ResumeRequest is the body of a resumption; it may be left out.
type ResumeRequest struct {
	// Reason is logged, at most MaxReason bytes.
	Reason string `json:"reason,omitempty"`
}
