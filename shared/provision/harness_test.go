package provision_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ptr[T any](v T) *T { return &v }

func wish() routine.Request {
	return routine.Request{Name: "pr-1", Records: []routine.Record{{SiteID: localtest.SiteID, RecordName: "pr-1.example.com"}}}
}

// strict is a wish for what must not exist yet.
func strict() routine.Request {
	req := wish()
	req.IfExists = routine.Fail
	return req
}

// timeout is the time limit of a call to ESA.
const timeout = 10 * time.Second

// account is an ESA with a workflow on it, and what is claimed there. Its clock stands still, at a whole second.
type account struct {
	*esaemu.Server
	clock    *clock.Manual
	workflow *provision.Workflow
	book     *book
}

func start(t *testing.T) account {
	t.Helper()
	manual := clock.NewManual(time.Now().UTC().Truncate(time.Second))
	server, url := localtest.ESA(t, manual, 0)
	client, err := esa.New(esa.Config{Endpoint: url, Credentials: localtest.Credentials, Timeout: timeout})
	must(t, err)
	t.Cleanup(client.Close)
	workflow, err := provision.New(provision.Config{
		ESA: client, StepTime: time.Millisecond, Timeout: timeout, Now: manual.Now, MayDelete: true, MayExpire: true,
	})
	must(t, err)
	return account{server, manual, workflow, newBook(manual.Now)}
}

// plant makes a routine of the wish's name as another program would, with its CreateTime so much after now.
func (a account) plant(t *testing.T, after time.Duration) {
	t.Helper()
	must(t, a.PlantRoutine(esaemu.Routine{Name: "pr-1", CreateTime: a.clock.Now().Add(after)}))
}

func (a account) inject(t *testing.T, rules ...faults.Rule) {
	t.Helper()
	for _, rule := range rules {
		if _, err := a.Faults().Add(rule); err != nil {
			t.Fatal(err)
		}
	}
}

// calls lists the actions on routines that ESA was called with, in their order.
func (a account) calls() []string {
	var out []string
	for _, call := range a.Faults().Calls() {
		if call.Action != sites {
			out = append(out, call.Action)
		}
	}
	return out
}

// holds lists what ESA has: routine, then its records.
func (a account) holds(t *testing.T) []string {
	t.Helper()
	state, err := a.State()
	must(t, err)
	var out []string
	for _, r := range state.Routines {
		out = append(out, r.Name)
		for _, record := range r.Records {
			out = append(out, r.Name+" "+record.RecordName)
		}
	}
	return out
}

const (
	create   = "CreateRoutine"
	record   = "CreateRoutineRelatedRecord"
	get      = "GetRoutine"
	describe = "UpdateRoutineConfigDescription"
	list     = "ListRoutineRelatedRecords"
	routes   = "ListRoutineRoutes"
	sites    = "ListSites"
	unbind   = "DeleteRoutineRelatedRecord"
	remove   = "DeleteRoutine"
)

// recorded is a begin that succeeds.
func recorded(context.Context, routine.Progress) error { return nil }

// conflicts checks that the run is refused because the routine exists.
func (a account) conflicts(t *testing.T, req routine.Request, progress *routine.Progress) {
	t.Helper()
	failure := a.fails(t, req, progress, fault.Conflict, esa.CodeRoutineAlreadyExist)
	if failure.Step != create || failure.RequestID == "" || failure.Hint == "" {
		t.Errorf("got %+v, want a conflict", failure)
	}
	if progress.Routine != "" {
		t.Errorf("the progress says that the routine was %s", progress.Routine)
	}
}

// same checks that nothing differs.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s; -want +got:\n%s", what, diff)
	}
}

// outcome is a Result without the record's id, which ESA chooses.
type outcome struct{ Routine, Record routine.Outcome }

// run expects success and checks that the record's id is ESA's.
func (a account) run(t *testing.T, req routine.Request, progress *routine.Progress) outcome {
	t.Helper()
	result, err := a.attempt(t.Context(), req, progress, recorded)
	must(t, err)
	seen, found, err := a.workflow.ESA.FindRelatedRecord(t.Context(), req.Name, req.Records[0].SiteID, req.Records[0].RecordName)
	if err != nil || !found || seen.RecordID != result.RecordID {
		t.Errorf("record id %d, ESA has %d (%t, %v)", result.RecordID, seen.RecordID, found, err)
	}
	return outcome{result.Routine, result.Record}
}

func (a account) fail(t *testing.T, req routine.Request, progress *routine.Progress) *fault.Error {
	t.Helper()
	result, err := a.attempt(t.Context(), req, progress, recorded)
	if err == nil {
		t.Fatalf("got %+v, want a failure", result)
	}
	return fault.From(err)
}

// fails expects a failure of the kind and the code.
func (a account) fails(t *testing.T, req routine.Request, progress *routine.Progress, kind fault.Kind, code string) *fault.Error {
	t.Helper()
	failure := a.fail(t, req, progress)
	if failure.Kind != kind || failure.Code != code {
		t.Errorf("got %+v, want %s %s", failure, kind, code)
	}
	return failure
}

// bare is a progress without the host names, whose ids ESA chooses.
func bare(progress *routine.Progress) routine.Progress {
	out := *progress
	out.Records = nil
	return out
}

// keeping is a begin that succeeds and keeps the progress it is given.
func keeping(begun *[]routine.Progress) provision.Begin {
	return func(_ context.Context, p routine.Progress) error {
		*begun = append(*begun, p)
		return nil
	}
}

// job is the owner's job about a request.
func job(req routine.Request) provision.Job {
	return provision.Job{Request: req, Caller: "ci", Number: 1}
}

// attempt is a run of the owner's job in an invocation of its own.
func (a account) attempt(ctx context.Context, req routine.Request, progress *routine.Progress, begin provision.Begin) (routine.Result, error) {
	return a.runJob(ctx, job(req), progress, &provision.Known{}, begin)
}

// runJob runs a job with what is claimed.
func (a account) runJob(ctx context.Context, job provision.Job, progress *routine.Progress, known *provision.Known, begin provision.Begin) (routine.Result, error) {
	if job.ID == "" {
		job.ID = a.book.jobOf(progress)
	}
	return a.workflow.Run(ctx, job, progress, a.book.claims(job.Request), known, begin)
}

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
