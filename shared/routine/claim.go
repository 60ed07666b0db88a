package routine

import "time"

// ClaimState is where a claimed thing is in its life.
type ClaimState string

// The states of a claim. A claim that is gone stays as a tombstone: it remembers the numbers of its intents.
const (
	// Creating: a call to make the thing is under way, or nobody knows what became of it.
	Creating ClaimState = "creating"
	// Live: the thing is there.
	Live ClaimState = "live"
	// Expiring: the routine's time is over and its host names are unbound, or about to be. It is deleted after a grace.
	Expiring ClaimState = "expiring"
	// Deleting: a call to delete the thing was made, and its absence was not read back yet.
	Deleting ClaimState = "deleting"
	// Gone: the thing is not there any more, or never was.
	Gone ClaimState = "gone"
)

// ClaimStates lists all states.
func ClaimStates() []ClaimState { return []ClaimState{Creating, Live, Expiring, Deleting, Gone} }

// Ownership says what is proven of who made a thing.
type Ownership string

// The kinds of ownership.
const (
	// Owned: a call of ours made it. Only such a thing is altered or deleted.
	Owned Ownership = "owned"
	// Unproven: it is there after a call of ours had no answer, and nothing proves that the call made it.
	Unproven Ownership = "unproven"
	// AdoptedThing: it was there before and is what was asked for.
	AdoptedThing Ownership = "adopted"
)

// Ownerships lists all kinds.
func Ownerships() []Ownership { return []Ownership{Owned, Unproven, AdoptedThing} }

// Claim is what is known of one routine: who owns it, which one of its name it is, what was last wanted of it, and how long it is to live.
// ESA keeps nothing of that. The zero Claim with a name is a routine of which nothing was ever wanted.
type Claim struct {
	Name  string     `json:"name"`
	State ClaimState `json:"state,omitempty"`
	// Ownership is empty while the routine is Creating for the first time.
	Ownership Ownership `json:"ownership,omitempty"`
	// Caller is the owner: who asked first for it, or claimed it.
	Caller string `json:"caller,omitempty"`
	// CreateTime is ESA's, in whole seconds, and tells which of several routines of one name is meant; zero if it was never read.
	CreateTime time.Time `json:"createTime,omitzero"`
	// Call is the look before a CreateRoutine call of which nobody knows what became, and DeleteCall that before such a DeleteRoutine call. Until
	// their ends such calls may take effect.
	Call       *Look `json:"call,omitempty"`
	DeleteCall *Look `json:"deleteCall,omitempty"`
	// CreateNumber and DeleteNumber are those of the newest intents that want the routine to be there, and to be gone. See NextNumber.
	CreateNumber int64 `json:"createNumber,omitempty"`
	DeleteNumber int64 `json:"deleteNumber,omitempty"`
	// DescriptionNumber and ExpiryNumber are those of the newest intents about these.
	DescriptionNumber int64 `json:"descriptionNumber,omitempty"`
	ExpiryNumber      int64 `json:"expiryNumber,omitempty"`
	// CreateJob, DeleteJob and ExpiryJob are the jobs of CreateNumber, DeleteNumber and ExpiryNumber.
	CreateJob string `json:"createJob,omitempty"`
	DeleteJob string `json:"deleteJob,omitempty"`
	ExpiryJob string `json:"expiryJob,omitempty"`
	// Overtook are the jobs that the deletion in force has superseded, at most MaxOvertook.
	Overtook []string `json:"overtook,omitempty"`
	// Description and HasAssets are ESA's, as last read or made.
	Description string `json:"description,omitempty"`
	HasAssets   bool   `json:"hasAssets,omitempty"`
	// ExpiresAt is when the routine's time is over; zero if never. Expiry is how far its end has come.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	Expiry    *Expiry   `json:"expiry,omitempty"`
	// Protected means that only the owner's host names may be bound to it.
	Protected bool `json:"protected,omitempty"`
	// CallbackURL is where the request that made the routine wants to be told; empty if nowhere. The janitor's jobs about the routine tell there too. It may
	// hold a secret: see ShownURL.
	CallbackURL string `json:"callbackUrl,omitempty"`
	// Labels are the owner's, at most MaxLabels.
	Labels map[string]string `json:"labels,omitempty"`
	// Deployed is what we have deployed, and want, in each environment: see DeployedTo.
	Deployed []Deployed `json:"deployed,omitempty"`
	// Versions are the versions of its code that calls of ours have made, the newest last. What ESA does not have any more is left out.
	Versions []OwnVersion `json:"versions,omitempty"`
	// CommitUntil is until when an upload of ours with its commit, of which nobody knows what became, may take effect; zero if there is none. Until then
	// nothing is uploaded: a routine has one place for code.
	CommitUntil time.Time `json:"commitUntil,omitzero"`
	// SeenAt is when ESA last showed the routine, or that it is not there, by ESA's clock.
	SeenAt time.Time `json:"seenAt,omitzero"`
	// Reason says why a deletion could not be carried out, until one is.
	Reason string `json:"reason,omitempty"`
	// MadeAt is when the claim was first written, and ChangedAt when it was last.
	MadeAt    time.Time `json:"madeAt,omitzero"`
	ChangedAt time.Time `json:"changedAt,omitzero"`
}

