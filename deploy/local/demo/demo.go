// Package demo shows in one run what Routinely promises: it starts the whole local deployment, submits a file of requests while the account
// lock is taken, answers are lost, ESA fails, the ledger is down for a while and so is MNS, and others meddle with the account, and then checks what
// became of each.
//
// It is a stranger to the product: it submits over HTTP and MNS, asks accept what became of each job, looks into the local servers, and
// imports none of the product's code.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/fcemu"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/stack"
)

// Config is what Run needs.
type Config struct {
	// Stack is the deployment. Its Dir, required, gets a directory for this demo; ProvisionEnv is the demo's own and
	// overwritten.
	Stack stack.Config
	// Output gets the report, Progress a line for each thing that happens meanwhile. Required.
	Output, Progress io.Writer
}

const (
	// patience is how long the demo waits for jobs to end.
	patience = 3 * time.Minute
	// holdLimit bounds how long the foreign caller has the account lock, should nobody ask for it.
	holdLimit = 20 * time.Second
	// holdRefusals is how many calls must have met the lock before it is given back.
	holdRefusals = 3
	// lookEvery is how often the demo looks whether something has happened.
	lookEvery = 50 * time.Millisecond
	// sentDown is how many requests are submitted while MNS is down.
	sentDown = 3
)

// provisionEnv keeps waiting short: MNS delays are whole seconds, so one second is the shortest backoff there is.
func provisionEnv() map[string]string {
	return map[string]string{
		"ROUTINELY_RETRY_BASE": "1s", "ROUTINELY_RETRY_CAP": "2s",
		"ROUTINELY_LOCK_POLL_MIN": "20ms", "ROUTINELY_LOCK_POLL_MAX": "100ms",
		"ROUTINELY_ESA_TIMEOUT": "5s", "ROUTINELY_RESERVE": "2s",
	}
}

// demo is one run.
type demo struct {
	cfg    Config
	began  time.Time
	stack  *stack.Stack
	accept client
	mns    *mnsclient.Client
	lines  []*line
	// want are the routines that ESA must hold in the end, by name, and planted the ordinary records.
	want    map[string]esaemu.Routine
	planted []esaemu.Record
	// cost is how many attempts the planned faults cost.
	cost int
	// down is the answer without a ledger, and waiting counts the jobs that were accepted without MNS.
	down    submission
	waiting int
}

// Run performs one demo. It returns nil only if all checks hold, and removes its directory then.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.Output == nil || cfg.Progress == nil || cfg.Stack.Dir == "" {
		return errors.New("demo: a data directory, an output and a progress output are required")
	}
	lines, err := readRequests()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.Stack.Dir, 0o700); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if cfg.Stack.Dir, err = os.MkdirTemp(cfg.Stack.Dir, "demo-"); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	cfg.Stack.ProvisionEnv = provisionEnv()
	d := &demo{cfg: cfg, began: time.Now(), lines: lines}
	list, err := d.run(ctx)
	switch n := failed(list); {
	case err != nil:
		return fmt.Errorf("%w; the state is in %s", err, cfg.Stack.Dir)
	case list == nil:
		return fmt.Errorf("stopped; the state is in %s", cfg.Stack.Dir)
	case n > 0:
		return fmt.Errorf("%d of %d checks FAILED; the state is in %s", n, len(list), cfg.Stack.Dir)
	}
	return os.RemoveAll(cfg.Stack.Dir)
}

// run plays the scenario and returns the checks, nil when it did not come to them.
func (d *demo) run(ctx context.Context) (list []check, err error) {
	if d.stack, err = stack.New(d.cfg.Stack); err != nil {
		return nil, err
	}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(err, d.stack.Close())
	}
	defer d.mns.Close()
	defer d.accept.http.CloseIdleConnections()
	ctx, done := context.WithCancel(ctx)
	defer done()
	err = d.stack.Run(ctx, func(ctx context.Context) error {
		defer done()
		var failed error
		list, failed = d.play(ctx)
		if errors.Is(failed, context.Canceled) {
			return nil
		}
		return failed
	})
	return list, err
}

// prepare brings ESA into the state that the lines expect, before anything runs.
func (d *demo) prepare() (err error) {
	if err := d.plant(d.stack.ESA()); err != nil {
		return err
	}
	if d.cost, err = planFaults(d.stack.ESA().Faults(), d.lines); err != nil {
		return err
	}
	d.accept = client{url: d.stack.HTTPURL(), http: &http.Client{Transport: &http.Transport{}}}
	d.mns, err = mnsclient.New(mnsclient.Config{
		Endpoint: d.stack.MNSURL(), AccessKeyID: stack.AccessKeyID, AccessKeySecret: stack.AccessKeySecret, HTTPClient: d.accept.http,
	})
	return err
}

