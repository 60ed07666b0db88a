package provision_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// wants records job n about pr-1 a second after the one before, as accept does: with its number, which a deletion has in its claim. It returns the
// job's message. A host name is given without its site's name; none is a deletion.
func (l *lane) wants(t *testing.T, n int, action routine.Action, hosts ...string) string {
	t.Helper()
	l.clock.Advance(time.Second)
	row := l.accept(t, n, hooked, func(job *routine.Job) {
		job.Request.Name, job.Request.Action, job.Request.Records = "pr-1", action, nil
		for _, host := range hosts {
			job.Request.Records = append(job.Request.Records, routine.Record{SiteID: localtest.SiteID, RecordName: host + ".example.com"})
		}
	})
	must(t, l.ledger.Intend(t.Context(), row, l.holding(t, row.Request.RecordNames()...)))
	return message(t, row)
}

// holding is what the ledger holds of pr-1 and its host names.
func (l *lane) holding(t *testing.T, recordNames ...string) ledger.Holding {
	t.Helper()
	holdings, err := l.ledger.Holdings(t.Context(), []ledger.Wanted{{Name: "pr-1", RecordNames: recordNames}})
	must(t, err)
	return holdings[0]
}

// claimed is what the claims of pr-1 and a host name say of their states and ownerships.
func (l *lane) claimed(t *testing.T, recordName string) string {
	t.Helper()
	h := l.holding(t, recordName)
	return fmt.Sprintf("%s %s, %s %s", h.Claim.State, h.Claim.Ownership, h.Records[0].State, h.Records[0].Ownership)
}

// made is a lane in which job 1 has made pr-1 with host name a.
func made(t *testing.T) *lane {
	t.Helper()
	l := start(t)
	l.expect(t, "succeeded", l.wants(t, 1, routine.Create, "a"))
	l.callbacks(t)
	return l
}

// bound lists the host names that ESA has bound to routines.
func (l *lane) bound(t *testing.T) (out []string) {
	t.Helper()
	state, err := l.esa.State()
	must(t, err)
	for _, r := range state.Routines {
		for _, record := range r.Records {
			out = append(out, strings.TrimSuffix(record.RecordName, ".example.com"))
		}
	}
	return out
}