// Expiry is how far the end of a routine whose time is over has come.
type Expiry struct {
	// SeenAt is when the janitor first saw that the time is over. It acts some time later.
	SeenAt time.Time `json:"seenAt"`
	// UnboundAt is when the host names were unbound; zero before. The routine is deleted a grace later.
	UnboundAt time.Time `json:"unboundAt,omitzero"`
	// Try counts the jobs of the present phase, JobID is the latest of them, and TriedAt is when it was made.
	Try     int       `json:"try,omitempty"`
	JobID   string    `json:"jobId,omitempty"`
	TriedAt time.Time `json:"triedAt,omitzero"`
}

// RecordClaim is what is known of one host name that is bound to a routine, or was.
type RecordClaim struct {
	// Routine is the routine's name.
	Routine    string `json:"routine"`
	RecordName string `json:"recordName"`
	// SiteID and RecordID are ESA's; RecordID is zero while it is not known.
	SiteID    int64      `json:"siteId,omitempty"`
	RecordID  int64      `json:"recordId,omitempty"`
	State     ClaimState `json:"state,omitempty"`
	Ownership Ownership  `json:"ownership,omitempty"`
	// Caller is who asked for the host name.
	Caller string `json:"caller,omitempty"`
	// Number is that of the newest intent about the host name, and JobID its job. Leaving means that the intent wants it unbound.
	Number  int64  `json:"number,omitempty"`
	JobID   string `json:"jobId,omitempty"`
	Leaving bool   `json:"leaving,omitempty"`
	// BoundNumber and BoundJob are Number and JobID as they were before the intent that wants it unbound.
	BoundNumber int64  `json:"boundNumber,omitempty"`
	BoundJob    string `json:"boundJob,omitempty"`
	// CallUntil is until when a call of ours to bind the host name, of which nobody knows what became, may take effect; zero if there is none.
	CallUntil time.Time `json:"callUntil,omitzero"`
	// Expired means that the host name was unbound because the routine's time was over. A renewal binds it again.
	Expired bool `json:"expired,omitempty"`
	// NeedsCNAME means that the site was accessed by CNAME when the host name was bound: see RecordResult.
	NeedsCNAME bool      `json:"needsCname,omitempty"`
	MadeAt     time.Time `json:"madeAt,omitzero"`
	ChangedAt  time.Time `json:"changedAt,omitzero"`
}

// Leave makes the intent of a job that wants the host name unbound the newest one, unless a newer one is known.
func (c *RecordClaim) Leave(number int64, jobID string) {
	if c.Number >= number {
		return
	}
	if !c.Leaving {
		c.BoundNumber, c.BoundJob = c.Number, c.JobID
	}
	c.Number, c.JobID, c.Leaving = number, jobID, true
}

// TakeBack ends an unbinding that is not carried out, so that the intents before it hold again. One of which a call to ESA may have taken effect stays.
func (c *RecordClaim) TakeBack(jobID string) {
	if c.JobID == jobID && c.Leaving && c.State != Deleting {
		c.Number, c.JobID, c.Leaving, c.BoundNumber, c.BoundJob = c.BoundNumber, c.BoundJob, false, 0, ""
	}
}

// Bounds of a claim.
const (
	MaxOvertook = 20
	MaxLabels   = 8
	// MaxLabelKey and MaxLabelValue are in bytes.
	MaxLabelKey   = 40
	MaxLabelValue = 80
)

// ClockSkew is more than the clocks of two instances differ.
const ClockSkew = time.Minute

// NextNumber is the number of a new intent: the acceptance in Unix milliseconds, or one more than the newest number of the things it is about.
// So intents about one thing have the order in which they were accepted, whatever the clocks of two instances say.
func NextNumber(accepted time.Time, newest ...int64) int64 {
	next := accepted.UnixMilli()
	for _, n := range newest {
		next = max(next, n+1)
	}
	return next
}

// Newest is the highest number of the claim.
func (c Claim) Newest() int64 {
	newest := max(c.CreateNumber, c.DeleteNumber, c.DescriptionNumber, c.ExpiryNumber)
	for _, d := range c.Deployed {
		newest = max(newest, d.Number)
	}
	return newest
}

// TakeBack ends a deletion that is not carried out, so that older intents hold again. One of which a call to ESA may have taken effect stays.
func (c *Claim) TakeBack(jobID, reason string) {
	if c.DeleteJob == jobID && c.State != Deleting {
		c.DeleteNumber, c.DeleteJob, c.Overtook = 0, "", nil
	}
	c.Reason = reason
}

// There reports whether ESA has shown the routine and nothing has shown since that it is gone.
func (c Claim) There() bool { return c.State == Live || c.State == Expiring || c.State == Deleting }
