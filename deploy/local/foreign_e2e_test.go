package main_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/stack"
)

// foreign is another program of the same account, which uses the official SDK and knows nothing of Routinely.
type foreign struct {
	sdk *esa.Client
	// refused counts its calls that met the account lock.
	refused int
}

func newForeign(d *deployment) *foreign {
	d.t.Helper()
	client, err := esa.NewClient(&openapi.Config{
		Endpoint: tea.String(host(d.url[edgeService])), Protocol: tea.String("HTTP"),
		AccessKeyId: tea.String(stack.AccessKeyID), AccessKeySecret: tea.String(stack.AccessKeySecret),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return &foreign{sdk: client}
}

// insist makes a call until it does not meet the lock.
func (f *foreign) insist(ctx context.Context, call func(*dara.RuntimeOptions) error) error {
	for {
		err := call(&dara.RuntimeOptions{})
		var refusal *tea.SDKError
		if !errors.As(err, &refusal) || tea.StringValue(refusal.Code) != locked || ctx.Err() != nil {
			return err
		}
		f.refused++
	}
}

// cycle makes routines and deletes them again without a pause until it is told to stop, and leaves none.
func (f *foreign) cycle(ctx context.Context, stop <-chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		name := fmt.Sprintf("foreign-%d", n)
		err := f.insist(ctx, func(o *dara.RuntimeOptions) error {
			_, err := f.sdk.CreateRoutineWithContext(ctx, &esa.CreateRoutineRequest{Name: &name}, o)
			return err
		})
		if err != nil {
			return fmt.Errorf("create routine %s: %w", name, err)
		}
		err = f.insist(ctx, func(o *dara.RuntimeOptions) error {
			_, err := f.sdk.DeleteRoutineWithContext(ctx, &esa.DeleteRoutineRequest{Name: &name}, o)
			return err
		})
		if err != nil {
			return fmt.Errorf("delete routine %s: %w", name, err)
		}
	}
}

// refusedJobs counts the refusals for the account lock of calls about the orders.
func (d *deployment) refusedJobs() (n int) {
	d.t.Helper()
	var log struct {
		Calls []struct {
			Code   string
			Params struct{ Name string }
		}
	}
	decode(d.t, d.esaCalls(), &log)
	ordered := map[string]bool{}
	for _, o := range d.orders {
		ordered[o.name] = true
	}
	for _, call := range log.Calls {
		if call.Code == locked && ordered[call.Params.Name] {
			n++
		}
	}
	return n
}

// TestForeignCaller shares the account's lock with a program that never pauses between its own operations.
func TestForeignCaller(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	f := newForeign(d)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- f.cycle(ctx, stop) }()
	until(t, "jobs meet the lock", func() bool {
		d.submit(d.order())
		return len(d.orders) >= 10 && d.refusedJobs() > 0
	})
	d.settle()
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, o := range d.orders {
		if j := d.job(o.id); j.Attempt != 1 || len(j.Attempts) > 0 {
			t.Errorf("%s: attempt %d, failures %v", o.name, j.Attempt, j.Attempts)
		}
	}
	if f.refused == 0 {
		t.Error("the other program never met the lock: nothing was shown")
	}
	d.check()
}
