// Package demo shows in one run what Routinely promises: it starts the whole local deployment, submits a file of requests while the account
// lock is taken, answers are lost, ESA fails, the ledger is down for a while and so is MNS, and then checks what became of each.
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
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/stack"
)

// Config is what Run needs.
type Config struct {
	// Stack is the deployment. Its Dir, required, gets a directory for this demo; RoutineQuota and ProvisionEnv are the demo's own and
	// overwritten.
	Stack stack.Config
	// Keep leaves that directory where it is after a success.
	Keep bool
	// NoColour keeps the report plain on a terminal too.
	NoColour bool
	// Output gets the report, Progress a line for each thing that happens meanwhile. Required.
	Output, Progress io.Writer
}

const (
	// patience is how long nothing may happen while jobs are left, before the demo gives up waiting.
	patience = time.Minute
	// holdLimit bounds how long the foreign caller has the account lock, should nobody ask for it.
	holdLimit = 20 * time.Second
	// holdRefusals is how many calls must have met the lock before it is given back.
	holdRefusals = 3
	// lookEvery is how often the demo looks whether something has happened.
	lookEvery = 50 * time.Millisecond
	// askedDown is how often a request is submitted while the ledger is down, and sentDown how many are submitted while MNS is.
	askedDown, sentDown = 2, 3
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
	// planted is ESA before the first request, and faults are those that wait for the requests.
	planted esaemu.State
	faults  []plannedFault
	lines   []*line
	// submissions are the lines', in their order.
	submissions []submission
	// refused counts the answers without a ledger, and waiting the jobs that were accepted without MNS.
	refused, waiting int
}

// Run performs one demo. It returns nil only if all checks hold, and removes its directory then unless told to keep it.
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
	d := &demo{cfg: cfg, began: time.Now(), lines: lines, submissions: make([]submission, len(lines))}
	list, err := d.run(ctx)
	switch n := failed(list); {
	case err != nil:
		return fmt.Errorf("%w; the state is in %s", err, cfg.Stack.Dir)
	case list == nil:
		return fmt.Errorf("stopped; the state is in %s", cfg.Stack.Dir)
	case n > 0:
		return fmt.Errorf("%d of %d checks FAILED; the state is in %s", n, len(list), cfg.Stack.Dir)
	case cfg.Keep:
		_, err := fmt.Fprintf(cfg.Output, "\nThe state is in %s.\n", cfg.Stack.Dir)
		return err
	}
	return os.RemoveAll(cfg.Stack.Dir)
}

