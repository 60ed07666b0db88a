package accept

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// dead makes a job that is a dead letter, of the n-th routine.
func (f *function) dead(t *testing.T, n int) routine.Job {
	t.Helper()
	f.clock.Advance(time.Second)
	job := f.post(t, wishFor(n))
	f.queued(t)
	f.begins(t, job.ID)
	f.dies(t, job.ID)
	return job
}

func (f *function) letters(t *testing.T, query map[string]string) api.DeadLetterList {
	t.Helper()
	return read[api.DeadLetterList](t, f.call(t, withParams(event("GET", "/v1/dead-letters", ""), query)), 200)
}

func (f *function) letter(t *testing.T, id string) api.DeadLetter {
	t.Helper()
	return read[api.DeadLetter](t, f.call(t, event("GET", "/v1/dead-letters/"+id, "")), 200)
}

func ids(list api.DeadLetterList) []string {
	out := []string{}
	for _, l := range list.DeadLetters {
		out = append(out, l.ID)
	}
	return out
}

func TestDeadLetters(t *testing.T) {
	t.Run("are listed, the latest first, with counts if wanted, and shown whole", func(t *testing.T) {
		f := start(t)
		first, second := f.dead(t, 1), f.dead(t, 2)
		f.post(t, wishFor(3)) // lives
		all := f.letters(t, map[string]string{"counts": "true"})
		want := &api.Counts{Total: 2, Codes: []api.CodeCount{{Kind: "not-found", Code: "SiteParameterNotMatch", Count: 2}}, Complete: true}
		if diff := cmp.Diff(want, all.Counts); diff != "" || !cmp.Equal(ids(all), []string{second.ID, first.ID}) {
			t.Errorf("got %+v, -want +got:\n%s", all, diff)
		}
		page := f.letters(t, map[string]string{"limit": "1"})
		next := f.letters(t, map[string]string{"limit": "1", "cursor": page.Next})
		if !cmp.Equal(ids(page), []string{second.ID}) || !cmp.Equal(ids(next), []string{first.ID}) || page.Counts != nil {
			t.Errorf("got %+v, then %+v", page, next)
		}
		one := f.letter(t, second.ID)
		got := []string{one.JobID, string(one.Origin), one.Message, one.RequestID, string(one.Step), one.Hint, string(one.Progress.Routine)}
		wanted := []string{second.ID, "worker", "no such site", "R1", "CreateRoutineRelatedRecord", "check siteId", "created"}
		if diff := cmp.Diff(wanted, got); diff != "" || len(one.Attempts) != 1 || !one.DeadAt.Equal(f.clock.Now()) {
			t.Errorf("got %+v, -want +got:\n%s", one, diff)
		}
		if l := all.DeadLetters[0]; l.Attempts != nil || !cmp.Equal(l.Progress, routine.Progress{}) || l.Request == nil {
			t.Errorf("listed %+v", l)
		}
	})
	t.Run("are chosen by exact values, normalised as those of a request are", func(t *testing.T) {
		f := start(t)
		one, two := f.dead(t, 1), f.dead(t, 2)
		f.changes(t, one.ID, func(r *ledger.Row) {})
		diedOne, diedTwo := f.row(t, one.ID).DiedAt, f.row(t, two.ID).DiedAt
		for _, test := range []struct {
			name, value string
			want        []string
		}{
			{"id", two.ID + "," + one.ID + ",nobody", []string{one.ID, two.ID}},
			{"kind", "not-found", []string{two.ID, one.ID}},
			{"kind", "conflict", []string{}},
			{"code", "SiteParameterNotMatch", []string{two.ID, one.ID}},
			{"code", "other", []string{}},
			{"step", "CreateRoutineRelatedRecord", []string{two.ID, one.ID}},
			{"step", "CreateRoutine", []string{}},
			{"origin", "trigger", []string{}},
			{"name", "pr-1", []string{one.ID}},
			{"record", "PR-2.Example.COM.", []string{two.ID}},
			{"siteId", "7", []string{two.ID, one.ID}},
			{"siteId", "8", []string{}},
			{"caller", "anonymous", []string{two.ID, one.ID}},
			{"caller", "nobody", []string{}},
			{"since", diedTwo.Format(time.RFC3339Nano), []string{two.ID}},
			{"until", diedOne.Format(time.RFC3339Nano), []string{one.ID}},
		} {
			if got := ids(f.letters(t, map[string]string{test.name: test.value})); !cmp.Equal(got, test.want) && (test.name != "id" || len(got) != 2) {
				t.Errorf("%s=%s: got %v, want %v", test.name, test.value, got, test.want)
			}
		}
	})
	t.Run("are told of a week before the ledger forgets them", func(t *testing.T) {
		f := start(t)
		old := f.dead(t, 1)
		f.clock.Advance(retention - expiresWithin)
		young := f.dead(t, 2)
		if got := ids(f.letters(t, map[string]string{"expiring": "true"})); !cmp.Equal(got, []string{old.ID}) {
			t.Errorf("got %v of %s and %s", got, old.ID, young.ID)
		}
		f.Retention = 0
		if got := f.letters(t, map[string]string{"expiring": "true"}); len(got.DeadLetters) != 0 {
			t.Errorf("of a ledger that never forgets: %+v", got)
		}
	})
	t.Run("are listed on pages by expiring, measured by the first page", func(t *testing.T) {
		f := start(t)
		var want []string
		for n := range 3 {
			want = append([]string{f.dead(t, n).ID}, want...)
		}
		f.clock.Advance(retention - expiresWithin)
		var got []string
		query := map[string]string{"expiring": "true", "limit": "1"}
		for {
			page := f.letters(t, query)
			got = append(got, ids(page)...)
			if page.Next == "" {
				break
			}
			query["cursor"] = page.Next
			f.clock.Advance(time.Hour)
		}
		if !cmp.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("show a message that holds no job byte for byte", func(t *testing.T) {
		f := start(t)
		want := f.unreadable(t, "u")
		one := f.letter(t, "u")
		if diff := cmp.Diff(want, one.Received); diff != "" || len(one.Problems) != 1 || one.Request != nil || one.Origin != api.Trigger {
			t.Errorf("got %+v, -want +got:\n%s", one, diff)
		}
		refused(t, f.call(t, event("POST", "/v1/dead-letters/u:redrive", "")), 422, "not-redrivable")
		done := read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters:redrive", `{"all":true}`)), 200)
		if done.Count != 0 || len(done.Failed) != 1 || done.Failed[0].Problem.Code != "not-redrivable" {
			t.Errorf("got %+v", done)
		}
	})
	t.Run("are dropped, one or by filter, and stay as jobs", func(t *testing.T) {
		f := start(t)
		var jobs []routine.Job
		for n := range 3 {
			jobs = append(jobs, f.dead(t, n))
		}
		drop := func(path string, query map[string]string) api.WorkedOff {
			return read[api.WorkedOff](t, f.call(t, withParams(event("DELETE", path, ""), query)), 200)
		}
		if done := drop("/v1/dead-letters/"+jobs[2].ID, map[string]string{"dryRun": "true"}); done.Count != 1 || !done.DryRun {
			t.Errorf("got %+v", done)
		}
		if done := drop("/v1/dead-letters/"+jobs[2].ID, map[string]string{"reason": "a test"}); done.Count != 1 {
			t.Errorf("got %+v", done)
		}
		if done := drop("/v1/dead-letters", map[string]string{"name": "pr-0", "dryRun": "true"}); done.Count != 1 || len(f.letters(t, nil).DeadLetters) != 2 {
			t.Errorf("got %+v", done)
		}
		if done := drop("/v1/dead-letters", map[string]string{"name": "pr-0"}); !cmp.Equal(done.IDs, []string{jobs[0].ID}) {
			t.Errorf("got %+v", done)
		}
		if done := drop("/v1/dead-letters", map[string]string{"all": "true"}); done.Count != 1 {
			t.Errorf("got %+v", done)
		}
		job := read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+jobs[2].ID, "")), 200)
		if left := f.letters(t, nil); len(left.DeadLetters) != 0 || job.State != routine.Dropped || job.Reason != "a test" || job.By != "anonymous" {
			t.Errorf("left %+v, job %+v", left, job)
		}
		refused(t, f.call(t, event("DELETE", "/v1/dead-letters/"+jobs[2].ID, "")), 404, "unknown-dead-letter")
	})
}

