package provision_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/dispatch"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

func TestSuccess(t *testing.T) {
	l := start(t)
	l.refuses(t, createRoutine, "InternalException", 2)
	same(t, "outcomes", l.drain(t, message(t, l.accept(t, 1))), []string{"again", "again", "succeeded"})
	row := l.row(t, "job-1")
	if !row.Ready || row.State != routine.Succeeded || row.Waiting != nil || !row.Begun.IsZero() || row.StartedAt.IsZero() || row.StartedAt.After(l.clock.Now()) {
		t.Errorf("row %+v", row)
	}
	if row.Result.Routine != routine.Created || row.Result.Record != routine.Created || row.Result.RecordID == 0 {
		t.Errorf("result %+v", row.Result)
	}
	if row.Code != "" || row.Hint != "" || row.Attempt != 3 || len(row.Attempts) != 2 {
		t.Errorf("the failures before are not forgotten, or its attempts are: %+v", row)
	}
	same(t, "messages sent", l.mns.Faults().Count(sendMessage), 2)
}

func TestBareRequest(t *testing.T) {
	const bare = `{"Name":"pr-1","SiteId":"54362329990032","RecordName":"PR-1.example.com."}`
	t.Run("is a job of its own, plain and in Base64", func(t *testing.T) {
		l := start(t)
		same(t, "outcomes", l.invoke(t, bare, base64.StdEncoding.EncodeToString([]byte(bare))), times(2, "succeeded"))
		jobs, _, err := l.ledger.Jobs(t.Context(), ledger.Filter{State: routine.Succeeded}, 10, "")
		if err != nil || len(jobs) != 2 || jobs[0].Request.Records[0].RecordName != "pr-1.example.com" {
			t.Errorf("%+v, %v", jobs, err)
		}
		l.holds(t, 1, 1)
	})
	t.Run("with a callback URL that no callback could go to is a dead letter, as accept refuses it", func(t *testing.T) {
		l := start(t)
		row := l.files(t, strings.Replace(bare, "{", `{"callbackUrl":"http://169.254.169.254/?token=hush",`, 1))
		if row.Code != "InvalidRequest" || len(row.Problems) != 1 || row.Problems[0].Pointer != "/callbackUrl" {
			t.Errorf("row %+v, problems %+v", row, row.Problems)
		}
	})
	t.Run("that comes again is the same job", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, "InternalException", 1)
		l.expect(t, "again", bare)
		l.expect(t, "duplicate", bare)
		same(t, "its next delivery", l.drain(t), []string{"succeeded"})
		l.expect(t, "duplicate", bare)
	})
	for name, limits := range map[string]routine.Limits{
		"outside of what the caller queue may name": {Names: []string{"ci-"}},
		"after the end of the caller queue":         {ExpiresAt: time.Unix(1_772_000_000, 0)},
	} {
		t.Run(name+" is a dead letter without a call, and a redrive goes on only with wider limits", func(t *testing.T) {
			l := start(t)
			l.cfg.QueueLimits = limits
			l.expect(t, "dead-lettered", bare)
			l.expect(t, "duplicate", bare)
			rows, _, err := l.ledger.DeadLetters(t.Context(), ledger.DeadFilter{}, 10, "")
			if err != nil || len(rows) != 1 || rows[0].Code != "OutsideLimits" || rows[0].Kind != "denied" || rows[0].Caller != routine.QueueCaller {
				t.Fatalf("%+v, %v", rows, err)
			}
			l.expect(t, "dead-lettered", message(t, l.redrive(t, rows[0].ID)))
			same(t, "ESA calls", calls(l.esa.Faults()), nil)
			l.clock.Advance(time.Second)
			l.cfg.QueueLimits = routine.Limits{Names: []string{"pr-"}}
			l.expect(t, "succeeded", message(t, l.redrive(t, rows[0].ID)))
		})
	}
	t.Run("that was accepted goes on although the caller queue has ended since", func(t *testing.T) {
		l := start(t)
		l.cfg.QueueLimits = routine.Limits{ExpiresAt: l.clock.Now().Add(time.Minute)}
		l.refuses(t, createRoutine, "InternalException", 1)
		l.expect(t, "again", bare)
		l.clock.Advance(time.Hour)
		same(t, "its next delivery", l.drain(t), []string{"succeeded"})
	})
	t.Run("that is too long to be sent on is a dead letter", func(t *testing.T) {
		l := start(t)
		long := strings.Replace(bare, "{", `{"description":"`+strings.Repeat("d", queue.MaxEnvelopeBytes)+`",`, 1)
		row := l.files(t, long)
		same(t, "code", row.Code, "MessageTooLarge")
		same(t, "the message as received", row.Received.Body, long)
	})
}

