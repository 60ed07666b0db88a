package queue_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsemu"
	"routinely/queue"
	"routinely/shared/fault"
)

// dead is a dead-letter queue with numbered messages.
type dead struct {
	server *mnsemu.Server
	clock  *clock.Manual
	client *queue.Client
	url    string
}

func newDead(t *testing.T, n int) dead {
	t.Helper()
	manual := clock.NewManual(time.Now())
	server, url := localtest.MNS(t, manual, "jobs", "jobs-dead")
	d := dead{server, manual, newClient(t, url), url}
	d.fill(t, n)
	server.Faults().Reset()
	return d
}

func (d dead) fill(t *testing.T, n int) {
	t.Helper()
	filler := newClient(t, d.url, func(c *queue.Config) { c.Queue, c.DeadLetterQueue = "jobs-dead", "unused" })
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("%04d", i)
	}
	for _, err := range filler.SendBatch(t.Context(), bodies) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// all runs a sweep to its end and returns the bodies, sorted.
func all(t *testing.T, s *queue.Sweep) []string {
	t.Helper()
	var out []string
	for {
		got, err := s.Next(t.Context(), queue.SweepBatch)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			slices.Sort(out)
			return out
		}
		for _, m := range got {
			out = append(out, m.Body)
		}
	}
}

func ids(messages []queue.Message) []string {
	out := make([]string, 0, len(messages))
	for _, m := range messages {
		out = append(out, m.ID)
	}
	return out
}

