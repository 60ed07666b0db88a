package provision_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// outlived makes routine pr-1 with its host name, for an hour that is over.
func outlived(t *testing.T) *lane {
	t.Helper()
	l := start(t)
	row := l.accept(t, 1, hooked, func(job *routine.Job) { job.Request.ExpiresIn = routine.Span(time.Hour) })
	l.expect(t, "succeeded", message(t, row))
	l.callbacks(t)
	l.clock.Advance(2 * time.Hour)
	l.changeClaim(t, func(c *routine.Claim) { c.Expiry = &routine.Expiry{SeenAt: l.clock.Now()} })
	return l
}

// claim is the claim of pr-1.
func (l *lane) claim(t *testing.T) ledger.ClaimRow {
	t.Helper()
	return l.holding(t).Claim
}

// changeClaim alters the claim of pr-1 as another program does.
func (l *lane) changeClaim(t *testing.T, alter func(*routine.Claim)) {
	t.Helper()
	_, err := l.ledger.ChangeClaim(t.Context(), l.claim(t), func(c *routine.Claim) error {
		alter(c)
		return nil
	})
	must(t, err)
}

// janitor records a job of the janitor about pr-1, as the janitor does, and returns its message.
func (l *lane) janitor(t *testing.T, action routine.Action) (row ledger.Row, body string) {
	t.Helper()
	claim := l.claim(t)
	row = ledger.NewRow(routine.Job{
		ID: queue.ExpiryJobID("pr-1", claim.ExpiryNumber, action, 1), Caller: routine.JanitorCaller, AcceptedAt: l.clock.Now(),
		Request: routine.Request{Action: action, Name: "pr-1", CallbackURL: claim.CallbackURL},
	})
	row.Intent, row.Operate, row.Owner = routine.NextNumber(l.clock.Now(), claim.Newest()), true, claim.Caller
	made := l.ledger.Create(t.Context(), row)[0]
	must(t, made.Err)
	return made.Row, message(t, made.Row)
}

// another records an unfinished job of caller ci that binds one more host name to pr-1, and returns its message.
func (l *lane) another(t *testing.T) string {
	t.Helper()
	return message(t, l.accept(t, 2, func(job *routine.Job) {
		job.Request.Name, job.Request.Records[0].RecordName = "pr-1", "more.example.com"
	}))
}

