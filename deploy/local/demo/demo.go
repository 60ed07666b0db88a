// Package demo shows in one run what Routinely promises: it starts the whole local deployment, submits a file of requests
// while the account lock is taken, answers are lost and ESA fails, and then checks what became of each.
//
// It is a stranger to the product: it submits over HTTP and MNS, reads the worker's report and the dead letters as JSON, looks
// into the local servers, and imports none of the product's code.
//
// A demo survives kill -9 of any of its processes. Function instances are started again by the local platform. A demo that is
// killed itself leaves its data directory, and the next one resumes: ESA and the queues are on disk, and all requests are
// submitted again with their idempotency keys, so that they are the same jobs. The ledger is thrown away, or accept would
// answer with what it knows of them: the jobs are to be done again without it. What the first run made, the second finds and
// adopts. So a line is accounted for by its job, and the job's last word counts: after a kill "adopted" is right where
// "created" is expected, and a job may have several dead letters that say the same. Only two things have to be written down,
// in a journal: how ESA looked before, and which messages went to the job queue without a key.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/stack"
)

// Config is what Run needs.
type Config struct {
	// Stack is the deployment. Its Dir, required, must be empty, absent or a demo's; RoutineQuota, ProvisionEnv and
	// OnInvocation are the demo's own and overwritten.
	Stack stack.Config
	// Keep leaves the data directory where it is after a success.
	Keep bool
	// NoColour keeps the report plain on a terminal too.
	NoColour bool
	// Output gets the report, Progress what happens meanwhile: bars if it is a terminal, lines otherwise. Required.
	Output, Progress io.Writer
}

// patience is how long nothing may happen while jobs are left, before the demo gives up waiting. A killed worker's message
// comes back after ten seconds at most.
const patience = time.Minute

const (
	// holdLimit bounds how long the foreign caller has the account lock, should nobody ask for it.
	holdLimit = 20 * time.Second
	// holdRefusals is how many calls must have met the lock before it is given back.
	holdRefusals = 3
	// lookEvery is how often the demo looks whether something has happened.
	lookEvery = 50 * time.Millisecond
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
	cfg      Config
	lines    []*line
	progress *progress
	book     *book
	journal  *journal
	stack    *stack.Stack
	http     *http.Client
	queues   queues
	submit   submitter
	// submissions are the lines', in their order.
	submissions []submission
	faults      []plannedFault
}

// Run performs one demo. It returns nil only if all checks hold, and removes the data directory then unless told to keep it.
// When ctx ends first, the next Run with the same directory resumes. After a failed check the directory stays for inspection
// and the next Run begins anew.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.Output == nil || cfg.Progress == nil || cfg.Stack.Dir == "" {
		return errors.New("demo: a data directory, an output and a progress output are required")
	}
	lines, err := readRequests()
	if err != nil {
		return err
	}
	j, err := openJournal(cfg.Stack.Dir, cfg.Stack.NoSync)
	if err != nil {
		return err
	}
	p := newProgress(cfg.Progress, len(lines), countJobs(lines))
	d := &demo{
		cfg: cfg, lines: lines, progress: p, book: newBook(p), journal: j,
		http: &http.Client{Transport: &http.Transport{}}, submissions: make([]submission, len(lines)),
	}
	defer d.http.CloseIdleConnections()
	list, err := d.run(ctx)
	switch n := failed(list); {
	case ctx.Err() != nil && list == nil:
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		return errors.Join(fmt.Errorf("stopped; the next demo resumes this one in %s", cfg.Stack.Dir), err, j.db.Close())
	case err != nil:
		return errors.Join(err, j.db.Close())
	case n > 0:
		return errors.Join(fmt.Errorf("%d of %d checks FAILED; the state is in %s", n, len(list), cfg.Stack.Dir), j.db.Close())
	case cfg.Keep:
		_, err := fmt.Fprintf(cfg.Output, "\nThe state is in %s; the next demo begins anew.\n", cfg.Stack.Dir)
		return errors.Join(err, j.db.Close())
	}
	return j.remove()
}

// run prepares the servers, plays the scenario and returns the checks, nil when it did not come to them.
func (d *demo) run(ctx context.Context) (list []check, err error) {
	defer d.progress.close()
	cfg := d.cfg.Stack
	cfg.RoutineQuota, cfg.ProvisionEnv, cfg.OnInvocation = quota(d.lines), provisionEnv(), d.book.note
	if d.journal.earlier > 0 {
		if err := d.journal.forget(); err != nil {
			return nil, err
		}
	}
	if d.stack, err = stack.New(cfg); err != nil {
		return nil, err
	}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(err, d.stack.Close())
	}
	defer d.submit.mns.Close()
	ctx, done := context.WithCancel(ctx)
	defer done()
	err = d.stack.Run(ctx, func(ctx context.Context) error {
		defer done()
		var failed error
		list, failed = d.play(ctx)
		return failed
	})
	return list, err
}

