package ledger_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestLifeOfAJob(t *testing.T) {
	l, _ := newLedger(t)
	t.Run("is told from the claim to the result", func(t *testing.T) {
		job := newJob(1)
		claim(t, l, job)
		add(t, l, job, at(2, started(1)), at(3, failed(1)), at(9, started(2)), at(10, succeeded(2)))
		got, err := l.Job(t.Context(), job.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := job
		want.State, want.Ready, want.Attempt = routine.Succeeded, true, 2
		want.StartedAt, want.UpdatedAt = noon.Add(2*time.Second), noon.Add(10*time.Second)
		want.Attempts, want.Result = []routine.Attempt{*failure(1)}, succeeded(2).Result
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("job (-want +got):\n%s", diff)
		}
	})
	t.Run("keeps every entry in the order it came", func(t *testing.T) {
		job := newJob(2)
		claim(t, l, job)
		add(t, l, job, at(3, started(1)), at(4, deadLettered(1)), at(5, redriven(1)), at(6, in(1, started(1))), at(7, in(1, succeeded(1))))
		got, err := l.History(t.Context(), job.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := []ledger.Entry{
			at(2, ledger.Entry{Kind: ledger.Queued}), at(3, started(1)), at(4, deadLettered(1)), at(5, redriven(1)),
			at(6, in(1, started(1))), at(7, in(1, succeeded(1))),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
	})
	t.Run("explains a dead letter and forgets the reason once it is redriven", func(t *testing.T) {
		job := newJob(3)
		claim(t, l, job)
		dead := add(t, l, job, deadLettered(1)).Job
		if dead.State != routine.DeadLettered || dead.Kind != "unavailable" || dead.Code != "InternalException" || dead.Hint == "" || dead.Reason != "not retryable" {
			t.Errorf("dead letter %+v", dead)
		}
		again := add(t, l, job, redriven(1)).Job
		if again.State != routine.Queued || again.Redriven != 1 || again.Attempt != 1 || again.Code != "" || again.Reason != "quota raised" || again.Gap {
			t.Errorf("redriven job %+v", again)
		}
	})
	t.Run("keeps the hand-backs of an attempt in one entry", func(t *testing.T) {
		job := newJob(4)
		claim(t, l, job)
		add(t, l, job, at(5, started(1)))
		for n := 1; n <= 7; n++ {
			add(t, l, job, at(10+n, started(1)), at(10+n, handedBack(1, n)))
		}
		history, err := l.History(t.Context(), job.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := at(11, handedBack(1, 7))
		want.Until = noon.Add(17 * time.Second)
		if diff := cmp.Diff([]ledger.Entry{at(4, ledger.Entry{Kind: ledger.Queued}), at(5, started(1)), want}, history); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		if got, _ := l.Job(t.Context(), job.ID); got.HandedBack != 7 || got.Attempt != 1 {
			t.Errorf("handed back %d times in attempt %d, want 7 in 1", got.HandedBack, got.Attempt)
		}
	})
	t.Run("begins with whatever entry comes first and says so", func(t *testing.T) {
		job := newJob(5)
		record := add(t, l, job, failed(2))
		if record.Late || !record.Job.Gap || record.Job.Attempt != 3 || record.Job.Request != job.Request {
			t.Errorf("record %+v", record)
		}
		if got := list(t, l, ledger.Filter{RecordName: job.Request.RecordName}, 10); len(got) != 1 {
			t.Errorf("listed %v", got)
		}
	})
	t.Run("is unknown before it begins", func(t *testing.T) {
		_, err := l.Job(t.Context(), "nobody")
		if got := codeOf(err); got != "not-found UnknownJob" {
			t.Error(got)
		}
		_, err = l.Append(t.Context(), newJob(999), ledger.Entry{Kind: ledger.Cancelled})
		if got := codeOf(err); got != "not-found UnknownJob" {
			t.Error(got)
		}
		_, err = l.Append(t.Context(), routine.Job{ID: "nobody"}, started(1))
		if got := codeOf(err); got != "not-found UnknownJob" {
			t.Error(got)
		}
	})
}

func TestLateEntry(t *testing.T) {
	l, _ := newLedger(t)
	t.Run("is kept and changes nothing", func(t *testing.T) {
		job := newJob(1)
		claim(t, l, job)
		add(t, l, job, at(5, started(1)))
		before := add(t, l, job, at(6, succeeded(1))).Job
		record := add(t, l, job, at(9, deadLettered(1)))
		if !record.Late {
			t.Error("a dead letter after success is not late")
		}
		if diff := cmp.Diff(before, record.Job); diff != "" {
			t.Errorf("the job changed (-before +after):\n%s", diff)
		}
		history, err := l.History(t.Context(), job.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := at(9, deadLettered(1))
		want.Late = true
		if diff := cmp.Diff(want, history[len(history)-1]); diff != "" {
			t.Errorf("last entry (-want +got):\n%s", diff)
		}
	})
	t.Run("of one worker that never gives up is kept once", func(t *testing.T) {
		job := newJob(2)
		claim(t, l, job)
		add(t, l, job, at(3, succeeded(1)))
		for n := range 5 {
			add(t, l, job, at(10+n, started(1)), at(10+n, handedBack(1, n+1)))
		}
		history, err := l.History(t.Context(), job.ID)
		if err != nil || len(history) != 4 {
			t.Errorf("%d entries, error %v, want 4", len(history), err)
		}
	})
	t.Run("is a cancellation once a worker has begun", func(t *testing.T) {
		early, begun := newJob(3), newJob(4)
		claim(t, l, early, begun)
		if record := add(t, l, early, ledger.Entry{Kind: ledger.Cancelled, By: "olga"}); record.Late || record.Job.State != routine.Cancelled {
			t.Errorf("before: %+v", record)
		}
		if record := add(t, l, early, started(1)); !record.Late || record.Job.State != routine.Cancelled {
			t.Errorf("start of a cancelled job: %+v", record)
		}
		add(t, l, begun, started(1))
		if record := add(t, l, begun, ledger.Entry{Kind: ledger.Cancelled, By: "olga"}); !record.Late || record.Job.State != routine.Queued {
			t.Errorf("after: %+v", record)
		}
	})
	t.Run("is a cancellation once the job is dead, although nobody recorded that a worker had begun", func(t *testing.T) {
		job := newJob(5)
		claim(t, l, job)
		add(t, l, job, deadLettered(1))
		if record := add(t, l, job, ledger.Entry{Kind: ledger.Cancelled, By: "olga"}); !record.Late || record.Job.State != routine.DeadLettered {
			t.Errorf("%+v", record)
		}
	})
}

func TestAppend(t *testing.T) {
	l, server := newLedger(t)
	t.Run("takes an entry that comes twice for one", func(t *testing.T) {
		job := newJob(1)
		claim(t, l, job)
		first, second := add(t, l, job, at(2, failed(1))), add(t, l, job, at(2, failed(1)))
		if diff := cmp.Diff(first, second); diff != "" || second.Late {
			t.Errorf("late %t, records (-first +second):\n%s", second.Late, diff)
		}
		if history, _ := l.History(t.Context(), job.ID); len(history) != 2 {
			t.Errorf("history %v", history)
		}
	})
	t.Run("bounds what it stores of a job and of an entry", func(t *testing.T) {
		job := newJob(2)
		long := strings.Repeat("ü", 100_000)
		job.Request.Description, job.Caller = &long, long
		claim(t, l, job)
		e := at(3, failed(1))
		e.Failure.Message, e.Failure.Hint, e.Failure.Code = long, long, long
		got := add(t, l, job, e).Job
		if n := len(got.Attempts[0].Message) + len(got.Attempts[0].Hint) + len(got.Attempts[0].Code); n > 1100 {
			t.Errorf("%d bytes of a failure are kept", n)
		}
		if n := len(*got.Request.Description) + len(got.Caller); n > 66_000 {
			t.Errorf("%d bytes of a request are kept", n)
		}
		missed := job
		missed.ID = "missed"
		add(t, l, missed, started(1))
		for _, again := range []routine.Job{job, missed} {
			if _, same, err := l.Claim(t.Context(), again); err != nil || !same {
				t.Errorf("%s: the same request is not found the same: error %v", again.ID, err)
			}
		}
	})
	t.Run("writes a hand-back that comes twice once", func(t *testing.T) {
		job := newJob(5)
		claim(t, l, job)
		add(t, l, job, at(6, handedBack(1, 2)))
		server.Faults().Reset()
		for _, count := range []int{2, 1} {
			if got := add(t, l, job, at(7, handedBack(1, count))); got.Late || got.Job.HandedBack != 2 {
				t.Errorf("record %+v", got)
			}
		}
		if writes := server.Faults().Count("UpdateRow"); writes != 0 {
			t.Errorf("%d writes", writes)
		}
	})
	t.Run("refuses what makes no sense", func(t *testing.T) {
		job := newJob(3)
		for name, e := range map[string]ledger.Entry{
			"an unknown kind":            {Kind: "lost"},
			"no attempt":                 {Kind: ledger.Started},
			"no failure":                 {Kind: ledger.Failed, Attempt: 1},
			"no result":                  {Kind: ledger.Succeeded, Attempt: 1},
			"no count of hand-backs":     {Kind: ledger.HandedBack, Attempt: 1},
			"no count of redrives":       {Kind: ledger.Redriven},
			"a queued job that comes on": {Kind: ledger.Queued, Redriven: 1},
			"a negative count":           {Kind: ledger.Started, Attempt: -1},
			"a time nobody can write":    {Kind: ledger.Queued, At: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
		} {
			if _, err := l.Append(t.Context(), job, e); codeOf(err) != "invalid InvalidEntry" {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, id := range map[string]string{"no id": "", "a long id": strings.Repeat("x", 256), "an id that is no text": "\xff"} {
			if _, err := l.Append(t.Context(), routine.Job{ID: id}, started(1)); codeOf(err) != "invalid InvalidJobID" {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := l.Job(t.Context(), id); codeOf(err) != "not-found UnknownJob" {
				t.Errorf("reading %s: %v", name, err)
			}
		}
	})
	t.Run("gives an entry without a time the ledger's", func(t *testing.T) {
		job := newJob(4)
		if got := add(t, l, job, started(1)).Job.StartedAt; !got.Equal(noon) {
			t.Errorf("started at %s", got)
		}
	})
}

func TestClaim(t *testing.T) {
	l, server := newLedger(t)
	t.Run("returns the job that is there, whatever became of it", func(t *testing.T) {
		job := newJob(1)
		claim(t, l, job)
		want := add(t, l, job, succeeded(1)).Job
		again := job
		again.AcceptedAt = noon.Add(time.Hour)
		existing, sameBody, err := l.Claim(t.Context(), again)
		if err != nil || !sameBody {
			t.Fatalf("same body %t, error %v", sameBody, err)
		}
		if diff := cmp.Diff(&want, existing); diff != "" {
			t.Errorf("existing job (-want +got):\n%s", diff)
		}
	})
	t.Run("tells another body", func(t *testing.T) {
		job := newJob(2)
		claim(t, l, job)
		job.Request.SiteID++
		if existing, sameBody, err := l.Claim(t.Context(), job); err != nil || existing == nil || sameBody {
			t.Errorf("existing %v, same body %t, error %v", existing, sameBody, err)
		}
	})
	t.Run("leaves no trace of a request that came second", func(t *testing.T) {
		job := newJob(3)
		claim(t, l, job)
		server.Faults().Reset()
		if _, _, err := l.Claim(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		if writes := server.Faults().Count("PutRow") + server.Faults().Count("BatchWriteRow"); writes != 0 {
			t.Errorf("%d writes", writes)
		}
	})
	t.Run("lets one of many win", func(t *testing.T) {
		const callers = 12
		var group sync.WaitGroup
		won := make(chan int, callers)
		for n := range callers {
			group.Go(func() {
				job := newJob(4)
				job.AcceptedAt = noon.Add(time.Duration(n) * time.Minute)
				existing, _, err := l.Claim(t.Context(), job)
				if err != nil {
					t.Error(err)
				}
				if existing == nil {
					won <- n
				}
			})
		}
		group.Wait()
		if len(won) != 1 {
			t.Fatalf("%d callers won", len(won))
		}
		got, err := l.Job(t.Context(), newJob(4).ID)
		if err != nil || !got.AcceptedAt.Equal(noon.Add(time.Duration(<-won)*time.Minute)) {
			t.Errorf("accepted at %s, error %v", got.AcceptedAt, err)
		}
		if got := list(t, l, ledger.Filter{RecordName: newJob(4).Request.RecordName}, 3); len(got) != 1 {
			t.Errorf("listed %v", got)
		}
	})
}

func TestTwoWorkers(t *testing.T) {
	l, _ := newLedger(t)
	job := newJob(1)
	claim(t, l, job)
	const workers, attempts = 4, 3
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for attempt := 1; attempt <= attempts; attempt++ {
				for _, e := range []ledger.Entry{started(attempt), failed(attempt)} {
					if _, err := l.Append(t.Context(), job, at(10*attempt+worker, e)); err != nil {
						t.Error(err)
					}
				}
			}
			end := deadLettered(attempts + 1)
			if worker == 2 {
				end = succeeded(attempts + 1)
			}
			if _, err := l.Append(t.Context(), job, at(100+worker, end)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got, err := l.Job(t.Context(), job.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("come to one end", func(t *testing.T) {
		if !got.State.Final() || (got.State == routine.Succeeded) != (got.Result != nil) {
			t.Errorf("job %+v", got)
		}
		for _, state := range []routine.State{routine.Queued, routine.Succeeded, routine.DeadLettered} {
			want := 0
			if state == got.State {
				want = 1
			}
			if ids := list(t, l, ledger.Filter{State: state}, 10); len(ids) != want {
				t.Errorf("%s: listed %v, want %d", state, ids, want)
			}
		}
	})
	t.Run("lose no entry", func(t *testing.T) {
		history, err := l.History(t.Context(), job.ID)
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[ledger.Kind]int{}
		for _, e := range history {
			kinds[e.Kind]++
		}
		if kinds[ledger.Failed] != workers*attempts || kinds[ledger.DeadLettered]+kinds[ledger.Succeeded] != workers {
			t.Errorf("entries %v", kinds)
		}
		if len(got.Attempts) < attempts {
			t.Errorf("%d attempts, want at least %d", len(got.Attempts), attempts)
		}
	})
}
