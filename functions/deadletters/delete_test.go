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
		}
		long := deadLetter(20)
		change(20, &long)
		for range 2 {
			s.die(t, 20, change)
			s.put(t, inParts(t, long)...)
		}
		if done := remove(t, s, api.DeadLetterFilter{Code: "Odd"}, false, false); done.Count != 11 || done.More || len(done.Failed) > 0 {
			t.Errorf("got %+v", done)
		}
		if n := s.letters(t); n != 20 || len(s.jobs(t)) != 0 || len(s.recorded) != 0 {
			t.Errorf("%d messages are left, want 20", n)
		}
		if lines := s.lines(t); len(lines) != 11 || lines[0]["outcome"] != "deleted" || lines[0]["by"] != "ops" || lines[0]["reason"] != "spam" {
			t.Errorf("%d lines", len(lines))
		}
	})
	t.Run("deletes all", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 40)
		s.put(t, "rubbish")
		if done := remove(t, s, api.DeadLetterFilter{}, true, false); done.Count != 41 || s.letters(t) != 0 {
			t.Errorf("got %+v", done)
		}
	})
	t.Run("deletes a letter of which a part is missing", func(t *testing.T) {
		s := newStage(t)
		s.put(t, inParts(t, deadLetter(0))[1:]...)
		if done := remove(t, s, api.DeadLetterFilter{}, true, false); done.Count != 1 || s.letters(t) != 0 {
			t.Errorf("got %+v", done)
		}
	})
	t.Run("does nothing in a dry run", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 10)
		s.die(t, 10)
		if done := remove(t, s, api.DeadLetterFilter{}, true, true); done.Count != 10 || !done.DryRun || s.letters(t) != 20 {
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
		s.die(t, 20)
		s.breaks(t, "BatchDeleteMessage", 1, faults.Fault{Answer: faults.HTML})
		_, err := s.Delete(s.ctx(t), api.DeadLetterFilter{}, true, false, "ops", "")
		if !fault.HasKind(err, fault.Unavailable) || s.letters(t) != 20 {
			t.Errorf("the first batch failed: %v", err)
		}
		for _, line := range s.lines(t) {
			if line["outcome"] != "not-removed" {
				t.Errorf("the log says %v", line)
			}
		}
	})
	s := newStage(t)
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
			if _, err := s.Delete(t.Context(), test.filter, test.all, false, "", test.reason); !fault.HasKind(err, fault.Invalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}