// play is the scenario. It ends with the report and the checks.
func (d *demo) play(ctx context.Context) ([]check, error) {
	d.note("accept %s  ESA %s  MNS %s  Function Compute %s", d.stack.HTTPURL(), d.stack.ESAURL(), d.stack.MNSURL(), d.stack.FCURL())
	// The lines of the first part that meet faults begin one line later: whatever the worker has done by then, a line without one meets the lock first
	// and keeps the faults from striking calls that the lock refuses.
	first := d.part(0)
	second := slices.IndexFunc(first, func(l *line) bool { return len(l.Meets) > 0 }) - 1
	for _, step := range []func() error{
		func() error { return d.submit(ctx, first[:second]) },
		func() error {
			return d.whileLocked(ctx, func() error { return d.submitInOutages(ctx, first[second:]) })
		},
		func() error { return d.drain(ctx) },
		d.meddle,
		func() error { return d.whileLocked(ctx, func() error { return d.submit(ctx, d.part(1)) }) },
		func() error { return d.drain(ctx) },
		func() error { return d.submit(ctx, d.part(2)) },
		func() error { return d.drain(ctx) },
		func() error { return d.submit(ctx, d.part(3)) },
		func() error { return d.drain(ctx) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	o, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	list := d.checks(o)
	_, err = io.WriteString(d.cfg.Output, d.report(list))
	return list, err
}

// part are the lines of one part.
func (d *demo) part(n int) []*line {
	return slices.DeleteFunc(slices.Clone(d.lines), func(l *line) bool { return l.Part != n })
}

// note shows something that happens. An output that fails does not end the demo.
func (d *demo) note(format string, args ...any) {
	_, _ = fmt.Fprintf(d.cfg.Progress, "%6.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// submit hands lines over.
func (d *demo) submit(ctx context.Context, lines []*line) (err error) {
	for _, l := range lines {
		if l.Queue {
			_, err = d.mns.Send(ctx, stack.Queue, l.text(), 0)
		} else {
			l.answer, err = d.accept.submit(ctx, l)
		}
		if err != nil {
			return fmt.Errorf("submit %q: %w", l.Case, err)
		}
		d.expect(l)
		d.note("submitted %d/%d  %s  %s", l.number, len(d.lines), l.answer, l.Case)
	}
	return nil
}

// submitInOutages submits lines while the ledger is down, then MNS, then neither.
func (d *demo) submitInOutages(ctx context.Context, lines []*line) error {
	end, err := d.outage("the ledger", d.stack.OTS().Faults())
	if err != nil {
		return err
	}
	if d.down, err = d.accept.submit(ctx, lines[0]); err != nil {
		return err
	}
	d.note("without the ledger  %s", d.down)
	end()
	if end, err = d.outage("MNS", d.stack.MNS().Faults()); err != nil {
		return err
	}
	without, rest := lines[:sentDown], lines[sentDown:]
	if err := d.submit(ctx, without); err != nil {
		return err
	}
	for _, l := range without {
		if l.answer.waitingFor == "queue" {
			d.waiting++
		}
	}
	end()
	if err := d.stack.Sweep(ctx); err != nil {
		return fmt.Errorf("the janitor: %w", err)
	}
	return d.submit(ctx, rest)
}

// outage lets all calls of a server fail until it is ended.
func (d *demo) outage(name string, set *faults.Set) (end func(), err error) {
	_, err = set.Add(faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Reset}})
	d.note("%s does not answer", name)
	return func() {
		set.Clear()
		d.note("%s answers again", name)
	}, err
}

// whileLocked does something while a foreign caller has the account lock. That caller gives it back once calls have met it.
func (d *demo) whileLocked(ctx context.Context, do func() error) error {
	esa := d.stack.ESA()
	if err := esa.HoldLock(ctx, holdLimit); err != nil {
		return err
	}
	defer esa.ReleaseLock()
	refusals := func() int { return locked(esa.Faults().Calls()) }
	began, before := time.Now(), refusals()
	d.note("a foreign caller has the account lock")
	if err := do(); err != nil {
		return err
	}
	for refusals() < before+holdRefusals && time.Since(began) < holdLimit && ctx.Err() == nil {
		time.Sleep(lookEvery)
	}
	d.note("the foreign caller gives the lock back after %.1f s; it refused %d calls", time.Since(began).Seconds(), refusals()-before)
	return ctx.Err()
}

// drain waits until as many jobs have ended as there must be, and the functions have written down what they learned. After too long it returns all the
// same, and the checks say what is missing.
func (d *demo) drain(ctx context.Context) error {
	submitted := slices.DeleteFunc(slices.Clone(d.lines), func(l *line) bool { return !l.Queue && l.answer.status == 0 })
	want, seen := countJobs(submitted), -1
	for began := time.Now(); time.Since(began) < patience; {
		jobs, err := d.accept.jobs(ctx)
		if err != nil {
			return err
		}
		ended := len(slices.DeleteFunc(slices.Clone(jobs), func(j *job) bool { return j.State == "queued" }))
		if ended != seen {
			d.note("ended %d/%d", ended, want)
			seen = ended
		}
		if ended == len(jobs) && ended >= want && d.idle() {
			return nil
		}
		time.Sleep(lookEvery)
	}
	d.note("waited for %s", patience)
	return nil
}

// idle reports whether no function is at work.
func (d *demo) idle() bool {
	return !slices.ContainsFunc(d.stack.FC().Instances(), func(in fcemu.Instance) bool { return in.State == "busy" })
}
