package routine

import "time"

// Step is one of the two things a job does, named by its ESA action.
type Step string

// The steps, in their order.
const (
	CreateRoutine              Step = "CreateRoutine"
	CreateRoutineRelatedRecord Step = "CreateRoutineRelatedRecord"
)

// State is where a job is in its life.
type State string

// The states of a job. A job ends in Succeeded, DeadLettered or Cancelled; only DeadLettered can be left again, by a redrive.
const (
	// Queued jobs wait for the worker or are with it, for the first time or for another attempt.
	Queued State = "queued"
	// Succeeded jobs have their routine and their record.
	Succeeded State = "succeeded"
	// DeadLettered jobs were given up and lie in the dead-letter queue with the reason.
	DeadLettered State = "dead-lettered"
	// Cancelled jobs were called off before a worker began with them.
	Cancelled State = "cancelled"
)

// Final reports whether the worker has nothing left to do for a job in this state.
func (s State) Final() bool { return s == Succeeded || s == DeadLettered || s == Cancelled }

// Job is one accepted request on its way.
type Job struct {
	ID    string `json:"id"`
	State State  `json:"state"`
	// Ready means that the routine and its record exist: the state is Succeeded.
	Ready   bool    `json:"ready"`
	Request Request `json:"request"`
	// Caller is who asked, if that is known.
	Caller     string    `json:"caller,omitempty"`
	AcceptedAt time.Time `json:"acceptedAt"`
	// UpdatedAt is when the latest thing happened to the job.
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
	// StartedAt is when a worker first began with the job since it was accepted or redriven.
	StartedAt time.Time `json:"startedAt,omitzero"`
	// Attempt is the number of the attempt in progress or to come, of a finished job the last one; it counts from 1.
	Attempt int `json:"attempt,omitempty"`
	// HandedBack counts how often the job went back to the queue without an attempt being counted.
	HandedBack int `json:"handedBack,omitempty"`
	// Redriven counts how often the job was taken back from the dead letters. Attempt and HandedBack begin anew each time.
	Redriven int `json:"redriven,omitempty"`
	// Kind, Code and Hint are those of the latest failure, until the job succeeds or is redriven.
	Kind string `json:"kind,omitempty"`
	Code string `json:"code,omitempty"`
	Hint string `json:"hint,omitempty"`
	// Reason says why the job was given up, cancelled or redriven.
	Reason string `json:"reason,omitempty"`
	// Attempts are the failed tries, oldest first. Jobs from a list come without them.
	Attempts []Attempt `json:"attempts,omitempty"`
	// Result is what a succeeded job achieved.
	Result *Result `json:"result,omitempty"`
	// Gap means that some of what happened to the job was not recorded.
	Gap bool `json:"gap,omitempty"`
}

// Attempt is one failed try of a job.
type Attempt struct {
	// Number counts from 1, anew after each redrive.
	Number int `json:"number"`
	// Redriven is how often the job had been redriven when the attempt was made.
	Redriven int       `json:"redriven,omitempty"`
	At       time.Time `json:"at"`
	// Step is where the attempt failed.
	Step Step `json:"step,omitempty"`
	// Kind is the kind of fault, see package fault.
	Kind string `json:"kind"`
	// Code and RequestID are the cloud's own.
	Code      string `json:"code,omitempty"`
	RequestID string `json:"requestId,omitempty"`
	Message   string `json:"message"`
	Hint      string `json:"hint,omitempty"`
}

// Redrive is one time that a job was taken back from the dead letters.
type Redrive struct {
	// Number counts from 1.
	Number int       `json:"number"`
	At     time.Time `json:"at"`
	// By and Reason are who did it and why, as far as that was said.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Outcome says how a step came to its end.
type Outcome string

// The outcomes of a step.
const (
	// Created: this job made the thing.
	Created Outcome = "created"
	// Adopted: the thing was there and is what was asked for.
	Adopted Outcome = "adopted"
)

// Progress is what a job knows of its own steps from one attempt to the next. It is kept in the job's row.
type Progress struct {
	// Routine is how step 1 ended; empty while it has not.
	Routine Outcome `json:"routine,omitempty"`
	// RoutineCreated is ESA's CreateTime of the routine that step 1 created or adopted; zero where it was not read.
	RoutineCreated time.Time `json:"routineCreateTime,omitzero"`
	// RoutineRecreated is set once step 1 was done again because ESA no longer knew the routine.
	RoutineRecreated bool `json:"routineRecreated,omitempty"`
	// Look is the look right before a CreateRoutine call whose outcome is not known; nil if there is no such call.
	Look *Look `json:"look,omitempty"`
	// RecordUnknown is set once a call of step 2 may have taken effect without saying so.
	RecordUnknown bool `json:"recordUnknown,omitempty"`
}

// Look is a reading of ESA that showed no routine of the name, right before a CreateRoutine call. With it a routine that is found
// later is proven to be that call's, or not.
type Look struct {
	// At is ESA's own clock when it was read, from the Date of the answer, in whole seconds.
	At time.Time `json:"at"`
	// Until is ESA's clock by which the call has ended: At plus what passed until it failed, or At plus the time limit of one call
	// while nobody knows.
	Until time.Time `json:"until"`
}

// Result is what a succeeded job achieved.
type Result struct {
	Routine  Outcome `json:"routine"`
	Record   Outcome `json:"record"`
	RecordID int64   `json:"recordId"`
}
