package accept

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// redrive asks for a redrive by filter.
func (f *function) redrive(t *testing.T, body string) api.WorkedOff {
	t.Helper()
	return read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters:redrive", body)), 200)
}

// rounds counts the redrives of jobs by their number.
func (f *function) rounds(t *testing.T, ids []string) map[int]int {
	t.Helper()
	out := map[int]int{}
	for _, id := range ids {
		out[f.row(t, id).Redriven]++
	}
	return out
}

func TestRedrive(t *testing.T) {
	t.Run("takes exactly those that fit, with the story kept, after a dry run that takes none", func(t *testing.T) {
		f := start(t)
		stays, goes := f.dead(t, 1), f.dead(t, 2)
		body := `{"recordName":"PR-2.example.com.","reason":"site added"}`
		dry := f.redrive(t, strings.Replace(body, "{", `{"dryRun":true,`, 1))
		if dry.Count != 1 || !dry.DryRun || len(f.queued(t)) > 0 {
			t.Errorf("got %+v", dry)
		}
		done := f.redrive(t, body)
		if done.Count != 1 || done.More || !cmp.Equal(done.IDs, []string{goes.ID}) || !cmp.Equal(done.IDs, dry.IDs) {
			t.Errorf("got %+v", done)
		}
		want := []queue.Envelope{{
			JobID: goes.ID, Caller: "anonymous", AcceptedAt: goes.AcceptedAt, Round: 1, Number: 1, Request: goes.Request, Trace: f.row(t, goes.ID).Trace,
		}}
		if diff := cmp.Diff(want, f.queued(t)); diff != "" {
			t.Errorf("queued -want +got:\n%s", diff)
		}
		job := read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+goes.ID, "")), 200)
		wantRedrives := []routine.Redrive{{Number: 1, At: f.clock.Now(), By: "anonymous", Reason: "site added"}}
		if job.State != routine.Queued || job.Redriven != 1 || len(job.Attempts) != 1 || !cmp.Equal(job.Redrives, wantRedrives) {
			t.Errorf("the ledger tells %+v", job)
		}
		if due := f.row(t, goes.ID).DueAt; !due.IsZero() {
			t.Errorf("sent, and due at %s all the same", due)
		}
		if left := f.letters(t, nil); !cmp.Equal(ids(left), []string{stays.ID}) {
			t.Errorf("left %+v", left)
		}
	})
	t.Run("of one takes it once", func(t *testing.T) {
		f := start(t)
		job := f.dead(t, 1)
		path := "/v1/dead-letters/" + job.ID + ":redrive"
		if dry := read[api.WorkedOff](t, f.call(t, event("POST", path, `{"dryRun":true}`)), 200); dry.Count != 1 || len(f.queued(t)) != 0 {
			t.Errorf("got %+v", dry)
		}
		if done := read[api.WorkedOff](t, f.call(t, event("POST", path, "")), 200); done.Count != 1 || done.Request != nil {
			t.Errorf("got %+v", done)
		}
		refused(t, f.call(t, event("POST", path, `{"reason":"again"}`)), 404, "unknown-dead-letter")
		if got := f.queued(t); len(got) != 1 {
			t.Errorf("queued %+v", got)
		}
	})
	t.Run("of one takes what a worker with a faster clock gave up", func(t *testing.T) {
		f := start(t)
		job := f.dead(t, 1)
		f.Now = func() time.Time { return f.clock.Now().Add(-time.Second) }
		done := read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters/"+job.ID+":redrive", "")), 200)
		if done.Count != 1 || f.row(t, job.ID).Redriven != 1 {
			t.Errorf("got %+v", done)
		}
	})
	t.Run("counts a job whose message MNS did not confirm, and leaves it due", func(t *testing.T) {
		f := start(t)
		job := f.dead(t, 1)
		breaks(t, f.mns, mnsDown)
		if done := f.redrive(t, `{"all":true}`); done.Count != 1 || len(done.Failed) != 0 {
			t.Errorf("got %+v", done)
		}
		if row := f.row(t, job.ID); row.State != routine.Queued || !row.DueAt.Equal(f.clock.Now().Add(sendWithin)) {
			t.Errorf("got %+v", row)
		}
	})
	t.Run("stops at its limit and goes on from there", func(t *testing.T) {
		f := start(t)
		all := f.deadOnes(t, 40)
		first := f.redrive(t, `{"all":true,"limit":18}`)
		if first.Count != 18 || !first.More || first.Next == "" {
			t.Fatalf("got %+v", first)
		}
		rest := f.redrive(t, `{"all":true,"cursor":"`+first.Next+`"}`)
		if rest.Count != 22 || rest.More || !maps.Equal(f.rounds(t, all), map[int]int{1: 40}) {
			t.Errorf("got %+v, rounds %v", rest, f.rounds(t, all))
		}
	})
	t.Run("stops when its time is over and goes on from there", func(t *testing.T) {
		f := start(t)
		all := f.deadOnes(t, 40)
		f.Now = func() time.Time { // each look at the clock takes seconds
			f.clock.Advance(3 * time.Second)
			return f.clock.Now()
		}
		calls, done := 0, api.WorkedOff{More: true}
		sum := 0
		for body := `{"all":true}`; done.More; body = `{"all":true,"cursor":"` + done.Next + `"}` {
			done = f.redrive(t, body)
			if calls++; calls > 10 {
				t.Fatal("it never ends")
			}
			sum += done.Count
		}
		if calls < 2 || sum != 40 || !maps.Equal(f.rounds(t, all), map[int]int{1: 40}) {
			t.Errorf("%d in %d calls, rounds %v", sum, calls, f.rounds(t, all))
		}
	})
	t.Run("of 300 by a filter takes each exactly once", func(t *testing.T) {
		f := start(t)
		all := f.deadOnes(t, 300)
		done := f.redrive(t, `{"code":"SiteParameterNotMatch"}`)
		sent := map[string]int{}
		for _, e := range f.queued(t) {
			sent[e.JobID]++
		}
		once := 0
		for _, n := range sent {
			if n == 1 {
				once++
			}
		}
		f.ots.Faults().Reset()
		if left := f.letters(t, nil); len(left.DeadLetters) != 0 || left.Next != "" || f.ots.Faults().Count("BatchGetRow") != 0 {
			t.Errorf("index rows are left that lists have to pass over: %+v", left)
		}
		if done.Count != 300 || done.More || once != 300 || !maps.Equal(f.rounds(t, all), map[int]int{1: 300}) {
			t.Errorf("%d redriven, %d sent once, rounds %v", done.Count, once, f.rounds(t, all))
		}
	})
	t.Run("takes a job once that dies again at once, however often more is followed", func(t *testing.T) {
		f := start(t)
		all := f.deadOnes(t, 50)
		for body, calls := `{"all":true,"limit":7}`, 0; ; calls++ {
			done := f.redrive(t, body)
			f.clock.Advance(time.Second)
			for _, e := range f.queued(t) {
				f.dies(t, e.JobID)
			}
			if !done.More {
				break
			}
			if calls > 20 {
				t.Fatal("it never ends")
			}
			body = `{"all":true,"limit":7,"cursor":"` + done.Next + `"}`
		}
		if got := f.rounds(t, all); !maps.Equal(got, map[int]int{1: 50}) {
			t.Errorf("rounds %v", got)
		}
	})
	t.Run("by two at a time takes each once", func(t *testing.T) {
		f := start(t)
		all := f.deadOnes(t, 60)
		counts := make([]int, 2)
		var both sync.WaitGroup
		for i := range counts {
			both.Go(func() {
				var done api.WorkedOff
				text, _ := json.Marshal(event("POST", "/v1/dead-letters:redrive", `{"all":true}`))
				res, _ := f.Handle(t.Context(), text)
				if err := json.Unmarshal([]byte(res.Body), &done); err != nil || res.StatusCode != 200 {
					t.Errorf("%v, %+v", err, res)
				}
				counts[i] = done.Count
			})
		}
		both.Wait()
		if counts[0]+counts[1] != 60 || !maps.Equal(f.rounds(t, all), map[int]int{1: 60}) {
			t.Errorf("%v redriven, rounds %v", counts, f.rounds(t, all))
		}
	})
	t.Run("goes on after the ledger was down in the middle, and takes each once", func(t *testing.T) {
		f := start(t)
		all := f.deadOnes(t, 50)
		breaks(t, f.ots, faults.Rule{
			Action: "BatchWriteRow", Skip: 7, Times: 3, Fault: refusedByOTS,
		})
		sum := 0
		for body, calls := `{"all":true}`, 0; ; calls++ {
			res := f.call(t, event("POST", "/v1/dead-letters:redrive", body))
			if res.StatusCode == 503 && calls < 20 {
				continue
			}
			done := read[api.WorkedOff](t, res, 200)
			if sum += done.Count; !done.More {
				break
			}
			body = `{"all":true,"cursor":"` + done.Next + `"}`
		}
		if sum != 50 || !maps.Equal(f.rounds(t, all), map[int]int{1: 50}) {
			t.Errorf("%d redriven, rounds %v", sum, f.rounds(t, all))
		}
	})
}