// files delivers a message that cannot be carried out twice, and returns its dead letter.
func (l *lane) files(t *testing.T, body string) ledger.Row {
	t.Helper()
	same(t, "outcomes", append(l.invoke(t, body), l.invoke(t, body)...), times(2, "dead-lettered"))
	same(t, "ESA calls", calls(l.esa.Faults()), nil)
	rows, _, err := l.ledger.DeadLetters(t.Context(), ledger.DeadFilter{}, 10, "")
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d dead letters, %v", len(rows), err)
	}
	return l.row(t, rows[0].ID)
}

func TestFiled(t *testing.T) {
	callbackBody := sim.Sealed(queue.TypeCallback, sim.Key, `{"id":"x","jobId":"job-1","round":0,`+
		`"url":"https://hooks.example.com","event":{},"createdAt":"2026-01-15T06:28:17Z","attempt":1}`)
	for name, test := range map[string]struct{ body, code string }{
		"text":                              {"\x00rubbish", "UnreadableMessage"},
		"Base64 of no request":              {base64.StdEncoding.EncodeToString([]byte("[]")), "UnreadableMessage"},
		"an event of another kind":          {`{"specversion":"1.0","id":"1","source":"/x","type":"y","data":[]}`, "UnreadableMessage"},
		"a callback":                        {callbackBody, "UnreadableMessage"},
		"a job under an unknown key":        {sim.Sealed(queue.TypeJob, "k9", `{"jobId":"job-1"}`), queue.CodeUnknownKey},
		"a request that breaks three rules": {`{"name":"NO","siteId":0}`, "InvalidRequest"},
	} {
		t.Run("a message that holds "+name+" is one dead letter, with its bytes", func(t *testing.T) {
			l := start(t)
			row := l.files(t, test.body)
			if row.Code != test.code || row.Hint == "" || row.Reason == "" || row.Origin != ledger.Worker {
				t.Errorf("row %+v", row)
			}
			same(t, "received", row.Received, &routine.Received{MessageID: "M1", Encoding: routine.TextEncoding, Body: test.body})
			if broken := test.code == "InvalidRequest"; broken != (len(row.Problems) == 3) {
				t.Errorf("problems %+v", row.Problems)
			}
		})
	}
	t.Run("an event that cannot be read is a dead letter, with its bytes", func(t *testing.T) {
		for _, event := range []string{"", "null", "[1,", "\xff\xfe"} {
			start(t).dead(t, []byte(event), event)
		}
	})
	t.Run("a job that the ledger does not know is never run; a redrive runs it", func(t *testing.T) {
		l := start(t)
		body := encoded(t, queue.Envelope{
			JobID: "job-9", Caller: "ci", AcceptedAt: l.clock.Now(), Round: 2, Number: 3, Request: l.accept(t, 1).Request,
		})
		same(t, "outcomes", append(l.invoke(t, body), l.invoke(t, body)...), []string{"dead-lettered", "duplicate"})
		same(t, "ESA calls", calls(l.esa.Faults()), nil)
		row := l.row(t, "job-9")
		if row.Code != ledger.CodeUnknownJob || row.Caller != "ci" || row.Received.Body != body || row.Hint == "" {
			t.Errorf("row %+v", row)
		}
		l.expect(t, "succeeded", message(t, l.redrive(t, "job-9")))
		l.expect(t, "duplicate", body)
	})
	t.Run("another request under a known id is a dead letter of its own, and the job goes on", func(t *testing.T) {
		l := start(t)
		first := l.accept(t, 1)
		other := dispatch.Envelope(first)
		other.Request.Name, other.Request.Records = "pr-2", []routine.Record{{SiteID: localtest.SiteID, RecordName: "pr-2.example.com"}}
		row := l.files(t, encoded(t, other))
		if row.ID == "job-1" || row.Code != "KeyReused" || row.Request.Name != "pr-2" {
			t.Errorf("row %+v", row)
		}
		l.expect(t, "succeeded", message(t, first))
		redriven := l.redrive(t, row.ID)
		l.expect(t, "succeeded", message(t, redriven))
	})
}

