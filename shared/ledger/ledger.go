package ledger

import (
	"context"
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
	// Timeout bounds each call of Tablestore; the package's comment tells how many the methods make in turn, more if others
	// write the same job. Required.
	Timeout time.Duration
	// Retention is how long a job is remembered after its last change, in whole seconds; 0 means for ever. Only Setup uses it.
	Retention time.Duration
	// Now gives entries that have none their time; nil means time.Now.
	Now func() time.Time
}

// Ledger remembers what happens to jobs. It is safe for concurrent use. Errors are *fault.Error.
type Ledger struct {
	cfg    Config
	table  *table
	memory memory
	over   leftovers
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
