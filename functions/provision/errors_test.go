package provision

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/shared/routine"
)

// TestEveryDocumentedError injects each row of the two official error tables and states what becomes of the job: when ESA
// answers so for ever, and when it answers so once.
func TestEveryDocumentedError(t *testing.T) {
	type fate struct {
		forever []outcome
		once    []outcome
		kind    string
		left    [2]int // routines and records in ESA in the end, when it answers so for ever
	}
	dead := []outcome{deadLettered}
	tenTimes := append(repeat(again, 9), deadLettered)
	threeTimes := append(repeat(again, 2), deadLettered)
	soon := []outcome{again, succeeded}
	rows := map[string]map[string]fate{
		"CreateRoutine": {
			"RoutineAlreadyExist":           {tenTimes, soon, "unavailable", [2]int{}}, // nothing is there to adopt: see package provision
			"InternalOperationError":        {tenTimes, soon, "unavailable", [2]int{}},
			"ParameterNotExist":             {dead, dead, "invalid", [2]int{}},
			"ServiceNotOpen":                {dead, dead, "operator", [2]int{}},
			"RoutineNumberExceedQuotaLimit": {dead, dead, "operator", [2]int{}},
			"DependedByOthers":              {threeTimes, soon, "internal", [2]int{}},
			"RoutineUserServiceStatusHalt":  {dead, dead, "operator", [2]int{}},
			"InternalException":             {tenTimes, soon, "unavailable", [2]int{}},
			"InvalidParameter":              {dead, dead, "invalid", [2]int{}},
			"UserOperationStatusIsLocked":   {nil, []outcome{succeeded}, "locked", [2]int{}},
		},
		"CreateRoutineRelatedRecord": {
			"InternalException":                   {tenTimes, soon, "unavailable", [2]int{1, 0}},
			"InvalidParameter":                    {dead, dead, "invalid", [2]int{1, 0}},
			"RoutineNotExist":                     {[]outcome{again, again, deadLettered}, soon, "not-found", [2]int{1, 0}},
			"DependedByOthers":                    {threeTimes, soon, "internal", [2]int{1, 0}},
			"SiteParameterNotMatch":               {dead, dead, "not-found", [2]int{1, 0}},
			"InternalOperationError":              {tenTimes, soon, "unavailable", [2]int{1, 0}},
			"ParameterAlreadyExist":               {dead, dead, "conflict", [2]int{1, 0}},
			"RelatedRecordNumberExceedQuotaLimit": {dead, dead, "operator", [2]int{1, 0}},
			"RoutineUserServiceStatusHalt":        {dead, dead, "operator", [2]int{1, 0}},
			"UserOperationStatusIsLocked":         {nil, []outcome{succeeded}, "locked", [2]int{1, 0}},
		},
	}
	for action, codes := range rows {
		for code, want := range codes {
			t.Run(action+" answers "+code+" for ever", func(t *testing.T) {
				l := start(t)
				l.inject(t, l.esa.Faults(), faults.Rule{Action: action, Times: -1, Fault: faults.Fault{Answer: faults.Error, Code: code}})
				if want.kind == "locked" {
					l.expectPatience(t)
				} else if diff := cmp.Diff(want.forever, l.drain(t, body(t, l.envelope()))); diff != "" {
					t.Errorf("outcomes -want +got:\n%s", diff)
				}
				letters := l.letters(t)
				if len(letters) != 1 {
					t.Fatalf("%d dead letters, want 1", len(letters))
				}
				letter := letters[0]
				if letter.JobID != "job-1" || letter.Kind != want.kind || letter.Code != code || letter.RequestID == "" || letter.Hint == "" || letter.Reason == "" || letter.Step != routine.Step(action) {
					t.Errorf("got %+v", letter)
				}
				if tries := len(want.forever); want.kind != "locked" && len(letter.Attempts) != tries {
					t.Errorf("%d attempts told, want %d", len(letter.Attempts), tries)
				}
				routines, records := l.holds(t)
				if diff := cmp.Diff(want.left, [2]int{routines, records}); diff != "" {
					t.Errorf("routines and records left, -want +got:\n%s", diff)
				}
			})
			t.Run(action+" answers "+code+" once", func(t *testing.T) {
				l := start(t)
				l.inject(t, l.esa.Faults(), faults.Rule{Action: action, Fault: faults.Fault{Answer: faults.Error, Code: code}})
				if diff := cmp.Diff(want.once, l.drain(t, body(t, l.envelope()))); diff != "" {
					t.Errorf("outcomes -want +got:\n%s", diff)
				}
				routines, records := l.holds(t)
				if succeeds := want.once[len(want.once)-1] == succeeded; succeeds && (routines != 1 || records != 1) {
					t.Errorf("ESA holds %d routines and %d records", routines, records)
				}
			})
		}
	}
}

// expectPatience works a job whose account stays locked, delivery by delivery, until its age is spent: an invocation of a
// few seconds each, so that waiting in place does not take the day.
func (l *lane) expectPatience(t *testing.T) {
	t.Helper()
	text := body(t, l.envelope())
	for round := 0; ; round++ {
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		out, err := l.handle(ctx, sim.Event(t, text))
		cancel()
		if err != nil || round > 100 {
			t.Fatalf("round %d: %v", round, err)
		}
		line := out.Messages[0]
		if line.Outcome == deadLettered {
			if round < 22 {
				t.Errorf("given up after %d rounds, long before a day", round)
			}
			return
		}
		if line.Outcome != handedBack || line.Attempt != 1 || line.DelaySeconds > 2 {
			t.Fatalf("got %+v", line)
		}
		l.clock.Advance(time.Hour)
		text = l.take(t, "jobs")[0]
	}
}