func TestIdempotencyKeysAreTheirCallers(t *testing.T) {
	f, tokens := guarded(t, 0)
	var jobs []routine.Job
	for n, key := range []string{"import-7/a", "import-7/b", "other"} {
		job := read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", wishFor(n), "Idempotency-Key", key), tokens["shop"])), 202)
		if jobs = append(jobs, job); job.Key != key {
			t.Errorf("its caller is shown the key %q", job.Key)
		}
		f.dies(t, job.ID)
	}
	list := func(who, query string, more ...string) []string {
		e := as(asking("GET", "/v1/dead-letters", "keyPrefix", query), tokens[who])
		for i := 0; i < len(more); i += 2 {
			e["queryParameters"].(map[string]string)[more[i]] = more[i+1]
		}
		return ids(read[api.DeadLetterList](t, f.call(t, e), 200))
	}
	t.Run("choose by their beginning, for their caller and operators", func(t *testing.T) {
		want := []string{jobs[1].ID, jobs[0].ID}
		for _, who := range []string{"shop", "ops"} {
			if got := list(who, "import-7/"); !cmp.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", who, got, want)
			}
		}
		if got := list("reader", "import-7/"); len(got) != 0 {
			t.Errorf("another caller sees %v", got)
		}
		refused(t, f.call(t, as(withParams(event("GET", "/v1/dead-letters", ""), map[string]string{"keyPrefix": "i", "caller": "shop"}), tokens["reader"])), 403, "denied")
	})
	t.Run("are shown to their caller and operators alone", func(t *testing.T) {
		for who, want := range map[string]string{"shop": "import-7/a", "ops": "import-7/a", "reader": ""} {
			job := read[routine.Job](t, f.call(t, as(event("GET", "/v1/jobs/"+jobs[0].ID, ""), tokens[who])), 200)
			one := read[api.DeadLetter](t, f.call(t, as(event("GET", "/v1/dead-letters/"+jobs[0].ID, ""), tokens[who])), 200)
			all := read[api.JobList](t, f.call(t, as(asking("GET", "/v1/jobs", "name", "pr-0"), tokens[who])), 200)
			letters := read[api.DeadLetterList](t, f.call(t, as(asking("GET", "/v1/dead-letters", "name", "pr-0"), tokens[who])), 200)
			got := []string{job.Key, one.Key, all.Jobs[0].Key, letters.DeadLetters[0].Key}
			if !cmp.Equal(got, []string{want, want, want, want}) {
				t.Errorf("%s is shown %q", who, got)
			}
		}
	})
}

