package accept

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/routine"
)

func batch(body string, headers ...string) map[string]any {
	return event("POST", "/v1/routines:batch", body, headers...)
}

// verdicts writes a result in short: status and, of a problem, its code.
func verdicts(r api.BatchResult) []string {
	out := make([]string, 0, len(r.Items))
	for i, v := range r.Items {
		text := string(v.Status)
		if v.Problem != nil {
			text += " " + v.Problem.Code
			for _, e := range v.Problem.Errors {
				text += " " + e.Pointer
			}
		}
		if v.Index != i || (v.JobID == "") != (v.Problem != nil && v.Problem.JobID == "") {
			text += fmt.Sprintf(" ODD %+v", v)
		}
		out = append(out, text)
	}
	return out
}

func TestBatchItemsGiveWayToSingleRequests(t *testing.T) {
	f := start(t)
	const single, bulk = 8, 12 // MNS takes 1 first, and 16 last
	job := f.post(t, wishFor(0))
	items := read[api.BatchResult](t, f.call(t, batch("["+wishFor(1)+","+wishFor(2)+"]")), 202).Items
	f.shows(t, map[string]int{job.ID: single, items[0].JobID: bulk, items[1].JobID: bulk})

	f.queued(t)
	f.dies(t, job.ID)
	f.dies(t, items[1].JobID)
	f.redrive(t, `{"all":true}`)
	f.shows(t, map[string]int{job.ID: single, items[1].JobID: bulk})
}

// shows expects MNS to show messages of those jobs with those priorities.
func (f *function) shows(t *testing.T, want map[string]int) {
	t.Helper()
	res, err := http.Get(f.mnsURL + "/_local/queues/" + sim.JobQueue + "/messages")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var messages []struct {
		Body     string
		Priority int
	}
	if err := json.NewDecoder(res.Body).Decode(&messages); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, m := range messages {
		got[sim.Keys(t, sim.Key).Decode([]byte(m.Body), now)[0].Envelope.JobID] = m.Priority
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("priorities -want +got:\n%s", diff)
	}
}

func TestBatch(t *testing.T) {
	t.Run("gives a verdict on each item, in order", func(t *testing.T) {
		f := start(t)
		f.post(t, wishFor(1), "Idempotency-Key", "old")
		f.post(t, wishFor(1), "Idempotency-Key", "other")
		f.queued(t)
		body := `[` + strings.Join([]string{
			wishFor(1),
			`{"name":"X","siteId":true}`,
			`{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","idempotencyKey":"old"}`,
			`{"name":"pr-2","siteId":7,"recordName":"pr-1.example.com","idempotencyKey":"other"}`,
			`{"name":"pr-3","siteId":7,"recordName":"pr-1.example.com","IdempotencyKey":"` + strings.Repeat("k", 256) + `"}`,
			`17`,
			`{"Name":"pr-4","SiteId":"7","RecordName":"PR-4.example.com","idempotencyKey":"twice"}`,
			`{"name":"pr-4","siteId":7,"recordName":"pr-4.example.com","idempotencyKey":"twice"}`,
			`{"name":"pr-5","siteId":7,"recordName":"pr-5.example.com","idempotencyKey":7}`,
			described(strings.Repeat("d", queue.MaxEnvelopeBytes)),
		}, ",") + `]`
		got := read[api.BatchResult](t, f.call(t, batch(body)), 202)
		want := []string{
			"accepted", "rejected invalid-request /name /recordName /siteId", "duplicate", "rejected idempotency-key-reused",
			"rejected invalid-idempotency-key", "rejected malformed-request ", "accepted", "duplicate", "rejected invalid-request /idempotencyKey",
			"rejected too-large",
		}
		if diff := cmp.Diff(want, verdicts(got)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if got.Accepted != 2 || got.Duplicate != 2 || got.Rejected != 6 || got.Failed != 0 {
			t.Errorf("counts %+v", got)
		}
		ids := map[string]bool{}
		for _, e := range f.queued(t) {
			ids[e.JobID] = true
		}
		if !ids[got.Items[0].JobID] || !ids[got.Items[6].JobID] || got.Items[6].JobID != got.Items[7].JobID {
			t.Errorf("queued %v of %+v", ids, got.Items)
		}
	})
	t.Run("reads one request a line", func(t *testing.T) {
		for _, media := range []string{"application/x-ndjson", "application/jsonl"} {
			got := read[api.BatchResult](t, start(t).call(t, batch("\n"+wishFor(1)+"\r\n\n{broken\n"+wishFor(2), "Content-Type", media)), 202)
			if diff := cmp.Diff([]string{"accepted", "rejected malformed-request ", "accepted"}, verdicts(got)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", media, diff)
			}
		}
	})
	t.Run("makes an item's key of the batch's", func(t *testing.T) {
		f := start(t)
		body := "[" + wishFor(1) + "," + wishFor(2) + "]"
		first := read[api.BatchResult](t, f.call(t, batch(body, "Idempotency-Key", "b")), 202)
		again := read[api.BatchResult](t, f.call(t, batch(body, "Idempotency-Key", "b")), 202)
		if again.Duplicate != 2 || first.Accepted != 2 || again.Items[1].JobID != first.Items[1].JobID || again.Items[1].State != routine.Queued {
			t.Errorf("%+v, then %+v", first, again)
		}
		alone := read[routine.Job](t, f.call(t, event("POST", "/v1/routines", wishFor(2), "Idempotency-Key", "b/1")), 202)
		if alone.ID != first.Items[1].JobID {
			t.Errorf("%s is not %s", alone.ID, first.Items[1].JobID)
		}
	})
	t.Run("takes many requests in as few calls as can be", func(t *testing.T) {
		f, size := start(t), api.MaxBatch
		if testing.Short() {
			size = 50
		}
		// Not by call: to hold so long an answer to the contract takes longer than all other tests.
		text, err := json.Marshal(batch(wishes(size)))
		if err != nil {
			t.Fatal(err)
		}
		got := read[api.BatchResult](t, serveEvent(t.Context(), text, f.routes()), 202)
		if calls := f.mns.Faults().Count("BatchSendMessage"); got.Accepted != size || calls != (size+15)/16 {
			t.Errorf("%d accepted in %d calls", got.Accepted, calls)
		}
		if calls := len(f.ots.Faults().Calls()); calls > (size+9)/10 {
			t.Errorf("%d calls of the ledger", calls)
		}
		seen := 0
		for batch := f.queued(t); len(batch) > 0; batch = f.queued(t) {
			seen += len(batch)
		}
		if seen != size {
			t.Errorf("%d jobs on the queue", seen)
		}
	})
}
