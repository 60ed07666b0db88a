package deadletters_test

import (
	"bytes"
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/functions/deadletters"
	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// drain redrives until there is nothing more, as a client does that is told so, and checks that each job is on the queue at
// least once.
func drain(t *testing.T, s *stage, n int) (copies int) {
	t.Helper()
	s.clock.Advance(time.Minute)
	for i := 0; ; i++ {
		if i == 10 {
			t.Fatal("it never comes to the end")
		}
		done := s.redrive(t, all())
		s.clock.Advance(time.Second)
		if !done.More && len(done.Failed) == 0 {
			break
		}
	}
	s.clock.Advance(time.Minute)
	if left := s.letters(t); left != 0 {
		t.Errorf("%d letters are left", left)
	}
	jobs := s.jobs(t)
	for i := range n {
		if jobs[jobID(i)] == 0 {
			t.Errorf("%s is lost", jobID(i))
		}
		copies += jobs[jobID(i)] - 1
	}
	if len(jobs) != n {
		t.Errorf("%d jobs, want %d", len(jobs), n)
	}
	return copies
}

// survives breaks so many calls of a redrive, -1 for all, and wants every job on the queue once they are well again.
func survives(t *testing.T, action string, answer faults.Fault, times int) {
	t.Helper()
	const n = queue.MaxBatch + 1
	s := newStage(t)
	s.die(t, n)
	s.breaks(t, action, times, answer)
	done, err := s.Redrive(s.ctx(t), all(), "ops")
	s.server.Faults().Clear()
	// A receive whose answer is lost hides its messages, and nobody can tell.
	if action != "BatchReceiveMessage" && err == nil && !done.More && len(done.Failed) == 0 && done.Count != n {
		t.Errorf("count %d and nothing said of the others", done.Count)
	}
	copies := drain(t, s, n)
	if took := answer.Execute || answer.Answer == faults.Truncated || action == "BatchDeleteMessage"; copies > 0 && !took {
		t.Errorf("%d jobs were redriven twice", copies)
	}
}

func TestRedriveSurvives(t *testing.T) {
	answers := []struct {
		name  string
		fault faults.Fault
	}{
		{"a broken connection before", faults.Fault{Answer: faults.Reset}},
		{"a broken connection behind", faults.Fault{Answer: faults.Reset, Execute: true}},
		{"half an answer", faults.Fault{Answer: faults.Truncated}},
		{"an empty answer behind", faults.Fault{Answer: faults.Empty, Execute: true}},
		{"an error of the service", faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"}},
		{"a refusal of the credential", faults.Fault{Answer: faults.Error, Status: 403, Code: "AccessDenied"}},
	}
	for i, action := range []string{"BatchReceiveMessage", "BatchSendMessage", "BatchDeleteMessage"} {
		for j, answer := range answers {
			t.Run(answer.name+" of "+action, func(t *testing.T) {
				often := []int{1, -1}
				if turn := (i + j) % 2; testing.Short() {
					often = often[turn : turn+1]
				}
				for _, times := range often {
					survives(t, action, answer.fault, times)
				}
			})
		}
	}
	t.Run("a failed send, whose letters it names and gives back", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 40)
		send := faults.Rule{Action: "BatchSendMessage", Skip: 1, Fault: faults.Fault{Answer: faults.HTML}}
		if _, err := s.server.Faults().Add(send); err != nil {
			t.Fatal(err)
		}
		done := s.redrive(t, all())
		for _, f := range done.Failed {
			if f.Problem.Code != "queue-unavailable" || !f.Problem.Retryable {
				t.Errorf("got %+v", f.Problem)
			}
		}
		if len(done.Failed) == 0 || done.Count+len(done.Failed) != 40 || !done.More || len(s.jobs(t)) != done.Count {
			t.Errorf("got %+v", done)
		}
		if n := s.letters(t); n != len(done.Failed) {
			t.Errorf("%d letters are visible, want %d", n, len(done.Failed))
		}
	})
	t.Run("credentials that may not delete, without sending everything again and again", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 40)
		s.breaks(t, "BatchDeleteMessage", -1, faults.Fault{Answer: faults.Error, Status: 403, Code: "AccessDenied"})
		if _, err := s.Redrive(s.ctx(t), all(), "ops"); !fault.HasCode(err, "AccessDenied") {
			t.Errorf("got %v", err)
		}
		if n := len(s.jobs(t)); n != 16 {
			t.Errorf("%d jobs were sent before it gave up", n)
		}
	})
	t.Run("a caller who is gone once a job was sent: its letter is deleted all the same", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 10)
		ctx, cancel := context.WithCancel(s.ctx(t))
		defer cancel()
		desk := s.calling(t, func() {
			if s.server.Faults().Count("BatchSendMessage") == 1 {
				cancel()
			}
		})
		if done, err := desk.Redrive(ctx, all(), "ops"); err != nil || done.Count != 10 || !done.More {
			t.Errorf("got %+v, %v", done, err)
		}
		if copies := drain(t, s, 10); copies != 0 {
			t.Errorf("%d jobs were redriven twice", copies)
		}
	})
	t.Run("a lease that ended before the deletion", func(t *testing.T) {
		var s *stage
		s = newStage(t, func(c *deadletters.Config) {
			c.Record = func(context.Context, routine.Job, ledger.Entry) { s.clock.Advance(time.Minute) }
		})
		s.die(t, 1)
		if done := s.redrive(t, all()); done.Count != 1 || len(done.Failed) != 0 {
			t.Errorf("got %+v", done)
		}
	})
}

// TestRedriveKilled ends the caller's context at each call that a redrive makes, one after the other.
func TestRedriveKilled(t *testing.T) {
	const n = queue.MaxBatch + 1
	copies := 0
	for call := int64(1); ; call++ {
		var calls atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		s := newStage(t)
		s.die(t, n)
		killed := s.calling(t, func() {
			if calls.Add(1) == call {
				cancel()
			}
		})
		_, _ = killed.Redrive(ctx, all(), "ops")
		ended := calls.Load() < call
		cancel()
		for calling() {
			runtime.Gosched() // a call that was given up still takes effect, and must not do so later than now
		}
		s.server.Faults().Reset()
		copies += drain(t, s, n)
		if ended {
			if call < 8 {
				t.Errorf("%d calls are too few for a redrive of %d", call-1, n)
			}
			break
		}
	}
	t.Logf("%d jobs were redriven twice", copies)
}

// calling reports whether a call of a queue's client is under way, or is about to begin, which no server can tell.
func calling() bool {
	stacks := make([]byte, 1<<20)
	return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("created by routinely/queue."))
}

func TestTwoRedrives(t *testing.T) {
	s, n := newStage(t), crowd()
	s.die(t, n)
	second := s.calling(t, func() {})
	var counts [2]int
	var running sync.WaitGroup
	for i, desk := range []*deadletters.Desk{s.Desk, second} {
		running.Go(func() {
			done, err := desk.Redrive(t.Context(), all(), "ops")
			if err != nil || done.More || len(done.Failed) > 0 {
				t.Errorf("got %+v, %v", done, err)
			}
			counts[i] = done.Count
		})
	}
	running.Wait()
	if counts[0]+counts[1] != n {
		t.Errorf("redrove %v", counts)
	}
	if diff := cmp.Diff(once(n), s.jobs(t)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