func next(t *testing.T, s *queue.Sweep, limit int) []queue.Message {
	t.Helper()
	got, err := s.Next(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSweep(t *testing.T) {
	t.Run("takes every message once and gives back what was not deleted", func(t *testing.T) {
		d := newDead(t, 60)
		s := d.client.SweepDead(0)
		first := next(t, s, queue.SweepBatch)
		if diff := cmp.Diff(make([]string, len(first)), codes(s.Delete(t.Context(), ids(first)))); diff != "" {
			t.Errorf("delete -want +got:\n%s", diff)
		}
		if rest := all(t, s); len(first)+len(rest) != 60 || !s.Complete() {
			t.Fatalf("%d and %d messages, complete %t", len(first), len(rest), s.Complete())
		}
		if n := len(bodies(t, d.url, "jobs-dead")); n != 0 {
			t.Errorf("%d messages are visible during the sweep", n)
		}
		s.GiveBack(t.Context())
		d.clock.Advance(time.Second)
		if n := len(bodies(t, d.url, "jobs-dead")); n != 60-len(first) {
			t.Errorf("%d messages came back, want %d", n, 60-len(first))
		}
	})
	t.Run("takes no more than it is asked for", func(t *testing.T) {
		d := newDead(t, 65)
		s := d.client.SweepDead(0)
		for _, limit := range []int{5, 20, 20, 17, 1} {
			if got := next(t, s, limit); len(got) > limit || len(got) == 0 {
				t.Errorf("%d messages, want 1 to %d", len(got), limit)
			}
		}
	})
	t.Run("does not take one look that finds nothing for the end", func(t *testing.T) {
		d := newDead(t, 3)
		nothing := faults.Rule{Action: "BatchReceiveMessage", Fault: faults.Fault{Answer: faults.Error, Status: 404, Code: "MessageNotExist"}}
		if _, err := d.server.Faults().Add(nothing); err != nil {
			t.Fatal(err)
		}
		s := d.client.SweepDead(0)
		if got := all(t, s); len(got) != 3 || !s.Complete() {
			t.Errorf("got %q, complete %t", got, s.Complete())
		}
	})
	t.Run("waits with its last look", func(t *testing.T) {
		d := newDead(t, 0)
		s := d.client.SweepDead(20 * time.Second)
		got := make(chan []queue.Message)
		go func() { m, _ := s.Next(context.Background(), 16); got <- m }()
		d.clock.Await(1) // the last look has begun
		d.fill(t, 1)
		if m := <-got; len(m) != 1 {
			t.Errorf("got %d messages", len(m))
		}
	})
	t.Run("does not show a message twice whose lease has ended, and holds its new lease", func(t *testing.T) {
		d := newDead(t, 1)
		s := d.client.SweepDead(0)
		first := next(t, s, 16)
		d.clock.Advance(time.Minute)
		d.fill(t, 2)
		if got := all(t, s); len(got) != 2 || !s.Complete() {
			t.Errorf("got %d messages, complete %t", len(got), s.Complete())
		}
		if diff := cmp.Diff([]string{""}, codes(s.Delete(t.Context(), ids(first)))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("ends when there is nothing but what it has seen", func(t *testing.T) {
		d := newDead(t, 20)
		s := d.client.SweepDead(0)
		for range 5 {
			got := next(t, s, 16)
			d.clock.Advance(time.Minute)
			if len(got) == 0 {
				break
			}
		}
		if got := next(t, s, 16); len(got) != 0 || s.Complete() {
			t.Errorf("got %d messages, complete %t", len(got), s.Complete())
		}
	})
	t.Run("says that it does not hold what it has lost", func(t *testing.T) {
		d := newDead(t, 2)
		s := d.client.SweepDead(0)
		got := next(t, s, 16)
		d.clock.Advance(time.Minute)
		for _, err := range s.Delete(t.Context(), []string{got[0].ID, "never"}) {
			if !fault.HasKind(err, fault.NotFound) {
				t.Errorf("got %v", err)
			}
		}
		if n := s.Held(); n != 1 {
			t.Errorf("holds %d", n)
		}
	})
	t.Run("leaves messages to the end of their leases", func(t *testing.T) {
		d := newDead(t, 2)
		s := d.client.SweepDead(0)
		s.Leave(ids(next(t, s, 1)))
		next(t, s, 1)
		s.GiveBack(t.Context())
		d.clock.Advance(time.Second)
		if n := len(bodies(t, d.url, "jobs-dead")); n != 1 {
			t.Errorf("%d messages are back, want the other one", n)
		}
	})
	t.Run("hands over what came beside a failure, then the failure", func(t *testing.T) {
		d := newDead(t, 3*queue.MaxBatch)
		s := d.client.SweepDead(0)
		taken := len(next(t, s, queue.SweepBatch)) // by one receive; the next batch takes two
		if _, err := d.server.Faults().Add(faults.Rule{Action: "BatchReceiveMessage", Fault: faults.Fault{Answer: faults.HTML}}); err != nil {
			t.Fatal(err)
		}
		if got := next(t, s, queue.SweepBatch); len(got) != 16 {
			t.Errorf("%d messages", len(got))
		}
		if _, err := s.Next(t.Context(), queue.SweepBatch); !fault.HasKind(err, fault.Unavailable) || s.Complete() {
			t.Errorf("got %v, complete %t", err, s.Complete())
		}
		if n := s.Held(); n != taken+16 {
			t.Errorf("holds %d", n)
		}
	})
	for calls, name := range []string{"a receive", "the last look"} {
		t.Run("is not complete once "+name+" had to be sent twice, and may have taken what nobody sees", func(t *testing.T) {
			d := newDead(t, 0)
			rule := faults.Rule{Action: "BatchReceiveMessage", Skip: calls, Fault: faults.Fault{Answer: faults.Reset, Execute: true}}
			if _, err := d.server.Faults().Add(rule); err != nil {
				t.Fatal(err)
			}
			s := d.client.SweepDead(0)
			if all(t, s); s.Complete() {
				t.Error("it calls itself complete")
			}
		})
	}
	t.Run("loses nothing when giving back fails", func(t *testing.T) {
		d := newDead(t, 20)
		s := d.client.SweepDead(0)
		all(t, s)
		if _, err := d.server.Faults().Add(faults.Rule{Action: "ChangeMessageVisibility", Times: 10, Fault: faults.Fault{Answer: faults.HTML}}); err != nil {
			t.Fatal(err)
		}
		s.GiveBack(t.Context())
		d.clock.Advance(time.Second)
		soon := len(bodies(t, d.url, "jobs-dead"))
		d.clock.Advance(time.Minute)
		if later := len(bodies(t, d.url, "jobs-dead")); soon != 10 || later != 20 {
			t.Errorf("%d messages came back at once and %d later, want 10 and 20", soon, later)
		}
	})
	t.Run("stops giving back when its time is over", func(t *testing.T) {
		d := newDead(t, 5)
		s := d.client.SweepDead(0)
		all(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.GiveBack(ctx)
		if n := d.server.Faults().Count("ChangeMessageVisibility"); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestGiveBackDead(t *testing.T) {
	d := newDead(t, 1)
	got, err := d.client.ReceiveDead(t.Context(), 1, 0)
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if err := d.client.GiveBackDead(t.Context(), got[0].ReceiptHandle); err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(time.Second)
	if n := len(bodies(t, d.url, "jobs-dead")); n != 1 {
		t.Errorf("%d messages after a second", n)
	}
	if err := d.client.GiveBackDead(t.Context(), got[0].ReceiptHandle); !fault.HasKind(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}
