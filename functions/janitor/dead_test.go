package janitor_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/functions/janitor"
	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// bare is a request of another program, without a seal.
const bare = `{"name":"pr-9","siteId":54362329990032,"recordName":"pr-9.example.com"}`

func TestUndelivered(t *testing.T) {
	t.Run("a job is sent again under its own number, and the third time it is a dead letter", func(t *testing.T) {
		h := start(t)
		row := h.job(t, "job-1")
		for range 2 {
			h.put(t, message(t, row))
			h.gone(t, janitor.Report{Redelivered: 1})
			h.sends(t, "job-1/0.1")
		}
		h.put(t, message(t, row))
		h.gone(t, janitor.Report{GivenUp: 1})
		row = h.row(t, "job-1")
		if row.Code != "Undelivered" || row.Origin != ledger.Trigger || row.Hint == "" || row.Kind != "unavailable" || !row.DueAt.IsZero() {
			t.Errorf("%+v", row)
		}
		same(t, "callbacks of its death", len(h.take(t, sim.CallbackQueue)), 1)
	})
	t.Run("each message of an event is a job of its own", func(t *testing.T) {
		h := start(t)
		first, second := h.job(t, "job-1"), h.job(t, "job-2")
		h.change(t, "job-2", func(r *ledger.Row) { _ = r.Cancel("ci", "", noon) })
		h.put(t, string(sim.Event(t, message(t, first), message(t, second), bare, "garbage")))
		h.gone(t, janitor.Report{Redelivered: 1, Passed: 1, Filed: 2})
		h.sends(t, "job-1/0.1")
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
		h.sends(t, "job-1/0.3")
	})
	t.Run("what has ended, or is in a later round, has passed", func(t *testing.T) {
		h := start(t)
		row := h.job(t, "job-1")
		h.change(t, "job-1", h.die)
		h.put(t, message(t, row))
		h.gone(t, janitor.Report{Passed: 1})
		h.redrive(t, "job-1")
		h.put(t, message(t, row))
		h.gone(t, janitor.Report{Passed: 1})
		h.sends(t)
	})
	t.Run("a round that the ledger does not know stays on the queue", func(t *testing.T) {
		h := start(t)
		row := h.job(t, "job-1")
		row.Redriven = 1
		h.put(t, message(t, row))
		h.runs(t, janitor.Report{Left: 1})
		same(t, "left", h.take(t, sim.DeadLetterQueue), []string{message(t, row)})
	})
	t.Run("a redrive counts again", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		for range 3 {
			h.put(t, message(t, h.row(t, "job-1")))
			h.run(t)
		}
		h.put(t, message(t, h.redrive(t, "job-1")))
		h.gone(t, janitor.Report{Redelivered: 1})
		same(t, "state", h.dead(t, "job-1"), string(routine.Queued))
	})
}

// bareJob records the job of a bare request, as the worker does, and returns its id.
func (h *house) bareJob(t *testing.T, event string) string {
	t.Helper()
	e := sim.Keys(t, sim.Key).Decode([]byte(event), noon)[0].Envelope
	h.record(t, ledger.NewRow(routine.Job{ID: e.JobID, AcceptedAt: noon, Request: e.Request}))
	return e.JobID
}

