package api

import (
	"time"

	"routinely/shared/routine"
)

// Routine is what is known of one routine.
type Routine struct {
	Name string `json:"name"`
	// State and Ownership are those of its claim. A routine that is only asked for has no state yet.
	State     routine.ClaimState `json:"state,omitempty"`
	Ownership routine.Ownership  `json:"ownership,omitempty"`
	// Ready means that the routine is there, as far as is known, and at least one host name is bound to it. A list does not look at host names.
	Ready bool `json:"ready"`
	// Caller is the owner.
	Caller string `json:"caller,omitempty"`
	// CreateTime is ESA's, and tells which of several routines of one name is meant.
	CreateTime  time.Time         `json:"createTime,omitzero"`
	Description string            `json:"description,omitempty"`
	HasAssets   bool              `json:"hasAssets,omitempty"`
	Protected   bool              `json:"protected,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	// ExpiresAt is when its time is over; zero if never. UnboundAt is when its host names were unbound because of that, and DeletedAfter when it is
	// deleted at the earliest.
	ExpiresAt    time.Time `json:"expiresAt,omitzero"`
	UnboundAt    time.Time `json:"unboundAt,omitzero"`
	DeletedAfter time.Time `json:"deletedAfter,omitzero"`
	// Code is what was deployed to each environment, staging first. An environment without any is left out.
	Code []LiveCode `json:"code,omitempty"`
	// Versions are the versions of its code that Routinely has made and that are still there, the newest last. A list of routines has none.
	Versions []routine.OwnVersion `json:"versions,omitempty"`
	// SeenAt is when ESA last showed the routine, or that it is not there.
	SeenAt time.Time `json:"seenAt,omitzero"`
	// DeletionJob is the job of a deletion that is accepted and not over, and Reason says why one could not be carried out.
	DeletionJob string    `json:"deletionJob,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	ChangedAt   time.Time `json:"changedAt,omitzero"`
	// Records are the host names that are bound, or about to be, by name, at most MaxShownRecords. A list of routines has none.
	Records []RoutineRecord `json:"records,omitempty"`
	// More means that the routine has more host names than are shown.
	More bool `json:"more,omitempty"`
	// Jobs are the latest jobs about the routine, the newest first, at most MaxShownJobs. A list of routines has none.
	Jobs []RoutineJob `json:"jobs,omitempty"`
	// Note says what is still to do before the routine answers, if something is.
	Note string `json:"note,omitempty"`
}

// Bounds of what is shown of one routine.
const (
	MaxShownRecords = 100
	MaxShownJobs    = 20
)

// RoutineRecord is one host name of a routine.
type RoutineRecord struct {
	RecordName string             `json:"recordName"`
	SiteID     int64              `json:"siteId,omitempty"`
	RecordID   int64              `json:"recordId,omitempty"`
	State      routine.ClaimState `json:"state,omitempty"`
	Ownership  routine.Ownership  `json:"ownership,omitempty"`
	Caller     string             `json:"caller,omitempty"`
	// JobID is the job of the newest intent about it.
	JobID     string    `json:"jobId,omitempty"`
	ChangedAt time.Time `json:"changedAt,omitzero"`
	// NeedsCNAME means that the host name gets traffic only once its owner has a CNAME record for it.
	NeedsCNAME bool `json:"needsCname,omitempty"`
}

// RoutineJob is one job about a routine.
type RoutineJob struct {
	JobID      string         `json:"jobId"`
	Action     routine.Action `json:"action,omitempty"`
	State      routine.State  `json:"state"`
	Caller     string         `json:"caller,omitempty"`
	AcceptedAt time.Time      `json:"acceptedAt"`
	// RecordNames are the host names that it is about.
	RecordNames []string `json:"recordNames,omitempty"`
}

