package ledger_test

import (
	"testing"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// intent is the row of a job with the number of its intent.
func intent(id string, number int64, req routine.Request) ledger.Row {
	r := ledger.NewRow(routine.Job{ID: id, Caller: "ci", AcceptedAt: noon, Request: req})
	r.Intent = number
	return r
}

// unbinds is a request for host name www.example.com of pr-1 to be gone.
func unbinds() routine.Request {
	return routine.Request{Action: routine.Unbind, Name: "pr-1", Records: []routine.Record{{RecordName: "www.example.com"}}}
}

// intends writes the number of a job to the claim of its thing, and returns what is claimed then.
func (b *book) intends(t *testing.T, r ledger.Row) ledger.Holding {
	t.Helper()
	must(t, b.Intend(t.Context(), r, holding(t, b.Ledger, "pr-1", "www.example.com")))
	return holding(t, b.Ledger, "pr-1", "www.example.com")
}

func TestIntend(t *testing.T) {
	deletion := routine.Request{Action: routine.Delete, Name: "pr-1"}
	t.Run("writes a deletion's number and job, so that older intents give way", func(t *testing.T) {
		b := newBook(t)
		b.claim(t, "pr-1", becomes(routine.Live))
		claim := b.intends(t, intent("d", 7, deletion)).Claim
		check(t, claim, claim.DeleteNumber == 7 && claim.DeleteJob == "d" && claim.State == routine.Live)
	})
	t.Run("forgets what an earlier deletion has overtaken", func(t *testing.T) {
		b := newBook(t)
		b.claim(t, "pr-1", func(c *routine.Claim) error {
			c.State, c.DeleteNumber, c.DeleteJob, c.Overtook = routine.Live, 6, "c", []string{"a"}
			return nil
		})
		claim := b.intends(t, intent("d", 7, deletion)).Claim
		check(t, claim, claim.DeleteJob == "d" && len(claim.Overtook) == 0)
	})
	t.Run("leaves a newer number alone", func(t *testing.T) {
		b := newBook(t)
		b.intends(t, intent("d", 7, deletion))
		claim := b.intends(t, intent("c", 6, deletion)).Claim
		check(t, claim, claim.DeleteNumber == 7 && claim.DeleteJob == "d")
	})
	t.Run("of a routine of which nothing is known makes a claim that says so", func(t *testing.T) {
		claim := newBook(t).intends(t, intent("d", 7, deletion)).Claim
		check(t, claim, claim.State == routine.Gone && claim.DeleteNumber == 7)
	})
	t.Run("writes the number of an unbinding to its host name alone", func(t *testing.T) {
		b := newBook(t)
		b.bind(t, "pr-1", "www.example.com")
		got := b.intends(t, intent("u", 7, unbinds()))
		host := got.Records[0]
		check(t, got, host.Number == 7 && host.JobID == "u" && host.Leaving && host.State == routine.Live && !got.Claim.Exists())
	})
	t.Run("leaves a newer number of a host name alone", func(t *testing.T) {
		b := newBook(t)
		b.intends(t, intent("u", 7, unbinds()))
		host := b.intends(t, intent("t", 6, unbinds())).Records[0]
		check(t, host, host.Number == 7 && host.JobID == "u" && host.State == routine.Gone)
	})
	t.Run("writes nothing for a job that wants something to be there: those write theirs in the lane", func(t *testing.T) {
		got := newBook(t).intends(t, intent("c", 7, routine.Request{Name: "pr-1", Records: unbinds().Records}))
		check(t, got, !got.Claim.Exists() && !got.Records[0].Exists())
	})
}

func TestTakeBack(t *testing.T) {
	deletion := routine.Request{Action: routine.Delete, Name: "pr-1"}
	// deleted is a claim with a deletion that has overtaken a job.
	deleted := func(state routine.ClaimState) func(*routine.Claim) error {
		return func(c *routine.Claim) error {
			c.State, c.DeleteNumber, c.DeleteJob, c.Overtook = state, 7, "d", []string{"a"}
			return nil
		}
	}
	t.Run("ends a deletion with the reason, and returns what it has overtaken", func(t *testing.T) {
		b := newBook(t)
		b.claim(t, "pr-1", deleted(routine.Live))
		overtook, err := b.TakeBack(t.Context(), "d", deletion, "BoundByOthers")
		must(t, err)
		same(t, overtook, []string{"a"})
		claim := holding(t, b.Ledger, "pr-1").Claim
		check(t, claim, claim.DeleteNumber == 0 && claim.DeleteJob == "" && len(claim.Overtook) == 0 && claim.Reason == "BoundByOthers")
	})
	t.Run("leaves a deletion of which a call may have taken effect", func(t *testing.T) {
		b := newBook(t)
		b.claim(t, "pr-1", deleted(routine.Deleting))
		overtook, err := b.TakeBack(t.Context(), "d", deletion, "NotGone")
		must(t, err)
		same(t, overtook, []string{"a"})
		claim := holding(t, b.Ledger, "pr-1").Claim
		check(t, claim, claim.DeleteNumber == 7 && claim.Reason == "NotGone")
	})
	t.Run("leaves the deletion of another job", func(t *testing.T) {
		b := newBook(t)
		b.claim(t, "pr-1", deleted(routine.Live))
		overtook, err := b.TakeBack(t.Context(), "c", deletion, "BoundByOthers")
		must(t, err)
		claim := holding(t, b.Ledger, "pr-1").Claim
		check(t, claim, len(overtook) == 0 && claim.DeleteNumber == 7 && claim.Reason == "")
	})
	t.Run("a host name does not leave any more, and older jobs may bind it again", func(t *testing.T) {
		b := newBook(t)
		b.intends(t, intent("u", 7, unbinds()))
		_, err := b.TakeBack(t.Context(), "u", unbinds(), "NotOwned")
		must(t, err)
		host := holding(t, b.Ledger, "pr-1", "www.example.com").Records[0]
		check(t, host, !host.Leaving && host.Number == 0)
	})
	t.Run("leaves the unbinding of another job", func(t *testing.T) {
		b := newBook(t)
		b.intends(t, intent("u", 7, unbinds()))
		_, err := b.TakeBack(t.Context(), "t", unbinds(), "NotOwned")
		must(t, err)
		host := holding(t, b.Ledger, "pr-1", "www.example.com").Records[0]
		check(t, host, host.Leaving)
	})
}

// TestHostNamesOfAJob is about jobs for several host names.
func TestHostNamesOfAJob(t *testing.T) {
	several := routine.Request{Name: "pr-1", Records: []routine.Record{
		{SiteID: 7, RecordName: "a.example.com"}, {RecordName: "b.example.com"}, {SiteID: 8, RecordName: "c.example.net"},
	}}
	progress := routine.Progress{Routine: routine.Created, RecordUnknown: true, Records: []routine.RecordResult{
		{RecordName: "a.example.com", SiteID: 7, RecordID: 1, Outcome: routine.Created}, {RecordName: "b.example.com", Outcome: routine.Passed, SupersededBy: "u"},
	}}
	died := func() ledger.Row {
		r := intent("job-1", 0, several)
		r.Die(failureAt(0, "X"), "", ledger.Worker, progress, noon)
		return r
	}
	t.Run("a dead letter tells what it left of each, but for those left to others", func(t *testing.T) {
		same(t, died().Left, []routine.Left{
			{Routine: "pr-1", Outcome: routine.Created},
			{Routine: "pr-1", SiteID: 7, RecordName: "a.example.com", Outcome: routine.Created},
			{Routine: "pr-1", SiteID: 8, RecordName: "c.example.net", Outcome: routine.Unknown},
		})
	})
	t.Run("a correction keeps what is done of the host names that stay", func(t *testing.T) {
		r, corrected := died(), several
		corrected.Records = []routine.Record{several.Records[0], {SiteID: 9, RecordName: "c.example.net"}}
		must(t, r.Redrive("", "", &corrected, after(10), after(10), after(10)))
		same(t, r.Progress.Records, progress.Records[:1])
		check(t, r, !r.Progress.RecordUnknown && r.Progress.Routine == routine.Created)
	})
	t.Run("a correction of another host name keeps the doubt about the one that stays", func(t *testing.T) {
		r, corrected := died(), several
		corrected.Records = several.Records[1:]
		must(t, r.Redrive("", "", &corrected, after(10), after(10), after(10)))
		check(t, r, r.Progress.RecordUnknown)
	})
	t.Run("a job is ready only if no host name was left to others", func(t *testing.T) {
		for _, result := range []routine.Result{{Records: progress.Records[:1]}, {Records: progress.Records}} {
			r := intent("job-1", 0, several)
			r.Succeed(result, progress, noon, noon)
			same(t, r.Ready, len(result.Records) == 1)
		}
	})
	t.Run("a deletion is never ready, and left nothing", func(t *testing.T) {
		r := intent("job-1", 0, routine.Request{Action: routine.Delete, Name: "pr-1"})
		r.Succeed(routine.Result{Routine: routine.Deleted}, routine.Progress{Routine: routine.Deleted}, noon, noon)
		check(t, r, !r.Ready && len(r.Left) == 0)
	})
}

func TestSuperseded(t *testing.T) {
	overtaken := func() ledger.Row {
		r := begun()
		r.Supersede("job-2", routine.Progress{Routine: routine.Created}, after(2), after(3))
		return r
	}
	t.Run("is an end, which names the newer job and is told", func(t *testing.T) {
		r := overtaken()
		check(t, r, r.State == routine.Superseded && r.SupersededBy == "job-2" && r.Begun.IsZero() && r.Waiting == nil && r.DueAt.Equal(after(3)) && !r.Ready)
		check(t, r, r.Standing(0, 1) == ledger.Over)
	})
	t.Run("is redriven as a new intent", func(t *testing.T) {
		r := overtaken()
		before := r.IntentNumber()
		must(t, r.Redrive("olga", "still wanted", nil, after(10), after(10), after(10)))
		check(t, r, r.State == routine.Queued && r.SupersededBy == "" && r.IntentNumber() > before && r.IntentNumber() >= after(10).UnixMilli())
	})
	t.Run("a dead letter that is redriven keeps its number, one that is corrected gets another", func(t *testing.T) {
		kept, corrected := died(), died()
		before := kept.IntentNumber()
		must(t, kept.Redrive("", "", nil, after(10), after(10), after(10)))
		same(t, kept.IntentNumber(), before)
		other := corrected.Request
		other.Name = "pr-2"
		must(t, corrected.Redrive("", "", &other, after(10), after(10), after(10)))
		check(t, corrected, corrected.IntentNumber() > before)
	})
}
