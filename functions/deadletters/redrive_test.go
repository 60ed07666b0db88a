package deadletters_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/functions/deadletters"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// crowd is a count of letters that fills many batches, fewer in short tests.
func crowd() int {
	if testing.Short() {
		return 40
	}
	return 300
}

// once is what the job queue holds when each of n jobs was redriven once.
func once(n int) map[string]int {
	out := make(map[string]int, n)
	for i := range n {
		out[jobID(i)] = 1
	}
	return out
}

func problems(done api.WorkedOff) []string {
	var out []string
	for _, f := range done.Failed {
		out = append(out, f.Problem.Code)
	}
	return out
}

func TestRedrive(t *testing.T) {
	t.Run("puts every job back on the queue, once, and leaves nothing behind", func(t *testing.T) {
		s, many := newStage(t), crowd()
		s.die(t, many)
		done := s.redrive(t, all())
		if done.Count != many || done.More || len(done.Failed) > 0 || len(done.IDs) != many {
			t.Errorf("count %d, more %t, %d failed, %d ids", done.Count, done.More, len(done.Failed), len(done.IDs))
		}
		if diff := cmp.Diff(once(many), s.jobs(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		s.clock.Advance(time.Hour)
		if n := s.letters(t); n != 0 {
			t.Errorf("%d letters are left", n)
		}
	})
	t.Run("begins a new round of the job with who and why", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 1, func(_ int, l *queue.DeadLetter) { l.Redriven = 1 })
		s.redrive(t, api.Redrive{All: true, Reason: "bill paid"})
		got := queue.Decode([]byte(s.visible(t, "jobs")[0]), dead)[0]
		d := deadLetter(0)
		want := queue.Envelope{
			JobID: d.JobID, Caller: "ci", AcceptedAt: dead, Attempt: 1, Redriven: 2, Request: *d.Request, Failures: d.Attempts,
			Redrives: []routine.Redrive{{Number: 2, At: s.clock.Now().UTC(), By: "ops", Reason: "bill paid"}},
		}
		if diff := cmp.Diff(want, got.Envelope); diff != "" || got.Err != nil {
			t.Errorf("error %v, -want +got:\n%s", got.Err, diff)
		}
	})
	t.Run("records each redrive before the job is sent", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 5)
		s.redrive(t, api.Redrive{All: true, Reason: "bill paid"})
		slices.SortFunc(s.recorded, func(a, b recorded) int { return a.Job.AcceptedAt.Compare(b.Job.AcceptedAt) })
		seen := map[string]bool{}
		for _, r := range s.recorded {
			seen[r.Job.ID] = r.Job.Request.SiteID == 7 && r.Job.Caller == "ci"
			want := recorded{r.Job, ledger.Entry{Kind: ledger.Redriven, At: s.clock.Now().UTC(), Redriven: 1, By: "ops", Reason: "bill paid"}, 0}
			if diff := cmp.Diff(want, r); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
		want := map[string]bool{jobID(0): true, jobID(1): true, jobID(2): true, jobID(3): true, jobID(4): true}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("works without a ledger", func(t *testing.T) {
		s := newStage(t, func(c *deadletters.Config) { c.Record = nil })
		s.die(t, 2)
		if done := s.redrive(t, all()); done.Count != 2 {
			t.Errorf("got %+v", done)
		}
	})
	t.Run("writes a line for each letter: who, why, which", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 2)
		done := s.redrive(t, api.Redrive{All: true, Reason: "bill paid"})
		lines := s.lines(t)
		if len(lines) != 2 || lines[0]["deadLetterId"] == lines[1]["deadLetterId"] {
			t.Fatalf("got %v", lines)
		}
		for _, line := range lines {
			if !slices.Contains(done.IDs, line["deadLetterId"].(string)) || line["jobId"] == "" || line["by"] != "ops" ||
				line["reason"] != "bill paid" || line["outcome"] != "redriven" || line["msg"] != "dead letter redriven" {
				t.Errorf("got %v", line)
			}
		}
	})
	t.Run("takes only what fits the filter, and gives the rest back at once", func(t *testing.T) {
		s := newStage(t)
		fit, others := crowd()/4, crowd()*3/4
		s.die(t, fit+others, func(i int, l *queue.DeadLetter) {
			if i%4 == 0 {
				l.Code = "Odd"
			}
		})
		done := s.redrive(t, api.Redrive{DeadLetterFilter: api.DeadLetterFilter{Code: "Odd"}})
		jobs := s.jobs(t)
		if done.Count != fit || done.More || len(jobs) != fit || jobs[jobID(0)] != 1 || jobs[jobID(4*fit-4)] != 1 {
			t.Errorf("count %d, more %t, jobs %v", done.Count, done.More, jobs)
		}
		if n := s.letters(t); n != others {
			t.Errorf("%d letters are visible, want %d", n, others)
		}
	})
	t.Run("redrives one by its id, and none by an unknown id", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 20)
		id := s.list(t, api.DeadLetterFilter{JobID: jobID(7)}, 1, "").DeadLetters[0].ID
		for _, want := range []int{1, 0} {
			done := s.redrive(t, api.Redrive{DeadLetterFilter: api.DeadLetterFilter{IDs: []string{id}}})
			if done.Count != want || done.More {
				t.Errorf("got %+v, want %d", done, want)
			}
			s.clock.Advance(time.Second)
		}
		if diff := cmp.Diff(map[string]int{jobID(7): 1}, s.jobs(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("sends back byte for byte what holds no job, and jobs that the trigger could not deliver", func(t *testing.T) {
		s := newStage(t)
		job, err := queue.Envelope{JobID: "job-x", AcceptedAt: dead, Attempt: 3, Request: *deadLetter(1).Request}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		unreadable := queue.DeadLetter{Kind: "invalid", DeadAt: dead, Received: queue.ReceivedBody("M1", []byte("what \x01 is this?"))}
		s.put(t, append(encode(t, unreadable), "rubbish", string(job), `{"specversion":"1.0","data":{"messageId":"M2","messageBody":"more rubbish"}}`)...)
		if done := s.redrive(t, all()); done.Count != 4 || len(done.Failed) > 0 {
			t.Errorf("got %+v", done)
		}
		want := map[string]int{"what \x01 is this?": 1, "rubbish": 1, "more rubbish": 1, "job-x": 1}
		got := map[string]int{}
		for _, body := range s.visible(t, "jobs") {
			d := queue.Decode([]byte(body), dead)[0]
			switch plain, isBase64 := fromBase64(body); {
			case d.Err == nil:
				got[d.Envelope.JobID]++
			case isBase64:
				got[plain]++
			default:
				got[body]++
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("deletes all copies of a letter and sends its job once", func(t *testing.T) {
		s := newStage(t)
		n := crowd() / 3
		for range 3 {
			s.die(t, n)
		}
		if done := s.redrive(t, all()); done.Count != n || done.More {
			t.Errorf("got %+v", done)
		}
		if diff := cmp.Diff(once(n), s.jobs(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if n := s.letters(t); n != 0 {
			t.Errorf("%d letters are left", n)
		}
	})
	t.Run("puts a letter in parts together", func(t *testing.T) {
		s := newStage(t)
		text := string(noise())
		whole := queue.DeadLetter{Kind: "invalid", DeadAt: dead, Received: queue.ReceivedBody("M1", []byte(text))}
		parts := encode(t, whole)
		if len(parts) < 2 {
			t.Fatal("one part")
		}
		n := crowd() / 2
		s.put(t, parts[1:]...)
		s.die(t, n)
		s.put(t, parts[0], parts[1])
		if done := s.redrive(t, all()); done.Count != n+1 || len(done.Failed) > 0 {
			t.Errorf("got %+v", done)
		}
		if n := s.jobs(t)[base64.StdEncoding.EncodeToString([]byte(text))]; n != 1 {
			t.Errorf("%d messages hold it whole", n)
		}
		if n := s.letters(t); n != 0 {
			t.Errorf("%d letters are left", n)
		}
	})
	t.Run("leaves a letter of which a part is missing", func(t *testing.T) {
		s := newStage(t)
		parts := inParts(t, deadLetter(0))
		s.put(t, parts[1:]...)
		done := s.redrive(t, all())
		if diff := cmp.Diff([]string{"incomplete-dead-letter"}, problems(done)); diff != "" || done.Count != 0 || len(s.jobs(t)) != 0 {
			t.Errorf("got %+v, problems -want +got:\n%s", done, diff)
		}
		s.clock.Advance(time.Second)
		s.put(t, parts[0])
		if done := s.redrive(t, all()); done.Count != 1 || s.letters(t) != 0 {
			t.Errorf("when it is there: %+v", done)
		}
	})
	t.Run("keeps what cannot be sent, and says why", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 3, func(i int, l *queue.DeadLetter) {
			if i == 1 {
				l.JobID, l.Request, l.Received = "", nil, queue.ReceivedBody("M", nil)
			}
		})
		done := s.redrive(t, all())
		if diff := cmp.Diff([]string{"not-redrivable"}, problems(done)); diff != "" || done.Count != 2 || done.Failed[0].Problem.Retryable {
			t.Errorf("got %+v, problems -want +got:\n%s", done, diff)
		}
		if n := s.letters(t); n != 1 {
			t.Errorf("%d letters are visible", n)
		}
	})
	t.Run("does nothing in a dry run", func(t *testing.T) {
		s := newStage(t)
		for range 2 {
			s.die(t, 10)
		}
		done := s.redrive(t, api.Redrive{All: true, DryRun: true})
		if done.Count != 10 || !done.DryRun || len(done.IDs) != 10 || len(s.jobs(t)) != 0 || len(s.recorded) != 0 || s.log.Len() > 0 {
			t.Errorf("got %+v, log %s", done, s.log)
		}
		if n := s.letters(t); n != 20 {
			t.Errorf("%d letters are visible", n)
		}
	})
	t.Run("stops at the limit, whatever fails", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 24, func(i int, l *queue.DeadLetter) {
			if i < 3 {
				l.JobID, l.Request, l.Received = "", nil, queue.ReceivedBody(fmt.Sprint(i), nil)
			}
		})
		for _, want := range []struct {
			count int
			more  bool
		}{{8, true}, {8, true}, {5, false}} {
			if done := s.redrive(t, api.Redrive{All: true, Limit: 8}); done.Count != want.count || done.More != want.more {
				t.Errorf("got %+v, want %+v", done, want)
			}
			s.clock.Advance(time.Second)
		}
		if n := s.letters(t); n != 3 {
			t.Errorf("%d letters are left", n)
		}
	})
	t.Run("makes up for what failed before the limit is reached", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 16, func(i int, l *queue.DeadLetter) {
			if i < 3 {
				l.JobID, l.Request, l.Received = "", nil, queue.ReceivedBody(fmt.Sprint(i), nil)
			}
		})
		if done := s.redrive(t, api.Redrive{All: true, Limit: 10}); done.Count != 10 || len(done.Failed) != 3 || !done.More {
			t.Errorf("got %+v", done)
		}
	})
	s := newStage(t)
	for name, wanted := range map[string]api.Redrive{
		"nothing chosen":             {},
		"all and a filter":           {All: true, DeadLetterFilter: api.DeadLetterFilter{Code: "X"}},
		"a negative rate":            {All: true, Rate: -1},
		"a negative limit":           {All: true, Limit: -1},
		"a reason that is too long":  {All: true, Reason: string(make([]byte, 201))},
		"a filter of unknown values": {DeadLetterFilter: api.DeadLetterFilter{Kind: "sad"}},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if _, err := s.Redrive(t.Context(), wanted, "ops"); !fault.HasKind(err, fault.Invalid) {
				t.Errorf("got %v", err)
			}
			if n := s.server.Faults().Count("BatchReceiveMessage"); n != 0 {
				t.Errorf("%d receives", n)
			}
		})
	}
}

func fromBase64(text string) (string, bool) {
	raw, err := base64.StdEncoding.DecodeString(text)
	return string(raw), err == nil
}
