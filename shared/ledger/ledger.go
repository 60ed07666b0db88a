package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// DefaultTable is the name of the table unless another is configured.
const DefaultTable = "routinely_jobs"

// MinRetention is the shortest time to live that Tablestore takes.
const MinRetention = 24 * time.Hour

// Config is what a Ledger needs.
type Config struct {
	// Endpoint is the instance's address, an http or https URL such as https://INSTANCE.cn-hangzhou.ots.aliyuncs.com. Required.
	Endpoint string
	// Instance is the name of the Tablestore instance. Required.
	Instance string
	// Table is the table's name; DefaultTable when empty.
	Table string
	// Credentials returns the access key to sign the next call with; the token is empty for a long-lived key. Required.
	Credentials func() (accessKeyID, accessKeySecret, securityToken string)
	// Timeout bounds each call of Tablestore; one method here makes up to four in turn, more if others write the same job.
	// Required.
	Timeout time.Duration
	// Retention is how long a job is remembered after its last change, in whole seconds; 0 means for ever. Only Setup uses it.
	Retention time.Duration
	// Now gives entries that have none their time; nil means time.Now.
	Now func() time.Time
}

// Ledger remembers what happens to jobs. It is safe for concurrent use. Errors are *fault.Error.
type Ledger struct {
	cfg   Config
	table *table
}

// Names by the service's rules (limits page of the wide column model).
const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

func validInstance(name string) bool {
	return len(name) >= 3 && len(name) <= 16 && strings.Contains(letters, name[:1]) && !strings.HasSuffix(name, "-") &&
		strings.Trim(name, letters+digits+"-") == ""
}

func validTable(name string) bool {
	return len(name) >= 1 && len(name) <= 255 && !strings.Contains(digits, name[:1]) && strings.Trim(name, letters+digits+"_") == ""
}

