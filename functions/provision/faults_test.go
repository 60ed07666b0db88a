package provision_test

import (
	"slices"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// TestEveryDocumentedError says for each row of ESA's error tables, and for what others have met of actions without one, what becomes of the job, if ESA answers so for ever and if it does so once.
func TestEveryDocumentedError(t *testing.T) {
	type fate struct {
		forever, once []string
		kind          string
	}
	dead, soon := []string{"dead-lettered"}, []string{"again", "succeeded"}
	given := func(attempts int, kind string) fate {
		return fate{append(times(attempts-1, "again"), "dead-lettered"), soon, kind}
	}
	atOnce := func(kind string) fate { return fate{dead, dead, kind} }
	waits := fate{nil, []string{"succeeded"}, "locked"}
	parks := fate{nil, soon, "account"}
	for action, codes := range map[string]map[string]fate{
		createRoutine: {
			"RoutineAlreadyExist":           given(10, "unavailable"), // nothing is there to adopt: see package provision
			"InternalOperationError":        given(10, "unavailable"),
			"ParameterNotExist":             atOnce("invalid"),
			"ServiceNotOpen":                parks,
			"RoutineNumberExceedQuotaLimit": atOnce("quota"),
			"DependedByOthers":              given(3, "internal"),
			"RoutineUserServiceStatusHalt":  parks,
			"InternalException":             given(10, "unavailable"),
			"InvalidParameter":              atOnce("invalid"),
			"UserOperationStatusIsLocked":   waits,
		},
		createRecord: {
			"InternalException":                   given(10, "unavailable"),
			"InvalidParameter":                    atOnce("invalid"),
			"RoutineNotExist":                     given(10, "unavailable"), // GetRoutine shows it: a delay
			"DependedByOthers":                    given(3, "internal"),
			"SiteParameterNotMatch":               atOnce("not-found"),
			"InternalOperationError":              given(10, "unavailable"),
			"ParameterAlreadyExist":               atOnce("conflict"),
			"RelatedRecordNumberExceedQuotaLimit": atOnce("quota"),
			"RoutineUserServiceStatusHalt":        parks,
			"UserOperationStatusIsLocked":         waits,
		},
		commit: {
			"InternalException":                 given(10, "unavailable"),
			"InvalidParameter":                  atOnce("invalid"),
			"RoutineNotExist":                   atOnce("not-found"),
			"InternalOperationError":            given(10, "unavailable"),
			"CodeVersionNumberExceedQuotaLimit": atOnce("quota"),
			"UserOperationStatusIsLocked":       waits,
		},
		removeVersion: {
			"InternalException":            given(10, "unavailable"),
			"InvalidParameter":             atOnce("invalid"),
			"RoutineNotExist":              atOnce("not-found"),
			"SiteParameterNotMatch":        atOnce("not-found"),
			"RoutineUserServiceStatusHalt": parks,
		},
		postObject:   {"AccessDenied": given(10, "unavailable"), "InternalError": given(10, "unavailable"), "EntityTooLarge": atOnce("invalid")},
		uploadInfo:   {"InternalException": given(10, "unavailable"), "RoutineNotExist": atOnce("not-found"), "UserOperationStatusIsLocked": waits, "ServiceNotOpen": parks},
		listVersions: {"InternalException": given(10, "unavailable"), "RoutineNotExist": atOnce("not-found"), "UserOperationStatusIsLocked": waits},
		readVersion:  {"InternalException": given(10, "unavailable"), "InvalidParameter": atOnce("invalid"), "RoutineNotExist": atOnce("not-found")},
		deployment: {
			"InternalException": given(10, "unavailable"), "InvalidParameter": atOnce("invalid"), "RoutineNotExist": atOnce("not-found"),
			"UserOperationStatusIsLocked": waits, "RoutineUserServiceStatusHalt": parks,
		},
		listPlans: {"InternalException": given(10, "unavailable"), "ServiceNotOpen": parks},
	} {
		routines, records := 0, 0
		prepare := func(t *testing.T) (*lane, string) {
			l := start(t)
			return l, message(t, l.accept(t, 1))
		}
		switch action {
		case createRoutine:
		case createRecord:
			routines = 1
		default:
			routines, records = 1, 1
			prepare = func(t *testing.T) (*lane, string) {
				l := full(t)
				return l, l.deploys(t, 1, "one")
			}
		}
		for code, want := range codes {
			t.Run(action+" answers "+code+" for ever", func(t *testing.T) {
				l, body := prepare(t)
				l.refuses(t, action, code, forever)
				switch want.kind {
				case "account": // TestFaultsOfTheAccount goes on from there
					l.expect(t, "again", body)
					same(t, "lane", l.account(t).Lane(), routine.Parked)
					return
				case "locked":
					l.handBack(t, body, short)
					same(t, "attempt", l.row(t, "job-1").Attempt, 1)
					l.clock.Advance(l.cfg.Policy.MaxAge)
					report, err := l.within(t, short, l.take(t, sim.JobQueue)...)
					must(t, err)
					same(t, "outcomes", outcomes(report), dead)
				default:
					same(t, "outcomes", l.drain(t, body), want.forever)
				}
				row := l.row(t, "job-1")
				if row.State != routine.DeadLettered || row.Kind != want.kind || row.Code != code || row.Reason == "" || row.Hint == "" {
					t.Errorf("got %+v", row.Job)
				}
				if row.Last.RequestID == "" || row.Last.Step != routine.Step(action) {
					t.Errorf("last %+v", row.Last)
				}
				if tries := len(want.forever); want.kind != "locked" && (len(row.Attempts) != tries || row.Attempt != tries) {
					t.Errorf("attempt %d, %d attempts told, want %d", row.Attempt, len(row.Attempts), tries)
				}
				l.holds(t, routines, records)
			})
			t.Run(action+" answers "+code+" once", func(t *testing.T) {
				l, body := prepare(t)
				l.refuses(t, action, code, 1)
				same(t, "outcomes", l.drain(t, body), want.once)
				if want.once[len(want.once)-1] == "succeeded" {
					l.holds(t, 1, 1)
				}
				if records == 1 && want.once[len(want.once)-1] == "succeeded" {
					l.runs(t, "one", 1)
				}
			})
		}
	}
}

func TestLedgerDown(t *testing.T) {
	for name, broken := range map[string]faults.Fault{
		"down":        {Answer: faults.Error, Status: 503, Code: "OTSServerUnavailable"},
		"overwhelmed": {Answer: faults.Error, Status: 503, Code: "OTSServerBusy"},
		"a proxy":     {Answer: faults.HTML},
		"silent":      {Answer: faults.Empty},
		"cut off":     {Answer: faults.Truncated},
		"hanging up":  {Answer: faults.Reset},
	} {
		t.Run("a ledger that is "+name+" is an error after a short wait, with nothing called, sent or begun", func(t *testing.T) {
			l := start(t)
			batch := []string{message(t, l.accept(t, 1)), message(t, l.accept(t, 2)), "rubbish"}
			l.ots.Faults().Reset()
			inject(t, l.ots.Faults(), faults.Rule{Times: forever, Fault: broken})
			began := l.clock.Now()
			report, err := l.handle(t, batch...)
			if !fault.HasKind(err, fault.Unavailable) {
				t.Errorf("got %v", err)
			}
			same(t, "outcomes", outcomes(report), times(3, "not-settled"))
			for _, line := range report.Messages {
				if line.Kind != fault.Unavailable || line.Hint == "" || line.Error == "" {
					t.Errorf("got %+v", line)
				}
			}
			same(t, "waited", l.clock.Now().Sub(began), time.Second)
			same(t, "calls of the ledger", slices.Compact(calls(l.ots.Faults())), []string{readRows})
			same(t, "ESA calls", calls(l.esa.Faults()), nil)
			same(t, "messages sent", l.mns.Faults().Count(sendMessage), 0)
			l.heal()
			same(t, "once it is back", l.invoke(t, batch...), []string{"succeeded", "succeeded", "dead-lettered"})
		})
	}
	t.Run("a ledger that refuses the function is asked once", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1))
		l.ots.Faults().Reset()
		inject(t, l.ots.Faults(), faults.Rule{Times: forever, Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSAuthFailed"}})
		if _, err := l.handle(t, body); !fault.HasCode(err, "OTSAuthFailed") {
			t.Errorf("got %v", err)
		}
		same(t, "calls of the ledger", calls(l.ots.Faults()), []string{readRows})
	})
	t.Run("going down in a wait for the lock ends the wait: no call is made without its look on record", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, locked, 1)
		body := message(t, l.accept(t, 1, strict))
		l.ledgerFails(t, 1)
		if _, err := l.handle(t, body); !fault.HasKind(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
		same(t, "calls of step 1", l.esa.Faults().Count(createRoutine), 1)
		l.heal()
		l.expect(t, "succeeded", body)
	})
}

// TestLostAnswer is about a write of the row that takes effect without an answer. The read after it fails too, twice.
func TestLostAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		refusals, write, attempts int
		want                      string
	}{
		"the begin": {0, 0, 0, "succeeded"}, "the end": {0, 2, 0, "succeeded"}, "a hand-over": {1, 1, 1, "again"},
	} {
		t.Run("of "+name+" is known for our own", func(t *testing.T) {
			l := start(t)
			if test.refusals > 0 {
				l.refuses(t, createRoutine, "InternalException", test.refusals)
			}
			body := message(t, l.accept(t, 1, strict))
			inject(t, l.ots.Faults(),
				faults.Rule{Action: writeRows, Match: ofJobs(), Skip: test.write, Fault: faults.Fault{Answer: faults.Reset, Execute: true}},
				faults.Rule{Action: readRows, Match: ofJobs(), Skip: 1, Times: 2, Fault: faults.Fault{Answer: faults.Reset}},
			)
			l.expect(t, test.want, body)
			same(t, "rules left", len(l.ots.Faults().Rules()), 0)
			same(t, "attempts", len(l.row(t, "job-1").Attempts), test.attempts)
		})
	}
}
