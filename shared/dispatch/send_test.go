package dispatch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/dispatch"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// post is a dispatcher with its servers.
type post struct {
	*dispatch.Dispatcher
	mns *mnsemu.Server
	url string
}

func newPost(t *testing.T) *post {
	t.Helper()
	manual := clock.NewManual(noon)
	server, url := localtest.MNS(t, manual, sim.JobQueue, sim.DeadLetterQueue, sim.CallbackQueue)
	_, jobs := sim.NewLedger(t, manual)
	d := &dispatch.Dispatcher{Queue: sim.Queue(t, queue.Config{Endpoint: url}), Ledger: jobs, Now: manual.Now}
	return &post{Dispatcher: d, mns: server, url: url}
}

// due records the n-th job, whose message is due, or whose callback is if it has ended.
func (p *post) due(t *testing.T, n int, ended bool) ledger.Row {
	t.Helper()
	row := p.Ledger.Create(t.Context(), ledger.NewRow(routine.Job{
		ID: fmt.Sprint("job-", n), AcceptedAt: noon, Caller: "ci",
		Request: routine.Request{Name: "pr-1", Records: []routine.Record{{SiteID: 7, RecordName: "pr-1.example.com"}}, CallbackURL: "https://ci.example/hook"},
	}))[0].Row
	row, err := p.Ledger.Update(t.Context(), row, func(r *ledger.Row) {
		if ended {
			r.Succeed(routine.Result{}, routine.Progress{}, noon, noon)
		} else if err := r.Due(noon); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// sent are the messages of a queue, taken from it, by the ids of their jobs.
func (p *post) sent(t *testing.T, name string) (out []queue.Delivery) {
	t.Helper()
	for _, body := range sim.Take(t, localtest.MNSClient(t, p.url), name) {
		out = append(out, sim.Keys(t, sim.Key).Decode([]byte(body), noon)...)
	}
	slices.SortFunc(out, func(a, b queue.Delivery) int { return strings.Compare(a.Envelope.JobID, b.Envelope.JobID) })
	return out
}

func (p *post) stillDue(t *testing.T) []string {
	t.Helper()
	rows, _, err := p.Ledger.Due(t.Context(), noon.Add(time.Hour), 100)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids
}

func (p *post) breaks(t *testing.T, rule faults.Rule) {
	t.Helper()
	if _, err := p.mns.Faults().Add(rule); err != nil {
		t.Fatal(err)
	}
}

func TestSend(t *testing.T) {
	t.Run("sends messages of jobs and callbacks of ends, and clears their marks", func(t *testing.T) {
		p := newPost(t)
		rows := []ledger.Row{p.due(t, 0, false), p.due(t, 1, true), p.due(t, 2, false)}
		for i, sent := range p.Send(t.Context(), rows) {
			if sent.Err != nil || sent.Row.ID != rows[i].ID || !sent.Row.DueAt.IsZero() {
				t.Errorf("%+v", sent)
			}
		}
		jobs, callbacks := p.sent(t, sim.JobQueue), p.sent(t, sim.CallbackQueue)
		if len(jobs) != 2 || len(callbacks) != 1 {
			t.Fatalf("%d jobs, %d callbacks", len(jobs), len(callbacks))
		}
		if diff := cmp.Diff(dispatch.Envelope(rows[0]), jobs[0].Envelope); diff != "" {
			t.Errorf("job -want +got:\n%s", diff)
		}
		if c := callbacks[0].Callback; c.JobID != "job-1" || c.URL != "https://ci.example/hook" || c.Attempt != 1 || !c.CreatedAt.Equal(noon) {
			t.Errorf("callback %+v", c)
		}
		if got := p.stillDue(t); len(got) != 0 {
			t.Errorf("still due: %v", got)
		}
	})
	t.Run("sends a job's message although none is due, and no callback that is not", func(t *testing.T) {
		p := newPost(t)
		rows := []ledger.Row{p.due(t, 0, false), p.due(t, 1, true)}
		for range 2 {
			for i, sent := range p.Send(t.Context(), rows) {
				rows[i] = sent.Row
			}
		}
		if jobs, callbacks := p.sent(t, sim.JobQueue), p.sent(t, sim.CallbackQueue); len(jobs) != 2 || len(callbacks) != 1 {
			t.Errorf("%d jobs, %d callbacks", len(jobs), len(callbacks))
		}
	})
	t.Run("keeps the marks of what MNS did not confirm, and only those", func(t *testing.T) {
		p := newPost(t)
		rows := []ledger.Row{p.due(t, 0, false), p.due(t, 1, true), p.due(t, 2, false), p.due(t, 3, true)}
		p.breaks(t, faults.Rule{Action: "BatchSendMessage", Fault: faults.Fault{Answer: faults.HTML}})
		p.breaks(t, faults.Rule{Action: "SendMessage", Fault: faults.Fault{Answer: faults.Error, Status: 429, Code: "TooManyRequests"}})
		var failed []string
		for _, sent := range p.Send(t.Context(), rows) {
			if sent.Err != nil {
				failed = append(failed, sent.Row.ID)
			}
		}
		want := []string{"job-0", "job-1", "job-2"}
		if diff := cmp.Diff(want, failed) + cmp.Diff(want, p.stillDue(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("marks a callback that can never be as failed, and does not try it again", func(t *testing.T) {
		p := newPost(t)
		row, err := p.Ledger.Update(t.Context(), p.due(t, 0, true), func(r *ledger.Row) { r.Request.CallbackURL = "https://x/" + strings.Repeat("x", 70_000) })
		if err != nil {
			t.Fatal(err)
		}
		sent := p.Send(t.Context(), []ledger.Row{row})[0]
		if !fault.HasKind(sent.Err, fault.Invalid) || sent.Row.Callback == nil || sent.Row.Callback.State != routine.CallbackFailed || len(p.stillDue(t)) != 0 {
			t.Errorf("%v, %+v", sent.Err, sent.Row.Callback)
		}
	})
	t.Run("does no harm where another writer came between the send and the mark", func(t *testing.T) {
		p := newPost(t)
		row := p.due(t, 0, false)
		begun, err := p.Ledger.Update(t.Context(), row, func(r *ledger.Row) { r.Begin(1, routine.Progress{}, noon) })
		if err != nil {
			t.Fatal(err)
		}
		if sent := p.Send(t.Context(), []ledger.Row{row})[0]; sent.Err != nil {
			t.Error(sent.Err)
		}
		if got, err := p.Ledger.Row(t.Context(), row.ID); err != nil || got.Write != begun.Write {
			t.Errorf("the row was written over: %+v, %v", got, err)
		}
	})
	t.Run("sends the same news of a death whenever it is asked, also once the job is dropped", func(t *testing.T) {
		p := newPost(t)
		row := p.due(t, 0, false)
		row.Die(ledger.NewAttempt(1, noon, &fault.Error{Kind: fault.Conflict, Code: "Taken"}), "it would fail again", ledger.Worker, routine.Progress{}, noon)
		before, err := dispatch.Callback(row)
		if err != nil {
			t.Fatal(err)
		}
		if err := row.Drop("olga", "not needed", noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		after, err := dispatch.Callback(row)
		if diff := cmp.Diff(before, after); diff != "" || err != nil {
			t.Errorf("%v, -before +after:\n%s", err, diff)
		}
	})
}

func TestDeadLetterOfEachDelivery(t *testing.T) {
	body := func(e queue.Envelope) []byte {
		text, err := sim.Keys(t, sim.Key).Seal(e)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(text)
	}
	request := routine.Request{Name: "pr-1", Records: []routine.Record{{SiteID: 7, RecordName: "pr-1.example.com"}}}
	for name, test := range map[string]struct {
		body     []byte
		name     string
		problems int
	}{
		"an envelope":        {body(queue.Envelope{JobID: "job-1", AcceptedAt: noon, Number: 1, Request: request}), "pr-1", 0},
		"a bare request":     {[]byte(`{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com"}`), "pr-1", 0},
		"an invalid wish":    {[]byte(`{"name":"a"}`), "", 2},
		"rubbish":            {[]byte("rubbish"), "", 0},
		"bytes":              {[]byte("\xff\x00"), "", 0},
		"another CloudEvent": {[]byte(`{"specversion":"1.0","id":"1","source":"/x","type":"x","data":7}`), "", 0},
	} {
		t.Run("keeps "+name+" whole, is recorded, and comes back the same", func(t *testing.T) {
			p := newPost(t)
			d := sim.Keys(t, sim.Key).Decode(test.body, noon)[0]
			failure := &fault.Error{Kind: fault.Invalid, Code: "X", Message: "no", Hint: "fix it"}
			row := dispatch.DeadLetter(queue.UnreadableJobID(d), d, failure, "it cannot be read", ledger.Trigger, noon)
			if made := p.Ledger.Create(t.Context(), row)[0]; made.Err != nil || made.Existed {
				t.Fatalf("existed %t, %v", made.Existed, made.Err)
			}
			got, err := p.Ledger.Row(t.Context(), row.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(d.Received(), got.Received) + cmp.Diff(row.Job, got.Job); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got.State != routine.DeadLettered || got.Origin != ledger.Trigger || got.Code != "X" || got.Request.Name != test.name || len(got.Problems) < test.problems {
				t.Errorf("%+v", got)
			}
			if made := p.Ledger.Create(t.Context(), row)[0]; !made.Existed {
				t.Error("a second delivery is a second dead letter")
			}
		})
	}
}
