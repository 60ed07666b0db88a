package provision_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/esa"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/provision"
	"routinely/shared/trace"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent = "00-" + traceID + "-00f067aa0ba902b7-01"
)

// agents lets the worker reach ESA by way of a server that notes the user agent of each call about a routine.
func (l *lane) agents(t *testing.T) (got func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		all = append(all, r.UserAgent())
		mu.Unlock()
		l.esa.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	client, err := esa.New(esa.Config{Endpoint: server.URL, Credentials: localtest.Credentials, Timeout: 10 * time.Second})
	must(t, err)
	t.Cleanup(client.Close)
	workflow, err := provision.New(provision.Config{ESA: client, StepTime: time.Second, Timeout: 10 * time.Second, Now: l.clock.Now})
	must(t, err)
	l.cfg.Workflow = workflow
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// logged delivers messages and returns the log.
func (l *lane) logged(t *testing.T, bodies ...string) string {
	t.Helper()
	var out bytes.Buffer
	log, err := logging.New(&out, "info", "provision")
	must(t, err)
	_, err = l.worker(t).Handle(logging.Into(t.Context(), log), sim.Event(t, bodies...))
	must(t, err)
	return out.String()
}

// traces is a job of a trace.
func (l *lane) traces(t *testing.T, row ledger.Row) ledger.Row {
	t.Helper()
	row, err := l.ledger.Change(t.Context(), row.ID, func(r *ledger.Row) error {
		r.Trace = traceparent
		return nil
	})
	must(t, err)
	return row
}

func TestTraces(t *testing.T) {
	t.Run("are in the user agent of the job's calls, in its line of the log and in its callback", func(t *testing.T) {
		l := start(t)
		got := l.agents(t)
		log := l.logged(t, message(t, l.traces(t, l.accept(t, 1, hooked))))
		if !strings.Contains(log, `"traceId":"`+traceID+`"`) {
			t.Errorf("log %s", log)
		}
		spans := map[string]bool{}
		for _, agent := range got() {
			if _, span, found := strings.Cut(agent, " traceparent/"); found {
				spans[span] = true
				if parent, valid := trace.Parse(span); !valid || parent.ID() != traceID || parent == traceparent {
					t.Errorf("user agent %q", agent)
				}
			}
		}
		same(t, "spans of one attempt", len(spans), 1)
		told := l.callbacks(t)
		if len(told) != 1 || told[0].Trace != traceparent || !strings.Contains(string(told[0].Event), `"traceId":"`+traceID+`"`) {
			t.Errorf("callbacks %+v", told)
		}
	})
	t.Run("are none of jobs that older versions accepted", func(t *testing.T) {
		l := start(t)
		got := l.agents(t)
		log := l.logged(t, message(t, l.accept(t, 1, hooked)))
		if text := log + strings.Join(got(), "\n"); strings.Contains(text, "trace") {
			t.Errorf("%s", text)
		}
		if told := l.callbacks(t); len(told) != 1 || told[0].Trace != "" {
			t.Errorf("callbacks %+v", told)
		}
	})
	t.Run("are those of the next delivery too", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, "InternalException", 1)
		l.logged(t, message(t, l.traces(t, l.accept(t, 1))))
		l.clock.Advance(time.Hour)
		next := l.take(t, sim.JobQueue)
		if d := sim.Keys(t, sim.Key).Decode(sim.Event(t, next...), l.clock.Now()); len(d) != 1 || d[0].Envelope.Number != 2 || d[0].Envelope.Trace != traceparent {
			t.Errorf("got %+v", d)
		}
	})
	request := fmt.Sprintf(`{"name":"pr-9","siteId":%d,"recordName":"pr-9.example.com"}`, localtest.SiteID)
	for name, test := range map[string]struct{ attribute, want string }{
		"come from the extension traceparent of another program's event": {`"traceparent":"` + traceparent + `",`, traceID},
		"begin with an event that names none":                            {"", ""},
		"begin with an event whose extension is invalid":                 {`"traceparent":"00-forged-\u0007-01",`, ""},
		"begin with an event whose extension is a number":                {`"traceparent":7,`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t)
			body := `{"specversion":"1.0","id":"1","source":"/ci","type":"wish",` + test.attribute + `"data":` + request + `}`
			log := l.logged(t, body)
			d := sim.Keys(t, sim.Key).Decode(sim.Event(t, body), l.clock.Now())[0]
			row, err := l.ledger.Row(t.Context(), d.Envelope.JobID)
			must(t, err)
			id := row.Trace.ID()
			if id == "" || test.want != "" && id != test.want || !strings.Contains(log, `"traceId":"`+id+`"`) || strings.Contains(log, "forged") {
				t.Errorf("trace %q, log %s", row.Trace, log)
			}
		})
	}
	t.Run("of a message that is no job are only valid ones", func(t *testing.T) {
		l := start(t)
		log := l.logged(t, sim.Sealed(queue.TypeJob, sim.Key, `{"jobId":"j","number":1,"acceptedAt":"2026-01-01T00:00:00Z","traceparent":"forged","request":`+request+`}`))
		if strings.Contains(log, "trace") || strings.Contains(log, "forged") {
			t.Errorf("log %s", log)
		}
	})
}
