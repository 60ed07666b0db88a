package accept

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"routinely/deploy/sim"
	"routinely/shared/dispatch"
	"routinely/shared/ledger"
	"routinely/shared/routine"
	"routinely/shared/trace"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent = "00-" + traceID + "-00f067aa0ba902b7-01"
)

// lines are the lines of the log so far.
func (f *function) lines(t *testing.T) (out []map[string]any) {
	t.Helper()
	for text := range strings.Lines(f.log.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		out = append(out, line)
	}
	return out
}

// traced checks that each line about a job names the trace, and that there is one with the message.
func (f *function) traced(t *testing.T, message, want string) {
	t.Helper()
	found := false
	for _, line := range f.lines(t) {
		found = found || line["msg"] == message
		if line["jobId"] != nil && line["traceId"] != want {
			t.Errorf("got %v, want trace %s", line, want)
		}
	}
	if !found {
		t.Errorf("no line %q in %s", message, f.log)
	}
}

func TestTraces(t *testing.T) {
	t.Run("go on from the header of the request to the row, the message, the log and the answer, as a span of their own", func(t *testing.T) {
		for _, name := range []string{"traceparent", "Traceparent", "TRACEPARENT"} {
			f := start(t)
			job := f.post(t, good, name, traceparent)
			kept := f.row(t, job.ID).Trace
			if job.TraceID != traceID || kept.ID() != traceID || kept == traceparent || !strings.HasSuffix(string(kept), "-01") {
				t.Errorf("%s: the job has trace %q, its row %q", name, job.TraceID, kept)
			}
			if sent := f.queued(t); len(sent) != 1 || sent[0].Trace != kept {
				t.Errorf("sent %+v", sent)
			}
			f.traced(t, "job accepted", traceID)
			if shown := read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+job.ID, "")), 200); shown.TraceID != traceID {
				t.Errorf("shown is %q", shown.TraceID)
			}
		}
	})
	t.Run("begin with the request if it names none", func(t *testing.T) {
		f := start(t)
		one, other := f.post(t, wishFor(1)), f.post(t, wishFor(2))
		if one.TraceID == "" || one.TraceID == other.TraceID || f.row(t, one.ID).Trace.ID() != one.TraceID {
			t.Errorf("got %q and %q", one.TraceID, other.TraceID)
		}
	})
	t.Run("are one for a batch", func(t *testing.T) {
		f := start(t)
		e := batch(wishes(3))
		e["headers"].(map[string]string)["traceparent"] = traceparent
		f.call(t, e)
		for _, sent := range f.queued(t) {
			if sent.Trace.ID() != traceID {
				t.Errorf("sent %+v", sent)
			}
		}
		f.traced(t, "job accepted", traceID)
	})
	t.Run("stay those of the first request that the key stands for", func(t *testing.T) {
		f := start(t)
		f.post(t, good, "Idempotency-Key", "k", "traceparent", traceparent)
		if again := f.post(t, good, "Idempotency-Key", "k"); again.TraceID != traceID {
			t.Errorf("got %q", again.TraceID)
		}
		f.traced(t, "job accepted", traceID)
	})
	t.Run("are kept by a redrive, as another span", func(t *testing.T) {
		for name, e := range map[string]func(id string) map[string]any{
			"one": func(id string) map[string]any { return event("POST", "/v1/dead-letters/"+id+":redrive", "") },
			"all": func(string) map[string]any { return event("POST", "/v1/dead-letters:redrive", `{"all":true}`) },
		} {
			f := start(t)
			job := f.post(t, good, "traceparent", traceparent)
			f.begins(t, job.ID)
			f.dies(t, job.ID)
			was := f.row(t, job.ID).Trace
			f.queued(t)
			read[json.RawMessage](t, f.call(t, e(job.ID)), 200)
			if is := f.row(t, job.ID).Trace; is.ID() != traceID || is == was {
				t.Errorf("%s: %q became %q", name, was, is)
			}
			if sent := f.queued(t); len(sent) != 1 || sent[0].Trace != f.row(t, job.ID).Trace {
				t.Errorf("%s: sent %+v", name, sent)
			}
		}
	})
	t.Run("are none of rows that older versions wrote, until a redrive", func(t *testing.T) {
		f := start(t)
		old := ledger.NewRow(routine.Job{ID: "old", Caller: anonymous, AcceptedAt: now, Request: wish})
		f.files(t, old)
		res := f.call(t, event("GET", "/v1/jobs/old", ""))
		if strings.Contains(res.Body, "trace") {
			t.Errorf("got %s", res.Body)
		}
		if text, err := json.Marshal(dispatch.Envelope(f.row(t, "old"))); err != nil || strings.Contains(string(text), "trace") {
			t.Errorf("message %s, %v", text, err)
		}
		f.begins(t, "old")
		f.dies(t, "old")
		read[json.RawMessage](t, f.call(t, event("POST", "/v1/dead-letters/old:redrive", "")), 200)
		if f.row(t, "old").Trace == "" {
			t.Error("no trace after a redrive")
		}
	})
}

// TestHostileTraces holds the headers of a trace to two promises: they fail no request, and what is no id of a trace reaches neither a row nor a line
// of the log.
func TestHostileTraces(t *testing.T) {
	const mark = "forged"
	for name, value := range map[string]string{
		"empty":                       "",
		"long":                        strings.Repeat(mark, 8000/len(mark)),
		"with control characters":     "00-" + traceID + "-00f067aa0ba902b7\n\x00\x1b[2J-01" + mark,
		"in upper case":               strings.ToUpper(traceparent),
		"of zeros":                    "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01",
		"of version ff":               "ff" + traceparent[2:],
		"twice, joined":               traceparent + "," + traceparent,
		"twice, of a version to come": "01" + traceparent[2:] + "-" + mark + ", " + traceparent,
		"with more in version 00":     traceparent + "-" + mark,
		"not in UTF-8":                "\xff\xfe" + traceparent[2:],
	} {
		t.Run("a header that is "+name, func(t *testing.T) {
			f := start(t)
			f.ignores(t, event("POST", "/v1/routines", good, "traceparent", value, "tracestate", value), mark)
		})
	}
	t.Run("headers that are there twice, in two cases", func(t *testing.T) {
		f := start(t)
		f.ignores(t, event("POST", "/v1/routines", good, "traceparent", traceparent, "Traceparent", traceparent, "tracestate", "a=1", "TraceState", "b=2"), mark)
	})
	t.Run("of a version to come only the ids are kept", func(t *testing.T) {
		f := start(t)
		job := f.post(t, good, "traceparent", "01"+traceparent[2:]+"-"+mark)
		if kept := f.row(t, job.ID).Trace; kept.ID() != traceID || strings.Contains(f.log.String()+string(kept), mark) {
			t.Errorf("kept %q, log %s", kept, f.log)
		}
	})
}

// ignores makes a request whose header names no trace: it begins one.
func (f *function) ignores(t *testing.T, e map[string]any, mark string) {
	t.Helper()
	job := read[routine.Job](t, f.call(t, e), http.StatusAccepted)
	kept := f.row(t, job.ID).Trace
	if _, valid := trace.Parse(string(kept)); !valid || kept.ID() == traceID {
		t.Errorf("kept %q", kept)
	}
	sim.CheckLog(t, f.log.Bytes(), strings.Fields("time level msg function event caller jobId traceId action name recordNames replayed"))
	if text := strings.ToLower(f.log.String()); strings.Contains(text, mark) || strings.Contains(text, traceID) {
		t.Errorf("log %s", text)
	}
	f.traced(t, "job accepted", fmt.Sprint(job.TraceID))
}
