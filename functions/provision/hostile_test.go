package provision_test

import (
	"bytes"
	"encoding/base64"
	"runtime/debug"
	"strings"
	"testing"
	"unicode/utf8"

	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

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
	sim.CheckLog(t, log.Bytes(), strings.Fields("time level msg function outcome jobId messageId attempt error kind code step esaRequestId hint"))
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), `"msg":"job dead-lettered"`) {
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