func TestMessagesAreForOperators(t *testing.T) {
	f, tokens := guarded(t, 0)
	received := f.unreadable(t, "u")
	get := func(who, path string) Response { return f.call(t, as(event("GET", path, ""), tokens[who])) }
	t.Run("whose look is logged with who and which", func(t *testing.T) {
		one := read[api.DeadLetter](t, get("ops", "/v1/dead-letters/u"), 200)
		if diff := cmp.Diff(received, one.Received); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if got := f.log.String(); !strings.Contains(got, `"caller":"ops"`) || !strings.Contains(got, `"jobId":"u"`) || !strings.Contains(got, "message of a dead letter shown") || strings.Contains(got, "hush") {
			t.Errorf("logged %s", got)
		}
	})
	f.log.Reset()
	t.Run("and shown to no other reader, in any view", func(t *testing.T) {
		for _, path := range []string{"/v1/dead-letters/u", "/v1/dead-letters", "/v1/jobs/u", "/v1/jobs"} {
			if res := get("reader", path); res.StatusCode != 200 || strings.Contains(res.Body, "hush") || strings.Contains(res.Body, "received") {
				t.Errorf("%s: %+v", path, res)
			}
		}
		if f.log.Len() > 0 {
			t.Errorf("logged %s", f.log)
		}
	})
}

// unreadable makes a dead letter of a message that holds no job.
func (f *function) unreadable(t *testing.T, id string) *routine.Received {
	t.Helper()
	f.clock.Advance(time.Second)
	received := &routine.Received{MessageID: "M1", Encoding: routine.TextEncoding, Body: `{"name":"X","callbackUrl":"https://h.example.com/x?token=hush"}`}
	row := ledger.Unreadable(routine.Job{ID: id, AcceptedAt: f.clock.Now()}, routine.Attempt{
		At: f.clock.Now(), Kind: "invalid", Code: "InvalidRequest", Message: "m", Hint: "h",
	}, "r", ledger.Trigger, []routine.Problem{{Pointer: "/name", Code: "value", Detail: "d"}}, received)
	f.files(t, row)
	return received
}

// deadOnes makes many dead letters at once.
func (f *function) deadOnes(t testing.TB, count int) []string {
	t.Helper()
	f.clock.Advance(time.Second)
	var rows []ledger.Row
	out := make([]string, count)
	for n := range count {
		out[n] = fmt.Sprintf("job-%05d", n)
		row := ledger.NewRow(routine.Job{
			ID: out[n], Caller: "anonymous", AcceptedAt: f.clock.Now(),
			Request: routine.Request{Name: fmt.Sprintf("pr-%d", n), Records: []routine.Record{{SiteID: 7, RecordName: fmt.Sprintf("pr-%d.example.com", n)}}},
		})
		f.die(&row, "SiteParameterNotMatch")
		rows = append(rows, row)
	}
	f.files(t, rows...)
	f.clock.Advance(time.Second)
	return out
}
