package routine

import "time"

// Step is a thing that a job does, named by its ESA action.
type Step string

// The steps at which a job can fail. Five of them change something in ESA; the others look before and after.
const (
	// ListSites looks the sites up before anything is made.
	ListSites                      Step = "ListSites"
	GetRoutine                     Step = "GetRoutine"
	CreateRoutine                  Step = "CreateRoutine"
	UpdateRoutineConfigDescription Step = "UpdateRoutineConfigDescription"
	CreateRoutineRelatedRecord     Step = "CreateRoutineRelatedRecord"
	ListRoutineRelatedRecords      Step = "ListRoutineRelatedRecords"
	ListRoutineRoutes              Step = "ListRoutineRoutes"
	DeleteRoutineRelatedRecord     Step = "DeleteRoutineRelatedRecord"
	DeleteRoutine                  Step = "DeleteRoutine"
	// PostObject is an upload to the storage for code; the others about code are ESA's.
	GetRoutineStagingCodeUploadInfo Step = "GetRoutineStagingCodeUploadInfo"
	PostObject                      Step = "PostObject"
	CommitRoutineStagingCode        Step = "CommitRoutineStagingCode"
	ListRoutineCodeVersions         Step = "ListRoutineCodeVersions"
	GetRoutineCodeVersion           Step = "GetRoutineCodeVersion"
	DeleteRoutineCodeVersion        Step = "DeleteRoutineCodeVersion"
	CreateRoutineCodeDeployment     Step = "CreateRoutineCodeDeployment"
	ListEdgeRoutinePlans            Step = "ListEdgeRoutinePlans"
)

// Steps lists all steps.
func Steps() []Step {
	return []Step{
		ListSites, GetRoutine, CreateRoutine, UpdateRoutineConfigDescription, CreateRoutineRelatedRecord, ListRoutineRelatedRecords,
		ListRoutineRoutes, DeleteRoutineRelatedRecord, DeleteRoutine, GetRoutineStagingCodeUploadInfo, PostObject, CommitRoutineStagingCode,
		ListRoutineCodeVersions, GetRoutineCodeVersion, DeleteRoutineCodeVersion, CreateRoutineCodeDeployment, ListEdgeRoutinePlans,
	}
}

// State is where a job is in its life.
type State string

// The states of a job. A redrive takes a dead-lettered job back to Queued; the other ends are final.
const (
	// Queued jobs wait for the worker or are with it, for the first time or for another attempt.
	Queued State = "queued"
	// Succeeded jobs have done what was asked for.
	Succeeded State = "succeeded"
	// DeadLettered jobs were given up and wait for somebody who corrects, redrives or drops them.
	DeadLettered State = "dead-lettered"
	// Cancelled jobs were called off before they were finished.
	Cancelled State = "cancelled"
	// Dropped jobs were dead letters that somebody decided to leave undone.
	Dropped State = "dropped"
	// Superseded jobs were overtaken by a newer intent about the same thing before anything was left for them to do.
	Superseded State = "superseded"
)

// States lists all states.
func States() []State {
	return []State{Queued, Succeeded, DeadLettered, Cancelled, Dropped, Superseded}
}

// Final reports whether the worker has nothing left to do for a job in this state.
func (s State) Final() bool { return s != Queued }

// Callers that have no credentials.
const (
	// QueueCaller is the caller of requests that other programs put on the job queue.
	QueueCaller = "queue"
	// JanitorCaller is the caller of the jobs by which the janitor ends routines whose time is over.
	JanitorCaller = "janitor"
)

