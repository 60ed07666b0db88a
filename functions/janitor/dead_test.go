package janitor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/functions/janitor"
	"routinely/queue"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// bare is a request that another program put on the queue.
const bare = `{"name":"pr-9","siteId":54362329990032,"recordName":"pr-9.example.com"}`

// gone makes one run and expects that it leaves nothing on the dead-letter queue.
func (h *house) gone(t *testing.T, want janitor.Report) {
	t.Helper()
	if diff := cmp.Diff(want, h.run(t)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := len(h.take(t, sim.DeadLetterQueue)); n != 0 {
		t.Errorf("%d messages stay on the dead-letter queue", n)
	}
}

func TestUndelivered(t *testing.T) {
	t.Run("a job is sent again under its own number, and the third time it is a dead letter", func(t *testing.T) {
		h := start(t)
		row := h.job(t, "job-1")
		for range 2 {
			h.put(t, message(t, row))
			h.gone(t, janitor.Report{Redelivered: 1})
			if diff := cmp.Diff([]string{"job-1/0.1"}, h.sent(t)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
		h.put(t, message(t, row))
		h.gone(t, janitor.Report{GivenUp: 1})
		row = h.row(t, "job-1")
		if row.Code != "Undelivered" || row.Origin != ledger.Trigger || row.Hint == "" || row.Kind != "unavailable" || !row.DueAt.IsZero() {
			t.Errorf("%+v", row)
		}
		if n := len(h.take(t, sim.CallbackQueue)); n != 1 {
			t.Errorf("%d callbacks tell of its death", n)
		}
	})
	t.Run("each message of an event is a job of its own", func(t *testing.T) {
		h := start(t)
		first, second := h.job(t, "job-1"), h.job(t, "job-2")
		h.change(t, "job-2", func(r *ledger.Row) { _ = r.Cancel("ci", "", noon) })
		h.put(t, string(sim.Event(t, message(t, first), message(t, second), bare, "garbage")))
		h.gone(t, janitor.Report{Redelivered: 1, Passed: 1, Filed: 2})
		if diff := cmp.Diff([]string{"job-1/0.1"}, h.sent(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("one event counts each job once, however often it is read", func(t *testing.T) {
		h := start(t)
		first, second := h.job(t, "job-1"), h.job(t, "job-2")
		h.put(t, string(sim.Event(t, message(t, first), message(t, second))))
		fail(t, h.mns.Faults(), "BatchDeleteMessage")
		for range 4 {
			if diff := cmp.Diff(janitor.Report{Redelivered: 2}, h.run(t)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			h.clock.Advance(lease)
		}
		h.mns.Faults().Clear()
		h.gone(t, janitor.Report{Redelivered: 2})
		if diff := cmp.Diff([]string{"job-1/0.1", "job-2/0.1"}, h.sent(t)); diff != "" {
			t.Errorf("each is sent once, -want +got:\n%s", diff)
		}
		if n := len(h.row(t, "job-1").Undelivered); n != 1 {
			t.Errorf("counted %d times", n)
		}
	})
	t.Run("a row that was handed over is sent as it stands", func(t *testing.T) {
		h := start(t)
		old := h.job(t, "job-1")
		now := h.change(t, "job-1", func(r *ledger.Row) {
			r.HandOver(3, ledger.HandOver{Sent: true, Waiting: routine.Waiting{For: routine.ForBackoff}}, noon)
		})
		h.put(t, message(t, old))
		h.gone(t, janitor.Report{Passed: 1})
		lost := now
		lost.Number = 4 // sent by a hand-over that could not be recorded
		h.put(t, message(t, lost))
		h.gone(t, janitor.Report{Redelivered: 1})
		if diff := cmp.Diff([]string{"job-1/0.3"}, h.sent(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("what has ended, or is in a later round, has passed", func(t *testing.T) {
		h := start(t)
		row := h.job(t, "job-1")
		h.change(t, "job-1", h.die)
		h.put(t, message(t, row))
		h.gone(t, janitor.Report{Passed: 1})
		h.clock.Advance(time.Second)
		h.change(t, "job-1", func(r *ledger.Row) {
			if err := r.Redrive("op", "", nil, h.clock.Now(), h.clock.Now(), h.clock.Now()); err != nil {
				t.Fatal(err)
			}
			_ = r.Sent(1, 1, "k1", h.clock.Now())
		})
		h.put(t, message(t, row))
		h.gone(t, janitor.Report{Passed: 1})
		if got := h.sent(t); got != nil {
			t.Errorf("sent %v", got)
		}
	})
	t.Run("a round that the ledger does not know stays on the queue", func(t *testing.T) {
		h := start(t)
		row := h.job(t, "job-1")
		row.Redriven = 1
		h.put(t, message(t, row))
		if diff := cmp.Diff(janitor.Report{Left: 1}, h.run(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if got := h.take(t, sim.DeadLetterQueue); len(got) != 1 || got[0] != message(t, row) {
			t.Errorf("%q", got)
		}
	})
	t.Run("a redrive counts anew", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		for range 3 {
			h.put(t, message(t, h.row(t, "job-1")))
			h.run(t)
		}
		h.clock.Advance(time.Second)
		row := h.change(t, "job-1", func(r *ledger.Row) {
			_ = r.Redrive("op", "", nil, h.clock.Now(), h.clock.Now(), h.clock.Now())
			_ = r.Sent(1, 1, "k1", h.clock.Now())
		})
		h.put(t, message(t, row))
		h.gone(t, janitor.Report{Redelivered: 1})
		if got := h.dead(t, "job-1"); got != string(routine.Queued) {
			t.Error(got)
		}
	})
}

func TestFiling(t *testing.T) {
	t.Run("an envelope without a row is an unknown job under its own id, which can be redriven", func(t *testing.T) {
		h := start(t)
		row := ledger.NewRow(routine.Job{ID: "job-7", Caller: "ci", AcceptedAt: noon, Request: routine.Request{Name: "pr-1"}})
		row.Request.SiteID, row.Request.RecordName = 7, "pr-1.example.com"
		h.put(t, message(t, row))
		h.gone(t, janitor.Report{Filed: 1})
		got := h.row(t, "job-7")
		if got.Code != "UnknownJob" || got.Origin != ledger.Trigger || got.Received == nil || got.Received.Body != message(t, row) || got.Hint == "" {
			t.Errorf("%+v", got)
		}
		h.clock.Advance(time.Second)
		h.change(t, "job-7", func(r *ledger.Row) {
			if err := r.Redrive("op", "", nil, h.clock.Now(), h.clock.Now(), h.clock.Now()); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("another request under a job's id is a dead letter of its own", func(t *testing.T) {
		h := start(t)
		row := h.job(t, "job-1")
		row.Request.Name = "pr-2"
		h.put(t, message(t, row))
		h.gone(t, janitor.Report{Filed: 1})
		letters := h.letters(t)
		if len(letters) != 1 || letters[0].ID == "job-1" || letters[0].Code != "KeyReused" || letters[0].Request.Name != "pr-2" || h.dead(t, "job-1") != "queued" {
			t.Errorf("%+v", letters)
		}
	})
	t.Run("a bare request that no worker saw is a dead letter that can be redriven", func(t *testing.T) {
		h := start(t)
		h.put(t, string(sim.Event(t, bare)))
		h.gone(t, janitor.Report{Filed: 1})
		letters := h.letters(t)
		if len(letters) != 1 || letters[0].Code != "Undelivered" || letters[0].Request.Name != "pr-9" {
			t.Fatalf("%+v", letters)
		}
		h.clock.Advance(time.Second)
		h.change(t, letters[0].ID, func(r *ledger.Row) {
			if err := r.Redrive("op", "", nil, h.clock.Now(), h.clock.Now(), h.clock.Now()); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a bare request whose job is known is like a message of ours", func(t *testing.T) {
		h := start(t)
		event := sim.Event(t, bare)
		e := sim.Keys(t, sim.Key).Decode(event, noon)[0].Envelope
		job := routine.Job{ID: e.JobID, AcceptedAt: noon, Request: e.Request}
		if made := h.Ledger.Create(t.Context(), ledger.NewRow(job))[0]; made.Err != nil {
			t.Fatal(made.Err)
		}
		h.put(t, string(event))
		h.gone(t, janitor.Report{Redelivered: 1})
		h.change(t, e.JobID, h.die)
		h.put(t, string(event))
		h.gone(t, janitor.Report{Passed: 1})
	})
	t.Run("copies of a bare request end no job: whoever may write to the queue has one send at most", func(t *testing.T) {
		h := start(t)
		event := `{"specversion":"1.0","id":"1","source":"/shop","type":"order","data":` + bare + `}`
		e := sim.Keys(t, sim.Key).Decode([]byte(event), noon)[0].Envelope
		job := routine.Job{ID: e.JobID, AcceptedAt: noon, Request: e.Request}
		if made := h.Ledger.Create(t.Context(), ledger.NewRow(job))[0]; made.Err != nil {
			t.Fatal(made.Err)
		}
		for range 4 {
			h.put(t, event)
		}
		h.gone(t, janitor.Report{Redelivered: 4})
		if diff := cmp.Diff([]string{e.JobID + "/0.1"}, h.sent(t)); diff != "" || h.dead(t, e.JobID) != "queued" {
			t.Errorf("%s; -want +got:\n%s", h.dead(t, e.JobID), diff)
		}
	})
	t.Run("whatever else is there is kept byte for byte", func(t *testing.T) {
		h := start(t)
		bodies := []string{
			"garbage", "[]", "{}", " \n", `"x"`, `{"name":"Bad Name"}`, "AAECAw==",
			`{"specversion":"1.0","type":"routinely.job.v2","id":"1","source":"/routinely","data":{"jobId":"job-1"}}`,
			`{"specversion":"1.0","type":"routinely.callback.v2","id":"1","source":"/routinely","data":{}}`,
		}
		for _, text := range bodies {
			h.put(t, text)
		}
		h.gone(t, janitor.Report{Filed: len(bodies)})
		var got []string
		for _, letter := range h.letters(t) {
			received := h.row(t, letter.ID).Received
			got = append(got, received.Body)
			if (letter.Kind != "invalid") != (letter.Code == queue.CodeUnknownKey) || letter.Hint == "" || received.MessageID == "" {
				t.Errorf("%+v", letter)
			}
		}
		for _, text := range bodies {
			if !strings.Contains(fmt.Sprintf("%q", got), fmt.Sprintf("%q", text)) {
				t.Errorf("%q is not kept in %q", text, got)
			}
		}
	})
	t.Run("a dead letter that is read twice is filed once", func(t *testing.T) {
		h := start(t)
		for _, text := range []string{"garbage", bare, string(sim.Event(t, bare, "garbage"))} {
			h.put(t, text)
		}
		fail(t, h.mns.Faults(), "BatchDeleteMessage")
		if diff := cmp.Diff(janitor.Report{Filed: 4}, h.run(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		h.mns.Faults().Clear()
		h.clock.Advance(lease)
		h.gone(t, janitor.Report{Passed: 4})
		if n := len(h.letters(t)); n != 4 {
			t.Errorf("%d dead letters", n)
		}
	})
	t.Run("what comes without ids in one event stays apart", func(t *testing.T) {
		h := start(t)
		h.put(t, `["garbage","garbage"]`)
		h.gone(t, janitor.Report{Filed: 2})
	})
	t.Run("an array of thousands is one dead letter with its bytes, and holds up nobody", func(t *testing.T) {
		h := start(t)
		body := "[0" + strings.Repeat(",0", 1000) + "]"
		h.put(t, body)
		h.gone(t, janitor.Report{Filed: 1})
		if received := h.row(t, h.letters(t)[0].ID).Received; received.Body != body {
			t.Errorf("kept %.80q", received.Body)
		}
	})
	t.Run("a full queue is emptied although receives miss messages", func(t *testing.T) {
		h := start(t)
		for i := range 200 {
			h.put(t, fmt.Sprint("garbage ", i))
		}
		h.gone(t, janitor.Report{Filed: 200})
	})
}

func TestOutages(t *testing.T) {
	t.Run("a ledger that is down deletes nothing from the queue", func(t *testing.T) {
		h := start(t)
		h.put(t, message(t, h.job(t, "job-1")))
		h.put(t, "garbage")
		for _, id := range []string{"job-2", "job-3", "job-4", "job-5"} {
			h.callbackOf(t, h.told(t, id), 10, 503)
		}
		fail(t, h.ots.Faults(), "")
		h.ots.Faults().Reset()
		if out, err := h.Run(t.Context()); err == nil || out.Left == 0 || out.Filed+out.Redelivered+out.CallbacksFailed != 0 {
			t.Errorf("%+v, %v", out, err)
		}
		if n := h.ots.Faults().Count("BatchGetRow"); n > 2 { // the client repeats what breaks on a kept connection
			t.Errorf("the ledger was asked %d times about messages", n)
		}
		h.ots.Faults().Clear()
		h.clock.Advance(lease)
		h.gone(t, janitor.Report{Redelivered: 1, Filed: 1, CallbacksFailed: 4})
	})
	t.Run("a message that could not be sent again stays until it is", func(t *testing.T) {
		h := start(t)
		h.put(t, message(t, h.job(t, "job-1")))
		fail(t, h.mns.Faults(), "SendMessage")
		if out, err := h.Run(t.Context()); err == nil || out.Left != 1 {
			t.Errorf("%+v, %v", out, err)
		}
		if got := h.take(t, sim.DeadLetterQueue); len(got) != 1 {
			t.Fatalf("%d messages", len(got))
		}
		h.mns.Faults().Clear()
		if diff := cmp.Diff(janitor.Report{Sent: 1}, h.run(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("a death whose callback could not be sent is told by the next run", func(t *testing.T) {
		h := start(t)
		row := h.job(t, "job-1")
		for range 2 {
			h.put(t, message(t, row))
			h.run(t)
		}
		h.put(t, message(t, row))
		fail(t, h.mns.Faults(), "SendMessage")
		h.gone(t, janitor.Report{GivenUp: 1})
		h.mns.Faults().Clear()
		if diff := cmp.Diff(janitor.Report{Sent: 1}, h.run(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("a message that fails alone holds up no other", func(t *testing.T) {
		h := start(t)
		h.put(t, message(t, h.job(t, "job-1")))
		h.put(t, message(t, h.job(t, "job-2")))
		denied := faults.Rule{Action: "BatchGetRow", Skip: 1, Fault: faults.Fault{Answer: faults.Error, Status: 400, Code: "OTSParameterInvalid"}}
		if _, err := h.ots.Faults().Add(denied); err != nil {
			t.Fatal(err)
		}
		out, err := h.Run(t.Context())
		if err == nil || out.Left != 1 || out.Redelivered != 1 {
			t.Errorf("%+v, %v", out, err)
		}
	})
}