func TestDropTakesWhatWasDead(t *testing.T) {
	f := start(t)
	all := f.deadOnes(t, 20)
	first := read[api.WorkedOff](t, f.call(t, withParams(event("DELETE", "/v1/dead-letters", ""), map[string]string{"all": "true", "limit": "5"})), 200)
	left := slices.DeleteFunc(slices.Clone(all), func(id string) bool { return slices.Contains(first.IDs, id) })
	f.redrive(t, fmt.Sprintf(`{"ids":[%q]}`, left[0]))
	f.dies(t, left[0])
	rest := read[api.WorkedOff](t, f.call(t, withParams(event("DELETE", "/v1/dead-letters", ""), map[string]string{"all": "true", "cursor": first.Next})), 200)
	if first.Count != 5 || rest.Count != 14 || f.row(t, left[0]).State != routine.DeadLettered {
		t.Errorf("%+v, then %+v", first, rest)
	}
}

func TestSetIsWhatWasDead(t *testing.T) {
	for verb, request := range map[string]func(cursor string) map[string]any{
		"redriven": func(cursor string) map[string]any {
			return event("POST", "/v1/dead-letters:redrive", `{"all":true,"cursor":"`+cursor+`"}`)
		},
		"dropped": func(cursor string) map[string]any {
			return withParams(event("DELETE", "/v1/dead-letters", ""), map[string]string{"all": "true", "cursor": cursor})
		},
	} {
		t.Run("a job that is redriven and dies between its listing and its turn is not "+verb, func(t *testing.T) {
			f := start(t)
			id := f.deadOnes(t, 1)[0]
			asOf := place{AsOf: f.clock.Now()}.cursor()
			f.clock.Advance(time.Second)
			// The list has been read once its rows have; the next look at the clock is that of the change, which then begins again.
			moved := false
			f.Now = func() time.Time {
				if read := f.ots.Faults().Count("BatchGetRow") > 1; read && !moved {
					moved = true
					f.changes(t, id, func(r *ledger.Row) {
						now := f.clock.Now()
						if err := r.Redrive("somebody else", "", nil, now, now, now); err != nil {
							t.Error(err)
						}
					})
					f.dies(t, id)
				}
				return f.clock.Now()
			}
			f.ots.Faults().Reset()
			done := read[api.WorkedOff](t, f.call(t, request(asOf)), 200)
			if row := f.row(t, id); !moved || done.Count != 0 || row.Redriven != 1 || row.State != routine.DeadLettered {
				t.Errorf("moved %t, %+v, row %+v", moved, done, row)
			}
		})
	}
}