// New checks the configuration and returns a ledger. It makes no call.
func New(cfg Config) (*Ledger, error) {
	if cfg.Table == "" {
		cfg.Table = DefaultTable
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	switch {
	case !validInstance(cfg.Instance):
		return nil, fmt.Errorf("ledger: instance %q: want 3 to 16 letters, digits and inner hyphens, a letter first", cfg.Instance)
	case !validTable(cfg.Table):
		return nil, fmt.Errorf("ledger: table %q: want 1 to 255 letters, digits and underscores, no digit first", cfg.Table)
	case cfg.Credentials == nil || cfg.Timeout <= 0:
		return nil, errors.New("ledger: credentials and a timeout are required")
	case cfg.Retention != 0 && (cfg.Retention < MinRetention || cfg.Retention.Seconds() > math.MaxInt32):
		return nil, fmt.Errorf("ledger: retention %s: want 0 for ever, or %s to %d seconds", cfg.Retention, MinRetention, math.MaxInt32)
	}
	endpoint, err := checkEndpoint(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	return &Ledger{cfg: cfg, table: &table{
		name: cfg.Table, endpoint: endpoint, instance: cfg.Instance, credentials: cfg.Credentials, timeout: cfg.Timeout,
		transport: newTransport(),
	}}, nil
}

// Close drops the idle connections.
func (l *Ledger) Close() { l.table.transport.CloseIdleConnections() }

// Claim records that a job was accepted, unless a job of its id is there: then that job is returned as existing, and
// sameBody tells whether it asks for the same. Of job ID, Caller, AcceptedAt and Request are read.
//
// Of several claims at once exactly one returns no existing job. An existing job that is queued and that no worker has begun
// (Job.StartedAt is zero) may never have reached the queue, because whoever claimed it failed in between: sending it again is
// harmless, leaving it is not.
func (l *Ledger) Claim(ctx context.Context, job routine.Job) (existing *routine.Job, sameBody bool, err error) {
	was, err := origin(job)
	if err != nil {
		return nil, false, err
	}
	body := bodyHash(job.Request)
	for range maxTries {
		r, err := l.table.read(ctx, was.ID)
		if err != nil {
			return nil, false, err
		}
		if r.seq > 0 {
			found := r.job()
			return &found, r.head.Body == body, nil
		}
		claimed, err := l.put(ctx, was, body)
		if err != nil || claimed {
			return nil, false, err
		}
	}
	return nil, false, contended(was.ID)
}

// put writes a new job and reports whether it was this call that did.
func (l *Ledger) put(ctx context.Context, was routine.Job, body string) (claimed bool, err error) {
	r := begin(was, Entry{Kind: Queued, At: was.AcceptedAt})
	r.head.Body, r.head.Claim = body, rand.Text()
	if err := l.table.putIndex(ctx, r.head.ID, r.head.indexKeys()); err != nil {
		return false, err
	}
	err = l.table.create(ctx, r)
	if !lost(err) {
		return err == nil, err
	}
	// The connection may have broken after the row was put, and the put have been sent once more.
	found, err := l.table.read(ctx, was.ID)
	return err == nil && found.head.Claim == r.head.Claim, err
}

// Record is what an entry made of a job.
type Record struct {
	// Job is the job after the entry.
	Job routine.Job
	// Late means that the job was past the entry and is unchanged.
	Late bool
	// Untidy is not nil if index rows of the state that the job left could not be deleted. The entry is recorded and lists
	// are right all the same; it is for the log.
	Untidy error
}

// maxTries bounds how often a write begins anew because another writer was faster. Each time one of the others got through,
// and a job has few writers with little to say.
const maxTries = 40

// Append records an entry of the job. Of job the ID is read, and Caller, AcceptedAt and Request if the ledger does not know
// the job; without AcceptedAt, and for a cancellation, an unknown job is a fault with the code UnknownJob. An entry that
// comes too late is no error, see Record.Late. Append may be repeated after any fault, with the same Entry.At.
func (l *Ledger) Append(ctx context.Context, job routine.Job, e Entry) (Record, error) {
	was, err := origin(job)
	if err != nil {
		return Record{}, err
	}
	if e, err = e.prepare(l.cfg.Now()); err != nil {
		return Record{}, err
	}
	var touched []key
	for range maxTries {
		r, err := l.table.read(ctx, was.ID)
		if err != nil {
			return Record{}, err
		}
		if r.seq == 0 && (e.Kind == Cancelled || job.AcceptedAt.IsZero()) {
			return Record{}, unknownJob(was.ID)
		}
		next, did := r.with(was, bodyHash(job.Request), e)
		if err := l.write(ctx, r, next, did, &touched); lost(err) {
			continue
		} else if err != nil {
			return Record{}, err
		}
		return Record{Job: next.job(), Late: did.late, Untidy: l.tidy(ctx, next, touched)}, nil
	}
	return Record{}, contended(was.ID)
}

// with folds the entry into the record, or begins one with it.
func (r record) with(was routine.Job, body string, e Entry) (record, change) {
	if r.seq > 0 {
		return r.fold(e)
	}
	next := begin(was, e)
	next.head.Body = body
	return next, change{}
}

// write makes the record in the table what it is to be next, in the order the package's comment describes.
func (l *Ledger) write(ctx context.Context, was, next record, did change, touched *[]key) error {
	if did.none {
		return nil
	}
	var old []key
	if was.seq > 0 {
		old = was.head.indexKeys()
	}
	// A change of state changes half of the keys; the others are put again so that they live as long.
	if keys := next.head.indexKeys(); len(without(keys, old)) > 0 {
		*touched = append(*touched, append(old, keys...)...)
		if err := l.table.putIndex(ctx, next.head.ID, keys); err != nil {
			return err
		}
	}
	if was.seq == 0 {
		return l.table.create(ctx, next)
	}
	return l.table.update(ctx, was.seq, next, did.column)
}

// tidy deletes the index rows that were touched and do not belong to the job. None of them can ever come to count: states
// that were left or missed are over, since the number of redrives is part of their keys.
func (l *Ledger) tidy(ctx context.Context, now record, touched []key) error {
	stale := without(touched, now.head.indexKeys())
	if len(stale) == 0 {
		return nil
	}
	return l.table.deleteIndex(ctx, stale)
}

// Job returns a job, with its Attempts. A job that the ledger does not know is a fault of kind NotFound, code UnknownJob.
func (l *Ledger) Job(ctx context.Context, id string) (routine.Job, error) {
	r, err := l.known(ctx, id)
	return r.job(), err
}

// History returns what is kept of a job's entries, oldest first, late ones included. Unknown jobs are as for Job.
func (l *Ledger) History(ctx context.Context, id string) ([]Entry, error) {
	r, err := l.known(ctx, id)
	return r.history(), err
}

func (l *Ledger) known(ctx context.Context, id string) (record, error) {
	if !validID(id) {
		return record{}, unknownJob(cut(id, maxWord))
	}
	r, err := l.table.read(ctx, id)
	if err == nil && r.seq == 0 {
		err = unknownJob(id)
	}
	return r, err
}

func unknownJob(id string) error {
	return &fault.Error{
		Kind: fault.NotFound, Step: "ledger", Code: "UnknownJob", Message: fmt.Sprintf("no job %q is recorded", id),
		Hint: "Check the id. Jobs are forgotten when their retention has passed.",
	}
}

// contended is a write that others were always faster than.
func contended(id string) error {
	return &fault.Error{
		Kind: fault.Unavailable, Step: "ledger", Code: "Contended",
		Message: fmt.Sprintf("job %q was written by others %d times in a row", id, maxTries), Hint: hintUnavailable,
	}
}
