package provision_test

import (
	"testing"

	"routinely/deploy/sim"
	"routinely/shared/routine"
)

// TestEveryDocumentedError says for each row of ESA's two error tables what becomes of the job, if ESA answers so for ever and if it does so once.
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
			"RoutineNotExist":                     given(3, "not-found"), // once it is a delay, then it was deleted, then that was meant
			"DependedByOthers":                    given(3, "internal"),
			"SiteParameterNotMatch":               atOnce("not-found"),
			"InternalOperationError":              given(10, "unavailable"),
			"ParameterAlreadyExist":               atOnce("conflict"),
			"RelatedRecordNumberExceedQuotaLimit": atOnce("quota"),
			"RoutineUserServiceStatusHalt":        parks,
			"UserOperationStatusIsLocked":         waits,
		},
	} {
		routines := 0
		if action == createRecord {
			routines = 1
		}
		for code, want := range codes {
			t.Run(action+" answers "+code+" for ever", func(t *testing.T) {
				l := start(t)
				l.refuses(t, action, code, forever)
				body := message(t, l.accept(t, 1))
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
				l.holds(t, routines, 0)
			})
			t.Run(action+" answers "+code+" once", func(t *testing.T) {
				l := start(t)
				l.refuses(t, action, code, 1)
				same(t, "outcomes", l.drain(t, message(t, l.accept(t, 1))), want.once)
				if want.once[len(want.once)-1] == "succeeded" {
					l.holds(t, 1, 1)
				}
			})
		}
	}
}