func TestCorrect(t *testing.T) {
	correct := func(t *testing.T, f *function, id, body string) api.WorkedOff {
		t.Helper()
		return read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters/"+id+":redrive", body)), 200)
	}
	t.Run("changes the given members alone, and history keeps both", func(t *testing.T) {
		f := start(t)
		job := f.dead(t, 1)
		want := job.Request
		want.Records = []routine.Record{{SiteID: 8, RecordName: want.Records[0].RecordName}}
		dry := correct(t, f, job.ID, `{"request":{"SiteId":"8"},"dryRun":true}`)
		if diff := cmp.Diff(&want, dry.Request); diff != "" || len(f.queued(t)) != 0 || f.row(t, job.ID).Request.Records[0].SiteID != 7 {
			t.Errorf("a dry run: -want +got:\n%s", diff)
		}
		done := correct(t, f, job.ID, `{"request":{"SiteId":"8"},"reason":"wrong site"}`)
		got := read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+job.ID, "")), 200)
		if diff := cmp.Diff(want, got.Request); diff != "" || len(got.Redrives) != 1 || !cmp.Equal(got.Redrives[0].Was, &job.Request) {
			t.Errorf("got %+v, -want +got:\n%s", got, diff)
		}
		if e := f.queued(t); len(e) != 1 || !cmp.Equal(e[0].Request, want) || !cmp.Equal(done.Request, &want) {
			t.Errorf("queued %+v", e)
		}
	})
	t.Run("keeps the progress of parts whose input is unchanged, and forgets that of others", func(t *testing.T) {
		f := start(t)
		site, name := f.dead(t, 1), f.dead(t, 2)
		correct(t, f, site.ID, `{"request":{"siteId":8}}`)
		correct(t, f, name.ID, `{"request":{"name":"pr-9"}}`)
		if got := f.row(t, site.ID).Progress.Routine; got != routine.Created {
			t.Errorf("another site: the routine is %q", got)
		}
		renamed := f.row(t, name.ID)
		if renamed.Progress.Routine != "" || !cmp.Equal(renamed.Left, []routine.Left{{Routine: "pr-2", Outcome: routine.Created}}) {
			t.Errorf("another name: %+v", renamed)
		}
	})
	t.Run("lets the key stand for the corrected request, and for the one before", func(t *testing.T) {
		f := start(t)
		job := f.post(t, wishFor(1), "Idempotency-Key", "k")
		f.dies(t, job.ID)
		correct(t, f, job.ID, `{"request":{"siteId":8}}`)
		for _, body := range []string{wishFor(1), strings.Replace(wishFor(1), "7", "8", 1)} {
			if again := f.post(t, body, "Idempotency-Key", "k"); again.ID != job.ID || again.Request.Records[0].SiteID != 8 {
				t.Errorf("%s: got %+v", body, again)
			}
		}
		refused(t, f.call(t, event("POST", "/v1/routines", strings.Replace(wishFor(1), "7", "9", 1), "Idempotency-Key", "k")), 422, "idempotency-key-reused")
	})
	t.Run("tells all problems at once, below the request, callback and size included", func(t *testing.T) {
		f := start(t)
		job := f.dead(t, 1)
		long, err := json.Marshal(strings.Repeat("d", queue.MaxEnvelopeBytes))
		if err != nil {
			t.Fatal(err)
		}
		p := read[api.Problem](t, f.call(t, event("POST", "/v1/dead-letters/"+job.ID+":redrive", `{"request":{"siteId":0,"RecordName":"x","y":1}}`)), 422)
		var pointers []string
		for _, e := range p.Errors {
			pointers = append(pointers, e.Pointer)
		}
		if !cmp.Equal(pointers, []string{"/request/RecordName", "/request/siteId", "/request/y"}) {
			t.Errorf("got %+v", p)
		}
		p = read[api.Problem](t, f.call(t, event("POST", "/v1/dead-letters/"+job.ID+":redrive", `{"request":{"callbackUrl":"http://127.0.0.1/"}}`)), 422)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "/request/callbackUrl" {
			t.Errorf("got %+v", p)
		}
		refused(t, f.call(t, event("POST", "/v1/dead-letters/"+job.ID+":redrive", `{"request":{"description":`+string(long)+`}}`)), 413, "too-large")
		if row := f.row(t, job.ID); row.State != routine.DeadLettered || row.Redriven != 0 {
			t.Errorf("got %+v", row)
		}
	})
}