// NewRoutine is what a claim says of a routine. grace is how long after its host names were unbound an expired routine is deleted.
func NewRoutine(c routine.Claim, grace time.Duration) Routine {
	out := Routine{
		Name: c.Name, State: c.State, Ownership: c.Ownership, Caller: c.Caller, CreateTime: c.CreateTime, Description: c.Description, HasAssets: c.HasAssets,
		Protected: c.Protected, Labels: c.Labels, ExpiresAt: c.ExpiresAt, SeenAt: c.SeenAt, Reason: c.Reason, ChangedAt: c.ChangedAt,
	}
	for _, d := range c.Deployed {
		if d.CodeVersion != "" {
			out.Code = append(out.Code, LiveCode{
				Environment: d.Environment, CodeVersion: d.CodeVersion, SHA256: d.SHA256, Since: d.Since, JobID: d.By, Previous: d.Previous,
			})
		}
	}
	if c.DeleteNumber > c.CreateNumber && c.State != routine.Gone {
		out.DeletionJob = c.DeleteJob
	}
	if c.Expiry != nil && !c.Expiry.UnboundAt.IsZero() {
		out.UnboundAt, out.DeletedAfter = c.Expiry.UnboundAt, c.Expiry.UnboundAt.Add(grace)
	}
	return out
}

// KeptCode is the answer to POST /v1/code.
type KeptCode struct {
	// SHA256 names the code in requests of the same caller, Bytes is its length.
	SHA256 string `json:"sha256"`
	Bytes  int    `json:"bytes"`
	// ExpiresAt is until when it is kept unless a request names it; zero if for ever.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
}

// Rollback is the body of POST /v1/routines/{name}:rollback.
type Rollback struct {
	// To is routine.Previous or the number of a version.
	To string `json:"to"`
	// Environments are where it is to run; all of them if there are none.
	Environments []string `json:"environments,omitempty"`
	CallbackURL  string   `json:"callbackUrl,omitempty"`
}

// Request is the rollback as a request about a routine, and what is wrong with it.
func (b Rollback) Request(name string) (routine.Request, []routine.Problem) {
	envs, problems := routine.CheckEnvironments(b.Environments)
	if detail := routine.CheckVersion(b.To); detail != "" {
		problems = append(problems, routine.Problem{Pointer: "/to", Code: "value", Detail: detail})
	}
	return routine.Request{Action: routine.Rollback, Name: name, Version: b.To, Environments: envs, CallbackURL: b.CallbackURL}, problems
}

// LiveCode is what runs in one environment of a routine.
type LiveCode struct {
	Environment routine.Environment `json:"environment"`
	CodeVersion string              `json:"codeVersion"`
	// SHA256 is the hash of its code; empty of a version that was not made by Routinely.
	SHA256 string `json:"sha256,omitempty"`
	// Since is when ESA first showed it there, and JobID the job that deployed it.
	Since time.Time `json:"since,omitzero"`
	JobID string    `json:"jobId,omitempty"`
	// Previous is the version to which a rollback goes back; empty if there is none.
	Previous string `json:"previous,omitempty"`
}

// RoutineList is a page of routines, by name.
type RoutineList struct {
	Routines []Routine `json:"routines"`
	// Next is the cursor of the next page, empty after the last routine. A page can be short, even empty, and not be the last.
	Next string `json:"next,omitempty"`
}

// RoutineFilter chooses routines by exact values; what is not given chooses all.
type RoutineFilter struct {
	// Names chooses the routines of these names, at most MaxIDs.
	Names     []string           `json:"names,omitempty"`
	Caller    string             `json:"caller,omitempty"`
	State     routine.ClaimState `json:"state,omitempty"`
	Ownership routine.Ownership  `json:"ownership,omitempty"`
	// Label is a key, or a key and a value as key=value.
	Label string `json:"label,omitempty"`
	// ExpiringBefore chooses those whose time is over before then.
	ExpiringBefore time.Time `json:"expiringBefore,omitzero"`
}

// Deletion is the body of a deletion, and of a claim; it may be left out.
type Deletion struct {
	// CallbackURL is where to tell that the job has ended.
	CallbackURL string `json:"callbackUrl,omitempty"`
}

// Renewal is the body of a renewal.
type Renewal struct {
	// ExpiresIn is how long the routine is to live from now on, such as 72h. Required.
	ExpiresIn   string `json:"expiresIn"`
	CallbackURL string `json:"callbackUrl,omitempty"`
}