func TestFiling(t *testing.T) {
	t.Run("an envelope without a row is an unknown job under its own id, which can be redriven", func(t *testing.T) {
		h := start(t)
		body := message(t, ledger.NewRow(routine.Job{
			ID: "job-7", Caller: "ci", AcceptedAt: noon, Request: routine.Request{Name: "pr-1", Records: []routine.Record{{SiteID: 7, RecordName: "pr-1.example.com"}}},
		}))
		h.put(t, body)
		h.gone(t, janitor.Report{Filed: 1})
		if got := h.row(t, "job-7"); got.Code != "UnknownJob" || got.Origin != ledger.Trigger || got.Received == nil || got.Received.Body != body || got.Hint == "" {
			t.Errorf("%+v", got)
		}
		h.redrive(t, "job-7")
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
		h.redrive(t, letters[0].ID)
	})
	t.Run("a bare request whose job is known is like a message of ours", func(t *testing.T) {
		h := start(t)
		event := string(sim.Event(t, bare))
		id := h.bareJob(t, event)
		h.put(t, event)
		h.gone(t, janitor.Report{Redelivered: 1})
		h.change(t, id, h.die)
		h.put(t, event)
		h.gone(t, janitor.Report{Passed: 1})
	})
	t.Run("copies of a bare request end no job and send it once", func(t *testing.T) {
		h := start(t)
		event := `{"specversion":"1.0","id":"1","source":"/shop","type":"order","data":` + bare + `}`
		id := h.bareJob(t, event)
		for range 4 {
			h.put(t, event)
		}
		h.gone(t, janitor.Report{Redelivered: 4})
		h.sends(t, id+"/0.1")
		same(t, "state", h.dead(t, id), string(routine.Queued))
	})
	t.Run("any other message is kept byte for byte", func(t *testing.T) {
		h := start(t)
		bodies := []string{
			"garbage", "[]", "{}", " \n", `"x"`, `{"name":"Bad Name"}`, "AAECAw==",
			`{"specversion":"1.0","type":"routinely.job.v2","id":"1","source":"/routinely","data":{"jobId":"job-1"}}`,
			`{"specversion":"1.0","type":"routinely.callback.v2","id":"1","source":"/routinely","data":{}}`,
		}
		for _, text := range bodies {
			h.put(t, text)
		}
		h.put(t, `["garbage","garbage"]`) // two messages of one event, without ids
		h.gone(t, janitor.Report{Filed: len(bodies) + 2})
		bodies = append(bodies, "garbage", "garbage")
		var got []string
		for _, letter := range h.letters(t) {
			received := h.row(t, letter.ID).Received
			got = append(got, received.Body)
			if (letter.Kind != "invalid") != (letter.Code == queue.CodeUnknownKey) || letter.Hint == "" || received.MessageID == "" {
				t.Errorf("%+v", letter)
			}
		}
		slices.Sort(got)
		slices.Sort(bodies)
		same(t, "kept", got, bodies)
	})
	t.Run("an array of thousands is one dead letter with its bytes", func(t *testing.T) {
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
		if out := h.fails(t); out.Left == 0 || out.Filed+out.Redelivered+out.CallbacksFailed != 0 {
			t.Errorf("%+v", out)
		}
		if n := h.ots.Faults().Count("BatchGetRow"); n > 2 { // the client repeats a call that breaks on a kept connection
			t.Errorf("the ledger was asked %d times about messages", n)
		}
		h.ots.Faults().Clear()
		h.clock.Advance(lease)
		h.gone(t, janitor.Report{Redelivered: 1, Filed: 1, CallbacksFailed: 4})
	})
	dying := func(h *house) {
		for range 2 {
			h.put(t, message(t, h.row(t, "job-1")))
			h.run(t)
			h.sent(t)
		}
		h.put(t, message(t, h.row(t, "job-1")))
	}
	for name, test := range map[string]struct {
		prepare func(*house)
		// broken and healed are the reports of the run without the queue and of the next one.
		broken, healed janitor.Report
	}{
		"a message that is due":               {func(h *house) { h.change(t, "job-1", h.due) }, janitor.Report{}, janitor.Report{Sent: 1}},
		"a job without news":                  {func(h *house) { h.clock.Advance(silence) }, janitor.Report{}, janitor.Report{Sent: 1}},
		"a job that the trigger gave up":      {func(h *house) { h.put(t, message(t, h.row(t, "job-1"))) }, janitor.Report{Left: 1}, janitor.Report{Sent: 1, Redelivered: 1}},
		"a callback that its trigger gave up": {func(h *house) { h.put(t, h.undelivered(t, h.tell(t, "job-1"))) }, janitor.Report{Left: 1}, janitor.Report{Sent: 1, Redelivered: 1}},
		"the callback of a death":             {dying, janitor.Report{GivenUp: 1}, janitor.Report{Sent: 1}},
	} {
		t.Run(name+" that the queue does not confirm is sent by the next run, once", func(t *testing.T) {
			h := start(t)
			h.job(t, "job-1")
			test.prepare(h)
			fail(t, h.mns.Faults(), "SendMessage")
			out, err := h.Run(t.Context())
			if isDeath := test.broken.GivenUp == 1; fault.HasKind(err, fault.Unavailable) == isDeath { // a death is done, its callback is due
				t.Errorf("got %v", err)
			}
			out.Failed = nil
			same(t, "report without the queue", out, test.broken)
			h.mns.Faults().Clear()
			h.clock.Advance(lease)
			h.runs(t, test.healed)
			same(t, "messages sent", len(h.sent(t))+len(h.take(t, sim.CallbackQueue)), 1)
		})
	}
	t.Run("a dead letter that is read again sends, counts and files nothing twice", func(t *testing.T) {
		h := start(t)
		h.put(t, string(sim.Event(t, message(t, h.job(t, "job-1")), message(t, h.job(t, "job-2")), bare, "garbage")))
		h.put(t, string(sim.Event(t, h.undelivered(t, h.told(t, "job-3")), h.undelivered(t, h.told(t, "job-4")))))
		h.put(t, "garbage")
		h.put(t, bare)
		fail(t, h.mns.Faults(), "BatchDeleteMessage")
		h.runs(t, janitor.Report{Redelivered: 4, Filed: 4})
		for range 3 {
			h.clock.Advance(lease)
			h.runs(t, janitor.Report{Redelivered: 4, Passed: 4})
		}
		h.mns.Faults().Clear()
		h.clock.Advance(lease)
		h.gone(t, janitor.Report{Redelivered: 4, Passed: 4})
		h.sends(t, "job-1/0.1", "job-2/0.1")
		same(t, "callbacks", h.callbacks(t), []string{"job-3/1", "job-4/1"})
		same(t, "callback of job-3", h.row(t, "job-3").Callback, &routine.CallbackStatus{State: routine.HandedOver})
		same(t, "dead letters", len(h.letters(t)), 4)
		same(t, "how often job-1 counts as undelivered", len(h.row(t, "job-1").Undelivered), 1)
	})
	t.Run("a message that fails alone holds up no other", func(t *testing.T) {
		h := start(t)
		h.put(t, message(t, h.job(t, "job-1")))
		h.put(t, message(t, h.job(t, "job-2")))
		denied := faults.Rule{Action: "BatchGetRow", Skip: 1, Fault: faults.Fault{Answer: faults.Error, Status: 400, Code: "OTSParameterInvalid"}}
		if _, err := h.ots.Faults().Add(denied); err != nil {
			t.Fatal(err)
		}
		if out := h.fails(t); out.Left != 1 || out.Redelivered != 1 {
			t.Errorf("%+v", out)
		}
	})
}