// TestLimits is about a job outside of what its caller may name.
func TestLimits(t *testing.T) {
	l := start(t)
	row := l.accept(t, 1)
	l.change(t, row.ID, func(r *ledger.Row) error {
		r.Limits = routine.Limits{RecordSuffixes: []string{"example.org"}}
		return nil
	})
	l.expect(t, "dead-lettered", message(t, row))
	same(t, "ESA calls", calls(l.esa.Faults()), nil)
	same(t, "code", l.row(t, row.ID).Code, "OutsideLimits")
}

func TestCallback(t *testing.T) {
	for end, change := range map[string]func(*routine.Job){"succeeded": hooked, "dead-lettered": func(job *routine.Job) { hooked(job); elsewhere(job) }} {
		t.Run("of a job that is "+end+" is handed over", func(t *testing.T) {
			l := start(t)
			l.expect(t, end, message(t, l.accept(t, 1, change)))
			row, sent := l.row(t, "job-1"), l.callbacks(t)
			same(t, "the callback of the row", row.Callback, &routine.CallbackStatus{State: routine.HandedOver})
			if len(sent) != 1 || !row.DueAt.IsZero() || sent[0].URL != row.Request.CallbackURL || sent[0].JobID != "job-1" || sent[0].Attempt != 1 {
				t.Fatalf("due %s, sent %+v", row.DueAt, sent)
			}
			var event callback.Event
			must(t, json.Unmarshal(sent[0].Event, &event))
			same(t, "result", event.Data.Result, row.Result)
			if event.Type != "routinely.job."+end || event.ID() != sent[0].ID || strings.Contains(string(sent[0].Event), "hush") {
				t.Errorf("event %s", sent[0].Event)
			}
		})
	}
	t.Run("that MNS does not confirm stays due; an equal delivery sends it under the same id, once", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1, hooked))
		l.queueFails(t)
		l.expect(t, "succeeded", body)
		row := l.row(t, "job-1")
		if !row.DueAt.After(l.clock.Now()) || row.Callback != nil { // the janitor leaves it to the worker for a while
			t.Errorf("due %s, %+v", row.DueAt, row.Callback)
		}
		want, err := dispatch.Callback(row)
		must(t, err)
		l.heal()
		same(t, "outcomes", l.invoke(t, body, body), times(2, "duplicate"))
		sent := l.callbacks(t)
		if len(sent) != 1 || sent[0].ID != want.ID {
			t.Errorf("sent %+v, want %+v", sent, want)
		}
		if row := l.row(t, "job-1"); !row.DueAt.IsZero() || row.Callback == nil {
			t.Errorf("due %s, %+v", row.DueAt, row.Callback)
		}
	})
	t.Run("is not made for jobs that want none, or that try again", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, "InternalException", 1)
		same(t, "outcomes", l.invoke(t, message(t, l.accept(t, 1, hooked)), message(t, l.accept(t, 2))), []string{"again", "succeeded"})
		same(t, "callbacks", l.take(t, sim.CallbackQueue), nil)
		if row := l.row(t, "job-2"); !row.DueAt.IsZero() || row.Callback != nil {
			t.Errorf("row %+v", row)
		}
	})
}

// cloudEventOf is a CloudEvent of the type with the data.
func cloudEventOf(eventType, data string) string {
	return `{"specversion":"1.0","id":"1","source":"/x","type":` + sim.Quote(eventType) + `,"data":` + data + `}`
}

func jobWith(id, caller, request string) string {
	return sim.Sealed(queue.TypeJob, sim.Key, `{"jobId":`+sim.Quote(id)+`,"caller":`+sim.Quote(caller)+`,"acceptedAt":"2026-01-15T06:28:17Z","round":0,"number":1,"request":`+request+`}`)
}