// TestSupersededJob is about a job that a newer one has overtaken.
func TestSupersededJob(t *testing.T) {
	// overtaken is a lane in which a deletion, job 3, is accepted after job 2, whose message is returned.
	overtaken := func(t *testing.T) (*lane, string) {
		l := made(t)
		body := l.wants(t, 2, routine.Create, "b")
		l.wants(t, 3, routine.Delete)
		return l, body
	}
	t.Run("ends with the name of that one, with nothing called, and its caller is told", func(t *testing.T) {
		l, body := overtaken(t)
		l.esa.Faults().Reset()
		l.expect(t, "superseded", body)
		same(t, "ESA calls", calls(l.esa.Faults()), nil)
		row := l.row(t, "job-2")
		if row.State != routine.Superseded || row.SupersededBy != "job-3" || row.Ready || !row.DueAt.IsZero() {
			t.Errorf("row %+v", row)
		}
		sent := l.callbacks(t)
		var event callback.Event
		if len(sent) != 1 {
			t.Fatalf("%d callbacks", len(sent))
		}
		must(t, json.Unmarshal(sent[0].Event, &event))
		if event.Type != "routinely.job.superseded" || event.Data.SupersededBy != "job-3" {
			t.Errorf("event %s", sent[0].Event)
		}
	})
	t.Run("has one line in the log", func(t *testing.T) {
		l, body := overtaken(t)
		var log bytes.Buffer
		logger, err := logging.New(&log, "info", "provision")
		must(t, err)
		_, err = l.worker(t).Handle(logging.Into(t.Context(), logger), sim.Event(t, body))
		must(t, err)
		if text := log.String(); strings.Count(text, `"jobId":`) != 1 || !strings.Contains(text, `"msg":"job superseded"`) || !strings.Contains(text, `"level":"info"`) {
			t.Errorf("log %s", text)
		}
	})
	t.Run("has ended: a copy of its delivery does nothing", func(t *testing.T) {
		l, body := overtaken(t)
		l.expect(t, "superseded", body)
		l.expect(t, "duplicate", body)
	})
	t.Run("is written down in the claim, and runs when it is redriven as a new intent", func(t *testing.T) {
		l, body := overtaken(t)
		l.expect(t, "superseded", body)
		same(t, "overtook", l.claim(t).Overtook, []string{"job-2"})
		l.expect(t, "succeeded", message(t, l.row(t, "job-3")))
		l.clock.Advance(time.Second)
		l.expect(t, "succeeded", message(t, l.redrive(t, "job-2")))
		same(t, "ESA has", l.bound(t), []string{"b"})
	})
	t.Run("is overtaken also if the ledger does not take that at first", func(t *testing.T) {
		l, body := overtaken(t)
		l.ledgerFails(t, 0)
		if _, err := l.handle(t, body); !fault.HasKind(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
		l.heal()
		l.expect(t, "superseded", body)
		same(t, "overtook", l.claim(t).Overtook, []string{"job-2"})
	})
}

// TestDeadDeletion is about a deletion that is given up.
func TestDeadDeletion(t *testing.T) {
	// refused is a lane in which a deletion, job 4, will be refused: job 2 has adopted a record of somebody else. Job 3 is older and was overtaken.
	refused := func(t *testing.T) (*lane, string) {
		l := made(t)
		_, err := l.esa.BindRecord("pr-1", localtest.SiteID, "b.example.com")
		must(t, err)
		l.expect(t, "succeeded", l.wants(t, 2, routine.Create, "b"))
		older := l.wants(t, 3, routine.Create, "c")
		body := l.wants(t, 4, routine.Delete)
		l.expect(t, "superseded", older)
		return l, body
	}
	t.Run("says what it has overtaken, and its claim why it was not carried out", func(t *testing.T) {
		l, body := refused(t)
		l.expect(t, "dead-lettered", body)
		row, claim := l.row(t, "job-4"), l.claim(t)
		same(t, "overtook", row.Overtook, []string{"job-3"})
		if row.Code != "BoundByOthers" || claim.Reason != "BoundByOthers" || claim.DeleteNumber != 0 || claim.DeleteJob != "" || claim.State != routine.Live {
			t.Errorf("row %+v, claim %+v", row.Job, claim)
		}
	})
	t.Run("overtakes nothing any more", func(t *testing.T) {
		l, body := refused(t)
		older := l.accept(t, 5, func(job *routine.Job) {
			job.Request.Name, job.AcceptedAt = "pr-1", l.clock.Now().Add(-time.Minute)
		})
		l.expect(t, "dead-lettered", body)
		l.expect(t, "succeeded", message(t, older))
	})
	t.Run("is carried out by a redrive once nothing is in its way", func(t *testing.T) {
		l, body := refused(t)
		l.expect(t, "dead-lettered", body)
		state, err := l.esa.State()
		must(t, err)
		must(t, l.esa.RemoveRecord(state.Routines[0].Records[1].RecordID))
		l.clock.Advance(time.Second)
		l.expect(t, "succeeded", message(t, l.redrive(t, "job-4")))
		l.holds(t, 0, 0)
		same(t, "reason", l.claim(t).Reason, "")
	})
	t.Run("stays in force if a call may have taken effect, so that the next job finishes it", func(t *testing.T) {
		l := made(t)
		body := l.wants(t, 2, routine.Delete)
		inject(t, l.esa.Faults(), faults.Rule{Action: "DeleteRoutine", Times: forever, Fault: faults.Fault{Answer: faults.Reset}})
		same(t, "last outcome", l.drain(t, body)[9], "dead-lettered")
		claim := l.claim(t)
		if claim.State != routine.Deleting || claim.DeleteJob != "job-2" || claim.Reason == "" {
			t.Errorf("claim %+v", claim)
		}
		l.heal()
		l.expect(t, "succeeded", l.wants(t, 3, routine.Create, "b"))
		same(t, "ESA has", l.bound(t), []string{"b"})
	})
	t.Run("comes again if the ledger does not take it back", func(t *testing.T) {
		l, body := refused(t)
		inject(t, l.ots.Faults(), faults.Rule{Action: writeRows, Match: ofClaims(), Times: forever, Fault: unavailable()})
		if _, err := l.handle(t, body); !fault.HasKind(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
		same(t, "state", l.row(t, "job-4").State, routine.Queued)
		l.heal()
		l.expect(t, "dead-lettered", body)
		same(t, "overtook", l.row(t, "job-4").Overtook, []string{"job-3"})
	})
	t.Run("of a host name: the host name does not leave any more", func(t *testing.T) {
		l := made(t)
		_, err := l.esa.BindRecord("pr-1", localtest.SiteID, "b.example.com")
		must(t, err)
		l.expect(t, "dead-lettered", l.wants(t, 2, routine.Unbind, "b"))
		same(t, "leaves", l.holding(t, "b.example.com").Records[0].Leaving, false)
		same(t, "code", l.row(t, "job-2").Code, "NotOwned")
	})
}

// ofClaims are the parameters of a ledger call about claims and the account.
func ofClaims() map[string]string { return map[string]string{"table": "state"} }

func unavailable() faults.Fault {
	return faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerUnavailable"}
}

// TestClaimNotWritten breaks the writes of claims behind the first so many: nothing is called that is not claimed, the delivery is left to the platform, and
// when it comes again the job ends as it does undisturbed. An answer that was not written is found out again.
func TestClaimNotWritten(t *testing.T) {
	for name, test := range map[string]struct {
		skip               int
		routines, bindings int
		routine, record    routine.Outcome
	}{
		"before the routine is made":    {0, 0, 0, routine.Created, routine.Created},
		"before the host name is bound": {1, 1, 0, routine.Created, routine.Created},
		"after the host name was bound": {2, 1, 1, routine.Created, routine.Adopted},
	} {
		t.Run("a claim that the ledger does not take "+name, func(t *testing.T) {
			l := start(t)
			body := message(t, l.accept(t, 1, strict))
			inject(t, l.ots.Faults(), faults.Rule{Action: writeRows, Match: ofClaims(), Skip: test.skip, Times: forever, Fault: unavailable()})
			report, err := l.handle(t, body)
			if !fault.HasKind(err, fault.Unavailable) {
				t.Errorf("got %v", err)
			}
			same(t, "outcomes", outcomes(report), []string{"not-settled"})
			same(t, "calls", []int{l.esa.Faults().Count(createRoutine), l.esa.Faults().Count(createRecord)}, []int{test.routines, test.bindings})
			same(t, "messages sent", l.mns.Faults().Count(sendMessage), 0)
			l.heal()
			l.expect(t, "succeeded", body)
			result := l.row(t, "job-1").Result
			same(t, "result", []routine.Outcome{result.Routine, result.Record}, []routine.Outcome{test.routine, test.record})
			same(t, "routines are made", l.esa.Faults().Count(createRoutine), 1)
			same(t, "claims", l.claimed(t, "pr-1.example.com"), "live owned, live owned")
		})
	}
}

// TestLedgerCalls counts the writes of the ledger for which the lane waits: the begin, and one of claims before each write to ESA and at the end. The
// job's end is written while the next job runs.
func TestLedgerCalls(t *testing.T) {
	for name, test := range map[string]struct {
		before, hosts []string
		action        routine.Action
		claims        int
	}{
		"a new routine with one host name":            {nil, []string{"a"}, routine.Create, 3},
		"a new routine with three host names":         {nil, []string{"a", "b", "c"}, routine.Create, 5},
		"three host names of a routine that is there": {[]string{"z"}, []string{"a", "b", "c"}, routine.Create, 4},
		"an unbinding": {[]string{"a", "b"}, []string{"a"}, routine.Unbind, 2},
		"the deletion of a routine with three host names": {[]string{"a", "b", "c"}, nil, routine.Delete, 5},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t)
			if test.before != nil {
				l.expect(t, "succeeded", l.wants(t, 0, routine.Create, test.before...))
			}
			body := l.wants(t, 1, test.action, test.hosts...)
			l.ots.Faults().Reset()
			l.expect(t, "succeeded", body)
			var got []string
			for _, call := range l.ots.Faults().Calls() {
				if table := call.Params["table"]; call.Action == writeRows {
					got = append(got, table)
				}
			}
			want := append([]string{"jobs"}, append(times(test.claims, "state"), "jobs")...)
			same(t, "tables", got[:min(len(got), len(want))], want)
		})
	}
}

