package deadletters_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/fault"
)

func TestDelete(t *testing.T) {
	remove := func(t *testing.T, s *stage, f api.DeadLetterFilter, all, dryRun bool) api.WorkedOff {
		t.Helper()
		done, err := s.Delete(s.ctx(t), f, all, dryRun, "ops", "spam")
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	t.Run("deletes what fits, with all its copies and parts, and nothing else", func(t *testing.T) {
		s := newStage(t)
		change := func(i int, l *queue.DeadLetter) {
			if i%2 == 0 {
				l.Code = "Odd"
			}
			if i%30 == 0 {
				l.Received = queue.ReceivedBody(l.JobID, noise(60_000+i))
			}
		}
		s.die(t, 60, change)
		s.die(t, 60, change)
		if done := remove(t, s, api.DeadLetterFilter{Code: "Odd"}, false, false); done.Count != 30 || done.More || len(done.Failed) > 0 {
			t.Errorf("got %+v", done)
		}
		if n := s.letters(t); n != 60 || len(s.jobs(t)) != 0 || len(s.recorded) != 0 {
			t.Errorf("%d messages are left, want 60", n)
		}
		if lines := s.lines(t); len(lines) != 30 || lines[0]["outcome"] != "deleted" || lines[0]["by"] != "ops" || lines[0]["reason"] != "spam" {
			t.Errorf("%d lines", len(lines))
		}
	})
	t.Run("deletes all", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 100)
		s.put(t, "rubbish")
		if done := remove(t, s, api.DeadLetterFilter{}, true, false); done.Count != 101 || s.letters(t) != 0 {
			t.Errorf("got %+v", done)
		}
	})
	t.Run("deletes a letter of which a part is missing", func(t *testing.T) {
		s := newStage(t)
		l := deadLetter(0)
		l.Received = queue.ReceivedBody("M1", noise(80_000))
		s.put(t, encode(t, l)[1:]...)
		if done := remove(t, s, api.DeadLetterFilter{}, true, false); done.Count != 1 || s.letters(t) != 0 {
			t.Errorf("got %+v", done)
		}
	})
	t.Run("does nothing in a dry run", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 20)
		s.die(t, 20)
		if done := remove(t, s, api.DeadLetterFilter{}, true, true); done.Count != 20 || !done.DryRun || s.letters(t) != 40 {
			t.Errorf("got %+v", done)
		}
	})
	t.Run("does not count a letter whose lease ended before it was deleted", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 1)
		desk := s.calling(t, func() {
			if s.server.Faults().Count("BatchReceiveMessage") == 1 {
				s.clock.Advance(time.Minute)
			}
		})
		done, err := desk.Delete(s.ctx(t), api.DeadLetterFilter{}, true, false, "ops", "")
		if diff := cmp.Diff([]string{"not-removed"}, problems(done)); diff != "" || err != nil || done.Count != 0 {
			t.Errorf("got %+v, %v, problems -want +got:\n%s", done, err, diff)
		}
	})
	t.Run("names what it could not delete", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 40)
		s.breaks(t, "BatchDeleteMessage", 1, faults.Fault{Answer: faults.HTML})
		_, err := s.Delete(s.ctx(t), api.DeadLetterFilter{}, true, false, "ops", "")
		if !fault.HasKind(err, fault.Unavailable) || s.letters(t) != 40 {
			t.Errorf("the first batch failed: %v", err)
		}
		for _, line := range s.lines(t) {
			if line["outcome"] != "not-removed" {
				t.Errorf("the log says %v", line)
			}
		}
	})
	for name, test := range map[string]struct {
		filter api.DeadLetterFilter
		all    bool
		reason string
	}{
		"nothing chosen":            {},
		"all and a filter":          {filter: api.DeadLetterFilter{Code: "X"}, all: true},
		"a reason that is too long": {all: true, reason: string(make([]byte, 201))},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if _, err := newStage(t).Delete(t.Context(), test.filter, test.all, false, "", test.reason); !fault.HasKind(err, fault.Invalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}