// prepare brings ESA into the state that the lines expect, before anything runs.
func (d *demo) prepare() (err error) {
	if d.journal.planted == nil {
		state, err := plant(d.stack.ESA())
		if err != nil {
			return err
		}
		d.journal.planted = &state
		if err := d.journal.add(entry{Planted: &state}); err != nil {
			return err
		}
	}
	if err := d.journal.add(entry{Started: true}); err != nil {
		return err
	}
	for _, l := range d.lines {
		d.nameJobs(l, submission{})
	}
	if d.faults, err = planFaults(d.stack.ESA().Faults(), d.lines); err != nil {
		return err
	}
	d.queues = queues{mns: d.stack.MNSURL(), http: d.http}
	d.submit = submitter{accept: d.stack.HTTPURL(), http: d.http, sent: d.journal.sentMessage, note: d.progress.note}
	d.submit.mns, err = mnsclient.New(mnsclient.Config{
		Endpoint: d.stack.MNSURL(), AccessKeyID: stack.AccessKeyID, AccessKeySecret: stack.AccessKeySecret, HTTPClient: d.http,
	})
	return err
}

// play is the scenario. It ends with the report and the checks.
func (d *demo) play(ctx context.Context) ([]check, error) {
	began := time.Now()
	d.progress.note("accept %s  ESA %s  MNS %s  Function Compute %s", d.stack.HTTPURL(), d.stack.ESAURL(), d.stack.MNSURL(), d.stack.FCURL())
	if n := d.journal.earlier; n > 0 {
		d.progress.note("resuming the demo in %s, start %d: submitting all requests again, with the same keys", d.cfg.Stack.Dir, n+1)
	}
	calm, rough, late := split(d.lines)
	for _, step := range []func() error{
		func() error { return d.submitAll(ctx, calm) },
		func() error { return d.whileLocked(ctx, rough) },
		func() error { return d.drain(ctx) },
		func() error { return d.whileLocked(ctx, late) },
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
	d.progress.close()
	all := account(&o)
	list := checks(&o, all)
	r := report{to: d.cfg.Output, colour: !d.cfg.NoColour && isTerminal(d.cfg.Output)}
	if err := r.write(&o, all, list, time.Since(began)); err != nil {
		return list, err
	}
	return list, d.journal.add(entry{Ended: true})
}

// split parts the lines, as indices, into those before the faults, the others, and those that have to wait for them. The
// second part begins one line before the first fault: whatever the worker has done by then, a line without one meets the lock
// first and keeps the faults from striking calls that the lock refuses.
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
		l := d.lines[i]
		got, err := d.submit.submit(ctx, l)
		if err != nil {
			return err
		}
		d.submissions[i] = got
		d.nameJobs(l, got)
		d.progress.submitted("%s  %s", got.shown(), l.Case)
	}
	return nil
}

// nameJobs tells the book whose the jobs and messages of a line are.
func (d *demo) nameJobs(l *line, got submission) {
	if got.jobID != "" {
		d.book.name(got.jobID, l.Case)
	}
	for id := range d.journal.messages(l.Key) {
		d.book.name(id, l.Case)
	}
}

// whileLocked submits lines while a foreign caller has the account lock, who gives it back once calls have met it.
func (d *demo) whileLocked(ctx context.Context, which []int) error {
	esa := d.stack.ESA()
	if err := esa.HoldLock(ctx, holdLimit); err != nil {
		return err
	}
	defer esa.ReleaseLock()
	began, before := time.Now(), d.refusals()
	d.progress.note("a foreign caller has the account lock")
	if err := d.submitAll(ctx, which); err != nil {
		return err
	}
	for d.refusals() < before+holdRefusals && time.Since(began) < holdLimit {
		if err := wait(ctx, lookEvery); err != nil {
			return err
		}
	}
	d.progress.note("the foreign caller gives the lock back after %.1f s; it refused %d calls", time.Since(began).Seconds(), d.refusals()-before)
	return nil
}

// refusals is how many calls of ESA met the lock.
func (d *demo) refusals() int {
	n := 0
	for _, call := range d.stack.ESA().Faults().Calls() {
		if call.Code == codeLocked {
			n++
		}
	}
	return n
}

// drain waits until the job queue is empty: then every job is over, since a message is deleted only once it was worked on or
// a successor was sent. When nothing happens for too long it returns all the same, and the checks tell what is missing.
func (d *demo) drain(ctx context.Context) error {
	seen, since := 0, time.Now()
	for {
		left, err := d.queues.left(ctx)
		if err != nil || left == 0 {
			return err
		}
		if words, _ := d.book.read(); len(words) > seen {
			seen, since = len(words), time.Now()
		}
		if time.Since(since) > patience {
			d.progress.note("nothing has happened for %s and %d messages are left", patience, left)
			return nil
		}
		if err := wait(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// look takes stock once all is settled.
func (d *demo) look(ctx context.Context) (o outcome, err error) {
	o = outcome{lines: d.lines, submissions: d.submissions, journal: d.journal}
	if o.left, err = d.queues.left(ctx); err != nil {
		return o, err
	}
	if o.letters, err = d.queues.letters(ctx); err != nil {
		return o, err
	}
	if o.state, err = d.stack.ESA().State(); err != nil {
		return o, err
	}
	o.words, o.broken = d.book.read()
	o.repeated = d.submit.repeated
	set := d.stack.ESA().Faults()
	o.calls, o.faults = set.Calls(), struck(set, d.faults)
	return o, nil
}