// run plays the scenario and returns the checks, nil when it did not come to them.
func (d *demo) run(ctx context.Context) (list []check, err error) {
	cfg := d.cfg.Stack
	cfg.RoutineQuota, cfg.ProvisionEnv = quota(d.lines), provisionEnv()
	if d.stack, err = stack.New(cfg); err != nil {
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
	if d.planted, err = plant(d.stack.ESA()); err != nil {
		return err
	}
	if d.faults, err = planFaults(d.stack.ESA().Faults(), d.lines); err != nil {
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
	calm, rough, late := split(d.lines)
	for _, step := range []func() error{
		func() error { return d.submitAll(ctx, calm) },
		func() error { return d.whileLocked(ctx, func() error { return d.submitInOutages(ctx, rough) }) },
		func() error { return d.drain(ctx) },
		func() error { return d.whileLocked(ctx, func() error { return d.submitAll(ctx, late) }) },
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
	list := checks(&o)
	r := report{to: d.cfg.Output, colour: !d.cfg.NoColour && isTerminal(d.cfg.Output)}
	return list, r.write(&o, list, time.Since(d.began))
}

// note shows something that happens. That nobody can see it is no reason to fail.
func (d *demo) note(format string, args ...any) {
	_, _ = fmt.Fprintf(d.cfg.Progress, "%6.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// split parts the lines, as indices, into those before the faults, the others, and those that have to wait for them. The second part begins
// one line before the first fault: whatever the worker has done by then, a line without one meets the lock first and keeps the faults from
// striking calls that the lock refuses.
func split(lines []*line) (calm, rough, late []int) {
	for i, l := range lines {
		switch next := min(i+1, len(lines)-1); {
		case l.Last:
			late = append(late, i)
		case len(rough) > 0 || len(lines[next].Meets) > 0:
			rough = append(rough, i)
		default:
			calm = append(calm, i)
		}
	}
	return calm, rough, late
}

func (d *demo) submitAll(ctx context.Context, which []int) error {
	for _, i := range which {
		if err := d.submit(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// submit hands one line over.
func (d *demo) submit(ctx context.Context, i int) (err error) {
	l := d.lines[i]
	if l.Queue {
		_, err = d.mns.Send(ctx, stack.Queue, l.text(), 0)
	} else {
		d.submissions[i], err = d.accept.submit(ctx, l)
	}
	if err != nil {
		return fmt.Errorf("submit %q: %w", l.Case, err)
	}
	d.note("submitted %d/%d  %s  %s", i+1, len(d.lines), d.submissions[i].shown(), l.Case)
	return nil
}

// submitInOutages submits lines while the ledger is down, then MNS, then neither.
func (d *demo) submitInOutages(ctx context.Context, which []int) error {
	end, err := d.outage("the ledger", d.stack.OTS().Faults())
	if err != nil {
		return err
	}
	for range askedDown {
		answer, err := d.accept.submit(ctx, d.lines[which[0]])
		if err != nil {
			return err
		}
		if answer.status == http.StatusServiceUnavailable {
			d.refused++
		}
		d.note("without the ledger  %s", answer.shown())
	}
	end()
	if end, err = d.outage("MNS", d.stack.MNS().Faults()); err != nil {
		return err
	}
	without, rest := which[:sentDown], which[sentDown:]
	if err := d.submitAll(ctx, without); err != nil {
		return err
	}
	for _, i := range without {
		if d.submissions[i].waitingFor == "queue" {
			d.waiting++
		}
	}
	end()
	if err := d.stack.Sweep(ctx); err != nil {
		return fmt.Errorf("the janitor: %w", err)
	}
	return d.submitAll(ctx, rest)
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

// whileLocked does something while a foreign caller has the account lock, who gives it back once calls have met it.
func (d *demo) whileLocked(ctx context.Context, do func() error) error {
	esa := d.stack.ESA()
	if err := esa.HoldLock(ctx, holdLimit); err != nil {
		return err
	}
	defer esa.ReleaseLock()
	began, before := time.Now(), d.refusals()
	d.note("a foreign caller has the account lock")
	if err := do(); err != nil {
		return err
	}
	for d.refusals() < before+holdRefusals && time.Since(began) < holdLimit {
		if err := wait(ctx, lookEvery); err != nil {
			return err
		}
	}
	d.note("the foreign caller gives the lock back after %.1f s; it refused %d calls", time.Since(began).Seconds(), d.refusals()-before)
	return nil
}

// refusals is how many calls of ESA met the lock.
func (d *demo) refusals() (n int) {
	for _, call := range d.stack.ESA().Faults().Calls() {
		if call.Code == codeLocked {
			n++
		}
	}
	return n
}

// drain waits until as many jobs have ended as there must be. When nothing happens for too long it returns all the same, and the checks tell
// what is missing.
func (d *demo) drain(ctx context.Context) error {
	want, seen, since := countJobs(d.submitted()), -1, time.Now()
	for {
		jobs, err := d.accept.jobs(ctx)
		if err != nil {
			return err
		}
		ended := 0
		for _, j := range jobs {
			if j.State != "queued" {
				ended++
			}
		}
		if ended != seen {
			seen, since = ended, time.Now()
			d.note("ended %d/%d", ended, want)
		}
		switch {
		case ended == len(jobs) && ended >= want:
			return nil
		case time.Since(since) > patience:
			d.note("nothing has happened for %s", patience)
			return nil
		}
		if err := wait(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// submitted are the lines that were handed over so far.
func (d *demo) submitted() (out []*line) {
	for i, l := range d.lines {
		if l.Queue || d.submissions[i].status != 0 {
			out = append(out, l)
		}
	}
	return out
}

// wait returns after d, or early with the error of ctx.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