// PlanRequest asks which routines would be deleted.
type PlanRequest struct {
	RoutineFilter
	// All must be set if no filter is.
	All bool `json:"all,omitempty"`
}

// Plan says which routines a deletion of several would delete, and which it would not.
type Plan struct {
	// Hash stands for exactly these items as they are now: the deletion takes it.
	Hash  string     `json:"hash"`
	Items []PlanItem `json:"items"`
	// Delete is how many items would be deleted.
	Delete int `json:"delete"`
}

// PlanItem is one routine of a plan.
type PlanItem struct {
	Name string `json:"name"`
	// CreateTime and Number tell the routine's state when the plan was made: if they differ later, it is left alone.
	CreateTime time.Time `json:"createTime,omitzero"`
	Number     int64     `json:"number"`
	// Delete says that it would be deleted, and Why says what for or what keeps it.
	Delete bool   `json:"delete"`
	Why    string `json:"why"`
	// Caller, Labels and ExpiresAt help to decide.
	Caller    string            `json:"caller,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	ExpiresAt time.Time         `json:"expiresAt,omitzero"`
}

// ApplyRequest carries a plan out.
type ApplyRequest struct {
	// Hash is the plan's, and Items are the plan's items as they were given.
	Hash  string     `json:"hash"`
	Items []PlanItem `json:"items"`
	// CallbackURL is where to report the end of each job.
	CallbackURL string `json:"callbackUrl,omitempty"`
	// Reason is kept in the log, at most MaxReason bytes.
	Reason string `json:"reason,omitempty"`
}

// Applied says what became of each item that was to be deleted: accepted with its job, a duplicate because the plan was carried out before under the
// same key, or rejected because it has changed since.
type Applied struct {
	Items     []AppliedItem `json:"items"`
	Accepted  int           `json:"accepted"`
	Duplicate int           `json:"duplicate"`
	Rejected  int           `json:"rejected"`
	Failed    int           `json:"failed"`
}

// Count adds one verdict to the counts.
func (a *Applied) Count(s Status) {
	switch s {
	case Accepted:
		a.Accepted++
	case Duplicate:
		a.Duplicate++
	case Rejected:
		a.Rejected++
	case Failed:
		a.Failed++
	}
}

// AppliedItem is what became of one routine.
type AppliedItem struct {
	Name    string   `json:"name"`
	Status  Status   `json:"status"`
	JobID   string   `json:"jobId,omitempty"`
	Problem *Problem `json:"problem,omitempty"`
}

// Drift is what differs between ESA and what is claimed, as the janitor last saw it.
type Drift struct {
	// ReadAt is when the routines of the account were last listed whole; zero if they never were. Records and routes are read of some routines at a
	// time: a finding about them says when.
	ReadAt time.Time `json:"readAt,omitzero"`
	// Findings are at most MaxFindings; More means that there are others.
	Findings []Finding `json:"findings"`
	More     bool      `json:"more,omitempty"`
}

// MaxFindings bounds a Drift.
const MaxFindings = 200

// Finding is one difference.
type Finding struct {
	Name string `json:"name"`
	// What is one of the Drifts, Detail says it in words, and Command is what to do about it.
	What    string `json:"what"`
	Detail  string `json:"detail"`
	Command string `json:"command,omitempty"`
}

// The kinds of differences.
const (
	// DriftGone: a claimed routine is not in ESA.
	DriftGone = "gone"
	// DriftMadeAgain: ESA shows another routine of the name than the claimed one.
	DriftMadeAgain = "made-again"
	// DriftUnclaimed: a routine of the account that nobody has claimed.
	DriftUnclaimed = "unclaimed"
	// DriftDescription: the description is another one than was last read or given.
	DriftDescription = "description"
	// DriftForeignRecord and DriftForeignRoute: an owned routine has records, or routes, that no claim owns. They refuse its deletion.
	DriftForeignRecord = "foreign-record"
	DriftForeignRoute  = "foreign-route"
)

// Ignored acknowledges an event of which nothing follows.
type Ignored struct {
	// Ignored says why.
	Ignored string `json:"ignored"`
}
