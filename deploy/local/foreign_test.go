package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/stack"
)

// foreignPrefix begins the names of foreign routines.
const foreignPrefix = "foreign-"

// foreign is another program of the same account, which uses the official SDK and knows nothing of Routinely.
type foreign struct {
	sdk *esa.Client
	// cycles counts the routines that it made and removed again, refused the calls that met the account lock.
	cycles, refused int
}

func newForeign(t *testing.T, url string) *foreign {
	t.Helper()
	client, err := esa.NewClient(&openapi.Config{
		Endpoint: tea.String(host(url)), Protocol: tea.String("HTTP"),
		AccessKeyId: tea.String(stack.AccessKeyID), AccessKeySecret: tea.String(stack.AccessKeySecret),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &foreign{sdk: client}
}

// insist makes a call until it does not meet the lock.
func (f *foreign) insist(ctx context.Context, call func(*dara.RuntimeOptions) error) error {
	for {
		err := call(&dara.RuntimeOptions{})
		var refusal *tea.SDKError
		if !errors.As(err, &refusal) || tea.StringValue(refusal.Code) != locked {
			return err
		}
		f.refused++
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// create makes a routine with a record and returns the record's id.
func (f *foreign) create(ctx context.Context, name string) (record int64, err error) {
	err = f.insist(ctx, func(o *dara.RuntimeOptions) error {
		_, err := f.sdk.CreateRoutineWithContext(ctx, &esa.CreateRoutineRequest{Name: &name}, o)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("create routine %s: %w", name, err)
	}
	err = f.insist(ctx, func(o *dara.RuntimeOptions) error {
		answer, err := f.sdk.CreateRoutineRelatedRecordWithContext(ctx, &esa.CreateRoutineRelatedRecordRequest{
			Name: &name, SiteId: tea.Int64(stack.SiteID), RecordName: tea.String(name + "." + stack.SiteName),
		}, o)
		if err == nil {
			record = tea.Int64Value(answer.Body.RecordId)
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("create the record of %s: %w", name, err)
	}
	return record, err
}

// remove deletes a routine with its record.
func (f *foreign) remove(ctx context.Context, name string, record int64) error {
	err := f.insist(ctx, func(o *dara.RuntimeOptions) error {
		_, err := f.sdk.DeleteRoutineRelatedRecordWithContext(ctx, &esa.DeleteRoutineRelatedRecordRequest{
			Name: &name, SiteId: tea.Int64(stack.SiteID), RecordId: &record, RecordName: tea.String(name + "." + stack.SiteName),
		}, o)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete the record of %s: %w", name, err)
	}
	err = f.insist(ctx, func(o *dara.RuntimeOptions) error {
		_, err := f.sdk.DeleteRoutineWithContext(ctx, &esa.DeleteRoutineRequest{Name: &name}, o)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete routine %s: %w", name, err)
	}
	return nil
}

// cycle makes and removes routines without a pause until it is told to stop, and leaves none.
func (f *foreign) cycle(ctx context.Context, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		name := fmt.Sprintf("%s%d", foreignPrefix, f.cycles)
		record, err := f.create(ctx, name)
		if err == nil {
			err = f.remove(ctx, name, record)
		}
		if err != nil {
			return err
		}
		f.cycles++
	}
}

// kept is what ESA has of a foreign routine, as it tells it.
func (d *deployment) kept(name string) json.RawMessage {
	d.t.Helper()
	var state struct{ Routines []json.RawMessage }
	decode(d.t, send(d.t, http.MethodGet, d.esa+"/_local/state", ""), &state)
	for _, text := range state.Routines {
		var r routine
		if decode(d.t, text, &r); r.Name == name {
			return text
		}
	}
	return nil
}

// refusedJobs counts the refusals for the account lock by the routine that the call was about.
func (d *deployment) refusedJobs() map[string]int {
	d.t.Helper()
	var log struct {
		Calls []struct {
			Code   string
			Params struct{ Name string }
		}
	}
	decode(d.t, send(d.t, http.MethodGet, d.esa+"/_local/calls", ""), &log)
	out := map[string]int{}
	for _, call := range log.Calls {
		if call.Code == locked {
			out[call.Params.Name]++
		}
	}
	return out
}

// bothMetLock reports whether calls of jobs and of the other program were refused.
func (d *deployment) bothMetLock() bool {
	d.t.Helper()
	var jobs, others bool
	for name := range d.refusedJobs() {
		other := strings.HasPrefix(name, foreignPrefix)
		jobs, others = jobs || !other, others || other
	}
	return jobs && others
}

// checkWaited checks that both met the lock, and that the jobs waited for it without counting that as a failure.
func (d *deployment) checkWaited(f *foreign) {
	d.t.Helper()
	refusals := d.refusedJobs()
	waited := 0
	for _, told := range d.stories() {
		var job struct {
			Attempt, HandedBack int
			Attempts            []json.RawMessage
		}
		decode(d.t, send(d.t, http.MethodGet, d.http+"/v1/jobs/"+told[0].ID, ""), &job)
		if job.Attempt != 1 || job.HandedBack != 0 || len(job.Attempts) > 0 {
			d.t.Errorf("%s: attempt %d, handed back %d times, failures %s", told[0].Request.Name, job.Attempt, job.HandedBack, job.Attempts)
		}
		waited += refusals[told[0].Request.Name]
	}
	if waited == 0 || f.refused == 0 || f.cycles == 0 {
		d.t.Errorf("jobs met the lock %d times, the other program %d times in %d cycles", waited, f.refused, f.cycles)
	}
	d.t.Logf("jobs met the lock %d times, the other program %d times in %d cycles", waited, f.refused, f.cycles)
}

// TestForeignCaller shares the account's lock with a program that never pauses between its own operations. How a job that
// finds the lock held for longer than its invocation lasts goes back to the queue is a part of TestKillMatrix and of the tests
// of provision.
func TestForeignCaller(t *testing.T) {
	t.Parallel()
	const jobs, old = 10, foreignPrefix + "old"
	d := apart(t, newPorts(1), workerTime, "ROUTINELY_LOCK_POLL_MIN=1ms", "ROUTINELY_LOCK_POLL_MAX=4ms")
	f := newForeign(t, d.esa)
	record, err := f.create(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	before := d.kept(old)

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- f.cycle(ctx, stop) }()
	for range jobs {
		d.submit(d.normal(succeeded))
	}
	until(t, "both meet the lock", func() bool {
		d.submit(d.normal(succeeded))
		return d.bothMetLock()
	})
	d.awaitQuiet()
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(before), string(d.kept(old))); diff != "" {
		t.Errorf("the foreign routine (-before +after):\n%s", diff)
	}
	d.checkWaited(f)
	// The other program finds its own as it left it, and what remains is Routinely's alone.
	if err := f.remove(ctx, old, record); err != nil {
		t.Fatal(err)
	}
	d.settle()
}
