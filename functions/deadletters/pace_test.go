package deadletters_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
	"routinely/functions/deadletters"
	"routinely/queue"
	"routinely/shared/api"
)

func TestPace(t *testing.T) {
	t.Run("keeps to the rate", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 40)
		began := s.clock.Now()
		if done := s.redrive(t, api.Redrive{All: true, Rate: 8}); done.Count != 40 || done.More {
			t.Errorf("got %+v", done)
		}
		if took := s.clock.Now().Sub(began); took != 4*time.Second { // the last eight are sent when the fifth begins
			t.Errorf("took %s", took)
		}
	})
	t.Run("stops when the time is over and goes on in the next call", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 30)
		var counts []int
		for range 4 {
			began := s.clock.Now()
			done := s.redrive(t, api.Redrive{All: true, Rate: 1})
			counts = append(counts, done.Count)
			if took := s.clock.Now().Sub(began); took > 20*time.Second || done.More != (len(counts) < 2) {
				t.Errorf("took %s, more %t", took, done.More)
			}
			s.clock.Advance(time.Second)
			if !done.More {
				break
			}
		}
		if counts[0] < 15 || counts[0] > 20 || s.letters(t) != 0 {
			t.Errorf("counts %v", counts)
		}
		if diff := cmp.Diff(once(30), s.jobs(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("goes on behind what does not fit the filter when the time was over", func(t *testing.T) {
		var s *stage
		s = newStage(t, func(c *deadletters.Config) {
			c.Now = func() time.Time { s.clock.Advance(3 * time.Second); return s.clock.Now() }
		})
		// With leases as deployed: they must outlast the calls.
		if _, err := sim.Queue(t, queue.Config{Endpoint: s.url}).Setup(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		s.die(t, 60, func(i int, l *queue.DeadLetter) {
			if i >= 50 {
				l.Code = "Odd"
			}
		})
		count, calls := 0, 0
		for more := true; more; calls++ {
			if calls == 10 {
				t.Fatal("it never comes to the end")
			}
			done := s.redrive(t, api.Redrive{DeadLetterFilter: api.DeadLetterFilter{Code: "Odd"}, Rate: 16})
			count, more = count+done.Count, done.More
		}
		if calls < 2 || count != 10 {
			t.Errorf("%d letters in %d calls", count, calls)
		}
		s.clock.Advance(2 * time.Minute)
		if n := s.letters(t); n != 50 {
			t.Errorf("%d letters are left", n)
		}
	})
}
