package routine

import "time"

// Lane is the state of the account's one lane.
type Lane string

// The states of the lane.
const (
	// Running: jobs are worked off one after the other.
	Running Lane = "running"
	// Parked: ESA works for no job of the account. The worker asks again until it does.
	Parked Lane = "parked"
	// Paused: a person has stopped the lane. It stays so until a person resumes it.
	Paused Lane = "paused"
)

// Account is what is known of the ESA account and its lane. The worker and people change it; the zero Account is a lane that has always run.
type Account struct {
	// Park is why and since when ESA works for no job; nil if it works.
	Park *Park `json:"park,omitempty"`
	// Pause is why and since when a person has stopped the lane; nil if nobody has.
	Pause *Pause `json:"pause,omitempty"`
	// StoppedAt is when the lane last stopped, parked or paused; zero while it runs.
	StoppedAt time.Time `json:"stoppedAt,omitzero"`
	// ResumedAt is when the lane last began to run again; zero if it never stopped.
	ResumedAt time.Time `json:"resumedAt,omitzero"`
	// Stopped is how long the lane was stopped in all, up to StoppedAt.
	Stopped time.Duration `json:"stopped,omitempty"`
	// Quota is the account's quota of routines when it was last read; nil if it never was.
	Quota *Quota `json:"quota,omitempty"`
}

// Park says why ESA works for no job.
type Park struct {
	Since time.Time `json:"since"`
	// ToldAt is when a worker last found it so.
	ToldAt time.Time `json:"toldAt"`
	// Kind, Code, RequestID, Message and Hint are those of the failure that parked the lane, see package fault.
	Kind      string `json:"kind"`
	Code      string `json:"code,omitempty"`
	RequestID string `json:"requestId,omitempty"`
	Message   string `json:"message"`
	Hint      string `json:"hint,omitempty"`
	// Probe is the job with which a worker last asked whether ESA works again. The next time another one is taken if there is one.
	Probe string `json:"probe,omitempty"`
}

// Pause says why a person has stopped the lane.
type Pause struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// Quota is how many routines the account may have and has.
type Quota struct {
	Limit  int64     `json:"limit"`
	Used   int64     `json:"used"`
	ReadAt time.Time `json:"readAt"`
}

// Lane is the state of the lane. A pause by a person comes before a park.
func (a Account) Lane() Lane {
	switch {
	case a.Pause != nil:
		return Paused
	case a.Park != nil:
		return Parked
	}
	return Running
}

// StoppedFor is how long the lane was stopped in all, up to now.
func (a Account) StoppedFor(now time.Time) time.Duration {
	if a.StoppedAt.IsZero() {
		return a.Stopped
	}
	return a.Stopped + max(0, now.Sub(a.StoppedAt))
}

// Stop parks or pauses the lane, or takes back either: what is nil does not stop it.
func (a *Account) Stop(park *Park, pause *Pause, now time.Time) {
	a.Park, a.Pause = park, pause
	now = now.UTC().Round(0)
	switch stopped := a.Lane() != Running; {
	case stopped && a.StoppedAt.IsZero():
		a.StoppedAt = now
	case !stopped && !a.StoppedAt.IsZero():
		a.Stopped = a.StoppedFor(now)
		a.StoppedAt, a.ResumedAt = time.Time{}, now
	}
}