// TestOneRoutine is about several jobs for one routine in one invocation: each sees what those before it have written.
func TestOneRoutine(t *testing.T) {
	t.Run("makes it once and keeps the order of its host names", func(t *testing.T) {
		l := start(t)
		bodies := []string{l.wants(t, 1, routine.Create, "a"), l.wants(t, 2, routine.Create, "b", "c"), l.wants(t, 3, routine.Unbind, "b"), l.wants(t, 4, routine.Create, "d")}
		same(t, "outcomes", l.invoke(t, bodies...), times(4, "succeeded"))
		same(t, "ESA has", l.bound(t), []string{"a", "c", "d"})
		same(t, "routines are made", l.esa.Faults().Count(createRoutine), 1)
	})
	t.Run("deletes it and makes it again", func(t *testing.T) {
		l := made(t)
		same(t, "outcomes", l.invoke(t, l.wants(t, 2, routine.Delete), l.wants(t, 3, routine.Create, "b")), times(2, "succeeded"))
		same(t, "ESA has", l.bound(t), []string{"b"})
		same(t, "results", []routine.Outcome{l.row(t, "job-2").Result.Routine, l.row(t, "job-3").Result.Routine}, []routine.Outcome{routine.Deleted, routine.Created})
	})
	t.Run("comes to the same in the other order", func(t *testing.T) {
		l := made(t)
		older, newer := l.wants(t, 2, routine.Delete), l.wants(t, 3, routine.Create, "b")
		same(t, "outcomes", l.invoke(t, newer, older), times(2, "succeeded"))
		same(t, "ESA has", l.bound(t), []string{"b"})
		same(t, "result", l.row(t, "job-2").Result.Routine, routine.Passed)
	})
	t.Run("reads the claims of all jobs in the call that reads the account", func(t *testing.T) {
		l := start(t)
		bodies := []string{l.wants(t, 1, routine.Create, "a"), l.wants(t, 2, routine.Create, "b"), message(t, l.accept(t, 5))}
		l.ots.Faults().Reset()
		same(t, "outcomes", l.invoke(t, bodies...), times(3, "succeeded"))
		reads := 0
		for _, call := range l.ots.Faults().Calls() {
			if call.Action == readRows && call.Params["table"] == "state" {
				reads++
			}
		}
		same(t, "reads", reads, 1)
	})
	t.Run("a job that a correction has taken to another routine reads that one's claims", func(t *testing.T) {
		l := made(t)
		row := l.accept(t, 2, elsewhere)
		l.expect(t, "dead-lettered", message(t, row))
		old := message(t, row)
		now := l.clock.Now()
		corrected := row.Request
		corrected.Name, corrected.Records = "pr-1", []routine.Record{{SiteID: localtest.SiteID, RecordName: "z.example.com"}}
		again := l.change(t, "job-2", func(r *ledger.Row) error { return r.Redrive("op", "fixed", &corrected, now, now, now) })
		same(t, "outcomes", l.invoke(t, old, message(t, again)), []string{"duplicate", "succeeded"})
		same(t, "ESA has", l.bound(t), []string{"a", "z"})
	})
}