// Job is one accepted request on its way.
type Job struct {
	ID    string `json:"id"`
	State State  `json:"state"`
	// Ready means that the job succeeded, and that the routine and all host names that it asked for exist as far as is known.
	Ready bool `json:"ready"`
	// Request is what was asked for; zero if the job stands for a message that holds no valid request.
	Request Request `json:"request,omitzero"`
	// Caller is who asked: QueueCaller for a request that another program put on the job queue, empty if that is not known.
	Caller string `json:"caller,omitempty"`
	// Key is the idempotency key that stands for the job, if its caller gave one.
	Key string `json:"key,omitempty"`
	// ClaimsJob is the job that a message with an unknown key says it is about, of the dead letter made of that message. Nothing proves it.
	ClaimsJob string `json:"claimsJob,omitempty"`
	// AcceptedAt is when the request was received, by our clock. ProducedAt is when another program put it on the queue, by that program's
	// clock; zero if it did not say, or if the request came over HTTP.
	AcceptedAt time.Time `json:"acceptedAt"`
	ProducedAt time.Time `json:"producedAt,omitzero"`
	// UpdatedAt is when the latest thing happened to the job.
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
	// StartedAt is when a worker first began with the job since it was accepted or redriven.
	StartedAt time.Time `json:"startedAt,omitzero"`
	// Attempt is the number of the attempt in progress or to come, of a finished job the last one; it counts from 1.
	Attempt int `json:"attempt,omitempty"`
	// HandedBack counts how often the job went back to the queue without an attempt being counted.
	HandedBack int `json:"handedBack,omitempty"`
	// Redriven counts how often the job was redriven: the number of its round. Attempt and HandedBack begin again each time.
	Redriven int `json:"redriven,omitempty"`
	// Waiting says what a queued job waits for; nil while a worker has it, and of a job that has ended.
	Waiting *Waiting `json:"waiting,omitempty"`
	// Kind, Code and Hint are those of the latest failure, until the job succeeds or is redriven.
	Kind string `json:"kind,omitempty"`
	Code string `json:"code,omitempty"`
	Hint string `json:"hint,omitempty"`
	// Reason says why the job was given up, cancelled, dropped or redriven, and By who cancelled, dropped or redrove it.
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
	// SupersededBy is the job that overtook a superseded one, empty if a job of the janitor found nothing to end. Overtook are the jobs that a deletion has overtaken, at most MaxOvertook.
	SupersededBy string   `json:"supersededBy,omitempty"`
	Overtook     []string `json:"overtook,omitempty"`
	// Attempts are the failed tries, oldest first; of many, the first and the latest. Jobs from a list come without them.
	Attempts []Attempt `json:"attempts,omitempty"`
	// TraceID is the id of the trace (W3C Trace Context) that the request belongs to; empty of jobs of before there were traces.
	TraceID string `json:"traceId,omitempty"`
	// Redrives are the latest redrives, oldest first. Jobs from a list come without them.
	Redrives []Redrive `json:"redrives,omitempty"`
	// Result is what a succeeded job achieved.
	Result *Result `json:"result,omitempty"`
	// Left is what the job has made, or may have made, in ESA, in this round and earlier ones, without having succeeded with it.
	Left []Left `json:"left,omitempty"`
	// Callback is what became of the news of the job's end; nil if nobody asked for it or it was not sent yet.
	Callback *CallbackStatus `json:"callback,omitempty"`
}

// WaitingFor is what a queued job waits for.
type WaitingFor string

// What a job can wait for.
const (
	// ForQueue: the job was not delivered to a worker since it was last handed over.
	ForQueue WaitingFor = "queue"
	// ForTurn: other jobs are before it in the lane.
	ForTurn WaitingFor = "turn"
	// ForAccountLock: another routine operation of the account was running.
	ForAccountLock WaitingFor = "account-lock"
	// ForBackoff: an attempt failed and the next one comes after a pause.
	ForBackoff WaitingFor = "backoff"
	// ForThrottle: ESA asked for a pause.
	ForThrottle WaitingFor = "throttle"
	// ForPark: the lane is parked, since ESA works for no job of the account.
	ForPark WaitingFor = "parked"
	// ForPause: a person has paused the lane.
	ForPause WaitingFor = "paused"
)

// Waiting tells what a queued job waits for.
type Waiting struct {
	For   WaitingFor `json:"for"`
	Since time.Time  `json:"since"`
	// Until is when the next attempt comes at the earliest; zero when that is not known.
	Until time.Time `json:"until,omitzero"`
}

// CallbackStatus is what became of a callback.
type CallbackStatus struct {
	// State is HandedOver or CallbackFailed.
	State string `json:"state"`
	// Attempts and LastStatus (HTTP, 0 without an answer) are those of a callback that was given up.
	Attempts   int `json:"attempts,omitempty"`
	LastStatus int `json:"lastStatus,omitempty"`
}

// The states of a callback.
const (
	// HandedOver: the queue of callbacks has it.
	HandedOver = "handed-over"
	// CallbackFailed: the receiver did not take it, however often it was tried.
	CallbackFailed = "failed"
)

// Left is one thing in ESA that a job has made, or may have made, without having succeeded.
type Left struct {
	// Routine is the name of the routine, which is the thing itself unless RecordName is given.
	Routine string `json:"routine"`
	// SiteID and RecordName are those of a related record.
	SiteID     int64  `json:"siteId,omitempty"`
	RecordName string `json:"recordName,omitempty"`
	// Outcome is Created, Adopted or Unknown.
	Outcome Outcome `json:"outcome"`
}

// Attempt is one failed try of a job.
type Attempt struct {
	// Number counts from 1, and again from 1 after each redrive.
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
	// Was is the request as it was before, of a redrive that corrected it.
	Was *Request `json:"was,omitempty"`
}

// Outcome says how a step came to its end.
type Outcome string

