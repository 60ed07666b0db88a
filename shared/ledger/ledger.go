package ledger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"routinely/shared/accesskey"
	"routinely/shared/config"
	"routinely/shared/endpoint"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// MinRetention is the shortest time that jobs are kept: a dead letter has to outlive everybody's holidays. Tablestore itself takes a day.
const MinRetention = config.MinRetention

// Config is what a Ledger needs.
type Config struct {
	// Endpoint is the instance's address, an http or https URL such as https://INSTANCE.cn-hangzhou.ots.aliyuncs.com. Required.
	Endpoint string
	// Instance is the name of the Tablestore instance. Required.
	Instance string
	// Table and StateTable are the names of the table of the jobs, and of that of the account and of claims. Required.
	Table, StateTable string
	// Credentials is where the key of each call comes from. Required.
	Credentials accesskey.Source
	// Timeout bounds each call of Tablestore. Required.
	Timeout time.Duration
	// Retention is how long a job is remembered after its last change, in whole seconds; 0 means for ever. Only Setup uses it.
	Retention time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Ledger is the home of jobs and claims. It is safe for concurrent use. Errors are *fault.Error.
type Ledger struct {
	cfg         Config
	jobs, state *table
}

// Open returns the ledger of a deployment. It makes no call; the error says which setting is wrong.
func Open(cfg config.Ledger, prefix config.Prefix, credentials accesskey.Source) (*Ledger, error) {
	return New(configOf(cfg, prefix, credentials))
}

// OpenForSetup is Open for whoever makes, examines or deletes the tables: it knows how long jobs are to be kept.
func OpenForSetup(cfg config.Setup, credentials accesskey.Source) (*Ledger, error) {
	c := configOf(cfg.Ledger, cfg.Prefix, credentials)
	c.Retention = cfg.Retention
	return New(c)
}

func configOf(cfg config.Ledger, prefix config.Prefix, credentials accesskey.Source) Config {
	return Config{
		Endpoint: cfg.Endpoint, Instance: cfg.Instance, Table: prefix.JobTable(), StateTable: prefix.StateTable(), Credentials: credentials,
		Timeout: cfg.Timeout,
	}
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
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	switch {
	case !validInstance(cfg.Instance):
		return nil, fmt.Errorf("ledger: instance %q: want 3 to 16 letters, digits and inner hyphens, a letter first", cfg.Instance)
	case !validTable(cfg.Table) || !validTable(cfg.StateTable) || cfg.Table == cfg.StateTable:
		return nil, fmt.Errorf("ledger: tables %q and %q: want two names of 1 to 255 letters, digits and underscores, no digit first", cfg.Table, cfg.StateTable)
	case cfg.Credentials == nil || cfg.Timeout <= 0:
		return nil, errors.New("ledger: credentials and a timeout are required")
	case cfg.Retention != 0 && (cfg.Retention < MinRetention || cfg.Retention.Seconds() > math.MaxInt32):
		return nil, fmt.Errorf("ledger: retention %s: want 0 for ever, or %s to %d seconds", cfg.Retention, MinRetention, math.MaxInt32)
	}
	address, err := endpoint.Origin(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("ledger: endpoint %w", err)
	}
	transport := newTransport()
	open := func(name string) *table {
		return &table{
			name: name, endpoint: address.String(), instance: cfg.Instance, key: cfg.Credentials, timeout: cfg.Timeout, transport: transport,
		}
	}
	return &Ledger{cfg: cfg, jobs: open(cfg.Table), state: open(cfg.StateTable)}, nil
}

// Close drops the idle connections.
func (l *Ledger) Close() { l.jobs.transport.CloseIdleConnections() }

// Row returns all that is kept of a job. A job that the ledger does not know is a fault of kind NotFound with CodeUnknownJob.
func (l *Ledger) Row(ctx context.Context, id string) (Row, error) {
	found, err := l.Rows(ctx, []string{id})
	if err != nil {
		return Row{}, err
	}
	return found[0].Row, found[0].Err
}

// Found is what is known of one job.
type Found struct {
	// Row is the job, whole.
	Row Row
	// Err is a *fault.Error if the job is unknown, of kind NotFound with CodeUnknownJob, or its row cannot be read.
	Err error
}

// Rows is Row for many jobs, in few calls, and answers in their order. An id may be there twice. The error is that of a call.
func (l *Ledger) Rows(ctx context.Context, ids []string) ([]Found, error) {
	found := make(map[string]Found, len(ids))
	for chunk := range slices.Chunk(distinct(ids), wholeRows) {
		rows, err := l.jobs.read(ctx, chunk, nil)
		if err != nil {
			return nil, err
		}
		for i, id := range chunk {
			if found[id] = (Found{Err: rows[i].err}); rows[i].row != nil {
				found[id] = Found{Row: *rows[i].row}
			}
		}
	}
	out := make([]Found, len(ids))
	for i, id := range ids {
		if out[i] = found[id]; out[i].Err == nil && out[i].Row.seq == 0 {
			out[i].Err = UnknownJob(cut(id, maxWord))
		}
	}
	return out, nil
}

// distinct are the ids that a job can have, each once, in their order.
func distinct(ids []string) []string {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !validID(id) })
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Job returns a job as its readers may see it. Unknown jobs are as for Row.
func (l *Ledger) Job(ctx context.Context, id string) (routine.Job, error) {
	r, err := l.Row(ctx, id)
	return r.Shown(), err
}

// UnknownJob is the fault of a job that the ledger does not know.
func UnknownJob(id string) error {
	return &fault.Error{
		Kind: fault.NotFound, Step: "ledger", Code: CodeUnknownJob, Message: fmt.Sprintf("no job %q is recorded", id),
		Hint: "Check the id. Jobs are forgotten when their retention has passed.",
	}
}