func TestExpiredRoutines(t *testing.T) {
	t.Run("first lose their host names, then are deleted, and the owner is told of both", func(t *testing.T) {
		l := outlived(t)
		first, expire := l.janitor(t, routine.Expire)
		l.expect(t, "succeeded", expire)
		l.holds(t, 1, 0)
		if c := l.claim(t); c.State != routine.Expiring || c.Expiry == nil || !c.Expiry.UnboundAt.Equal(l.clock.Now()) {
			t.Errorf("%+v, %+v", c, c.Expiry)
		}
		second, remove := l.janitor(t, routine.Remove)
		l.expect(t, "succeeded", remove)
		l.holds(t, 0, 0)
		told := map[string]string{}
		for _, c := range l.callbacks(t) {
			told[c.JobID] = c.Caller + " " + c.URL
		}
		hook := "ci https://hooks.example.com/routinely?token=hush"
		same(t, "told", told, map[string]string{first.ID: hook, second.ID: hook})
	})
	for _, action := range []routine.Action{routine.Expire, routine.Remove} {
		for _, order := range []string{"older", "newer"} {
			t.Run(string(action)+" gives way to an unfinished job of somebody else that is "+order, func(t *testing.T) {
				l := outlived(t)
				user := l.another(t)
				if order == "newer" {
					l.change(t, "job-2", func(r *ledger.Row) error {
						r.Intent = routine.NextNumber(l.clock.Now().Add(time.Minute))
						return nil
					})
				}
				l.clock.Advance(time.Second)
				job, body := l.janitor(t, action)
				l.expect(t, "superseded", body)
				same(t, "overtaken by", l.row(t, job.ID).SupersededBy, "job-2")
				l.holds(t, 1, 1)
				l.expect(t, "succeeded", user)
				l.holds(t, 1, 2)
			})
		}
	}
	t.Run("the deletion that gives way after it was tried overtakes no older job", func(t *testing.T) {
		l := outlived(t)
		l.another(t)
		l.change(t, "job-2", func(r *ledger.Row) error {
			r.Die(routine.Attempt{At: l.clock.Now(), Kind: "conflict"}, "it would fail again", ledger.Worker, r.Progress, l.clock.Now())
			return nil
		})
		l.clock.Advance(time.Second)
		l.refuses(t, "ListRoutineRoutes", "Throttling.User", 1)
		_, body := l.janitor(t, routine.Remove)
		l.expect(t, "again", body)
		if l.claim(t).DeleteNumber == 0 {
			t.Fatal("the deletion was not tried")
		}
		user := l.redrive(t, "job-2")
		l.clock.Advance(time.Hour)
		l.expect(t, "superseded", l.take(t, sim.JobQueue)[0])
		same(t, "number of the deletion", l.claim(t).DeleteNumber, 0)
		l.expect(t, "succeeded", message(t, user))
	})
	t.Run("the deletion of a routine that nobody has claimed claims nothing", func(t *testing.T) {
		l := start(t)
		row, body := l.janitor(t, routine.Remove)
		l.expect(t, "superseded", body)
		same(t, "claimed", l.claim(t).Exists(), false)
		text, err := json.Marshal(l.row(t, row.ID).Job)
		must(t, err)
		same(t, "superseded by somebody", strings.Contains(string(text), "supersededBy"), false)
	})
	t.Run("a deletion whose outcome is not known gives way no more", func(t *testing.T) {
		l := outlived(t)
		inject(t, l.esa.Faults(), faults.Rule{Action: "DeleteRoutine", Fault: faults.Fault{Answer: faults.Reset, Execute: true}})
		job, body := l.janitor(t, routine.Remove)
		l.expect(t, "again", body)
		l.another(t)
		l.clock.Advance(time.Hour)
		l.expect(t, "succeeded", l.take(t, sim.JobQueue)[0])
		same(t, "outcome", l.row(t, job.ID).Result.Routine, routine.Deleted)
	})
	t.Run("a deletion that is done and not written down ends well", func(t *testing.T) {
		l := outlived(t)
		_, body := l.janitor(t, routine.Remove)
		l.ledgerFails(t, 1)
		if report, err := l.handle(t, body); err == nil {
			t.Errorf("%+v", report)
		}
		l.heal()
		l.holds(t, 0, 0)
		l.expect(t, "succeeded", body)
	})
	t.Run("nothing is done while the ledger does not tell who else wants something", func(t *testing.T) {
		l := outlived(t)
		_, body := l.janitor(t, routine.Expire)
		inject(t, l.ots.Faults(), faults.Rule{Action: "GetRange", Times: forever, Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerUnavailable"}})
		if report, err := l.handle(t, body); err == nil {
			t.Errorf("%+v", report)
		}
		l.heal()
		l.holds(t, 1, 1)
		l.expect(t, "succeeded", body)
	})
	t.Run("one that is renewed between two tries of its deletion stays", func(t *testing.T) {
		l := outlived(t)
		l.refuses(t, "ListRoutineRoutes", "Throttling.User", 1)
		job, body := l.janitor(t, routine.Remove)
		l.expect(t, "again", body)
		renewal := l.accept(t, 3, func(job *routine.Job) {
			job.Request = routine.Request{Action: routine.Renew, Name: "pr-1", ExpiresIn: routine.Span(time.Hour)}
		})
		renewal = l.change(t, renewal.ID, func(r *ledger.Row) error {
			r.Intent = routine.NextNumber(l.clock.Now(), l.claim(t).Newest())
			return nil
		})
		l.expect(t, "succeeded", message(t, renewal))
		l.clock.Advance(10 * time.Minute)
		l.expect(t, "superseded", l.take(t, sim.JobQueue)[0])
		same(t, "overtaken by", l.row(t, job.ID).SupersededBy, "job-3")
		l.holds(t, 1, 1)
	})
}