// The outcomes of a step.
const (
	// Created: this job made the thing.
	Created Outcome = "created"
	// Adopted: the thing was there and is what was asked for.
	Adopted Outcome = "adopted"
	// Unknown: a call may have made the thing, and nobody has looked since.
	Unknown Outcome = "unknown"
	// Updated: the routine was there, and the job gave it another description.
	Updated Outcome = "updated"
	// Deleted: this job deleted the thing.
	Deleted Outcome = "deleted"
	// Absent: the thing that was to be deleted was not there.
	Absent Outcome = "absent"
	// Passed: a newer intent is about the thing, and the job left it alone.
	Passed Outcome = "passed"
	// Claimed: the thing has become the caller's own.
	Claimed Outcome = "claimed"
	// Renewed: the routine has a new end of its time.
	Renewed Outcome = "renewed"
)

// Progress is what a job knows of its own steps from one attempt to the next. It is kept in the job's row.
type Progress struct {
	// Routine is how the step about the routine ended: Created is proven to be this job's own; empty while it has not ended.
	Routine Outcome `json:"routine,omitempty"`
	// RoutineCreated is ESA's CreateTime of that routine, where it was read.
	RoutineCreated time.Time `json:"routineCreateTime,omitzero"`
	// RoutineRecreated is set once step 1 was done again because ESA no longer knew the routine.
	RoutineRecreated bool `json:"routineRecreated,omitempty"`
	// Look is the look right before the latest CreateRoutine call while the outcome of that call is not known.
	Look *Look `json:"look,omitempty"`
	// RecordUnknown is set once a call to bind one of the host names that are not in Records may have taken effect without saying so.
	RecordUnknown bool `json:"recordUnknown,omitempty"`
	// ForeignSince is when a deletion first met a record that nobody claims, by ESA's clock; zero if it met none.
	ForeignSince time.Time `json:"foreignSince,omitzero"`
	// Records are the host names with which the job is done, in the order in which it came to their end.
	Records []RecordResult `json:"records,omitempty"`
	// More is how many host names the job is done with beside Records, of which there are at most MaxRecords.
	More int `json:"more,omitempty"`
	// Code is how far the job has come with code; zero of one that has nothing to do with it, or has not begun.
	Code CodeProgress `json:"code,omitzero"`
}

// Record is what the job has achieved with a host name; false if it is not done with it.
func (p Progress) Record(recordName string) (RecordResult, bool) {
	for _, r := range p.Records {
		if r.RecordName == recordName {
			return r, true
		}
	}
	return RecordResult{}, false
}

// Look is a reading of ESA that showed no routine of the name, right before a CreateRoutine call.
type Look struct {
	// At is when that was, by the clock of ESA, in whole seconds.
	At time.Time `json:"at"`
	// Until is when the call had ended at the latest, by the clock of ESA.
	Until time.Time `json:"until"`
}

// Result is what a succeeded job achieved.
type Result struct {
	// Routine is how the step about the routine ended; empty of a job that did nothing to it.
	Routine Outcome `json:"routine,omitempty"`
	// Record and RecordID are those of a job about one host name.
	Record   Outcome `json:"record,omitempty"`
	RecordID int64   `json:"recordId,omitempty"`
	// Records are the host names of a job about several, and those that a deletion has unbound.
	Records []RecordResult `json:"records,omitempty"`
	// More is how many host names there are beside Records, of which there are at most MaxRecords.
	More int `json:"more,omitempty"`
	// Code is what is live in each environment that the job was about.
	Code []CodeResult `json:"code,omitempty"`
	// ExpiresAt is when the routine's time is over; zero if never.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// Note says what is still to do before the host names get traffic, and what of the request had no effect; empty if there is nothing to say. See
	// CNAMENote and NoEffectNote.
	Note string `json:"note,omitempty"`
}

// RecordResult is what a job achieved with one host name.
type RecordResult struct {
	RecordName string  `json:"recordName"`
	SiteID     int64   `json:"siteId,omitempty"`
	RecordID   int64   `json:"recordId,omitempty"`
	Outcome    Outcome `json:"outcome"`
	// NeedsCNAME means that the site is accessed by CNAME: the host name gets traffic only once its owner has a CNAME record for it.
	NeedsCNAME bool `json:"needsCname,omitempty"`
	// SupersededBy is the job with a newer intent about the host name, of a host name that was left alone because of that.
	SupersededBy string `json:"supersededBy,omitempty"`
}

// Received is a message of the job queue as it came, byte for byte. It may hold secrets.
type Received struct {
	// MessageID is MNS's id, empty when the trigger did not say.
	MessageID string `json:"messageId,omitempty"`
	// Encoding is TextEncoding, or Base64Encoding for bytes that are not UTF-8.
	Encoding string `json:"encoding"`
	Body     string `json:"body"`
}

// Encodings of a received message.
const (
	TextEncoding   = "text"
	Base64Encoding = "base64"
)