// dead checks that a message became a dead letter for a reason that can be read, with the message as it was, and one log line.
func (l *lane) dead(t *testing.T, event []byte, message string) ledger.Row {
	t.Helper()
	var log bytes.Buffer
	logger, err := logging.New(&log, "debug", "provision")
	must(t, err)
	report, err := l.worker(t).Handle(logging.Into(t.Context(), logger), event)
	must(t, err)
	sim.CheckLog(t, log.Bytes(), strings.Fields("time level msg function event state outcome jobId messageId attempt esaCalls error kind code step esaRequestId hint messages durationMs laneBusyMs"))
	if strings.Count(log.String(), `"jobId":`) != 1 || !strings.Contains(log.String(), `"msg":"job dead-lettered"`) {
		t.Errorf("log %q", &log)
	}
	same(t, "outcomes", outcomes(report), []string{"dead-lettered"})
	row := l.row(t, report.Messages[0].JobID)
	if row.State != routine.DeadLettered || row.Kind != "invalid" && row.Code != queue.CodeUnknownKey || row.Hint == "" || row.Last.Message == "" || len(row.Last.Message) > 1_000 {
		t.Errorf("got %+v", row)
	}
	received := []byte(row.Received.Body)
	if row.Received.Encoding == routine.Base64Encoding {
		received, _ = base64.StdEncoding.DecodeString(row.Received.Body)
	}
	same(t, "the message as received", string(received), message)
	if sent, called := l.mns.Faults().Count(sendMessage), l.esa.Faults().Calls(); sent > 0 || len(called) > 0 {
		t.Errorf("%d sent, ESA calls %v", sent, called)
	}
	return row
}

// TestHostileMessages puts each text where it reaches the log or the ledger by another way; package queue tests what can be read.
func TestHostileMessages(t *testing.T) {
	l := start(t)
	for name, text := range sim.Hostile() {
		for place, body := range map[string]string{
			"the body":        text,
			"a name":          `{"name":` + sim.Quote(text) + `,"siteId":7,"recordName":"a.example.com"}`,
			"a member's name": `{` + sim.Quote(text) + `:1}`,
			"an event's type": cloudEventOf(text, `{}`),
			"an unsealed job": cloudEventOf(queue.TypeJob, `{"jobId":`+sim.Quote(text)+`}`),
			"the id of a key": `{"type":"` + queue.TypeJob + `","keyid":` + sim.Quote(text) + `,"data":{}}`,
			"the id of a job": jobWith(text, "ci", `{}`),
			"a caller":        jobWith("job-1", text, `{}`),
			"a job's request": jobWith("job-1", "ci", `{"name":`+sim.Quote(text)+`}`),
		} {
			t.Run(name+" in "+place, func(t *testing.T) {
				if utf8.ValidString(body) { // the trigger's event is JSON and carries no other
					l.dead(t, sim.Event(t, body), body)
					return
				}
				l.dead(t, []byte(body), body)
			})
		}
		t.Run(name+" in the message's id", func(t *testing.T) {
			l.dead(t, []byte(`[{"data":{"messageId":`+sim.Quote(text)+`,"messageBody":"rubbish"}}]`), "rubbish")
		})
	}
}

func TestDeepMessages(t *testing.T) {
	// A reader that calls itself for each brace needs more stack, and ends the process.
	defer debug.SetMaxStack(debug.SetMaxStack(8 << 20))
	l := start(t)
	deep := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	for name, body := range map[string]string{
		"arrays left open":  deep("[", "", "", 60_000),
		"objects":           deep(`{"a":`, "1", "}", 10_001),
		"an event's data":   cloudEventOf("x", deep("[", "", "]", 30_000)),
		"a job's data":      sim.Sealed(queue.TypeJob, sim.Key, deep("[", "", "]", 30_000)),
		"a job's request":   jobWith("job-1", "ci", deep("[", "", "]", 30_000)),
		"a field, not deep": `{"siteId":` + deep("[", "", "]", 9_000) + `}`,
		"a job, not deep":   jobWith("job-1", "ci", `{"x":`+deep("[", "", "]", 9_000)+`}`),
	} {
		t.Run(name, func(t *testing.T) {
			row := l.dead(t, sim.Event(t, body), body)
			want := "UnreadableMessage"
			if strings.HasSuffix(name, "not deep") {
				want = "InvalidRequest"
			}
			if row.Code != want {
				t.Errorf("code %s, want %s: %s", row.Code, want, row.Last.Message)
			}
		})
	}
	event := deep(`[{"data":`, "1", "}]", 5_200) // about what MNS takes at most
	l.dead(t, []byte(event), event)
}
