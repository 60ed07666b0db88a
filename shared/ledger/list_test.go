package ledger_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// newestFirst are the ids of the given jobs in the order of lists.
func newestFirst(numbers ...int) []string {
	slices.Sort(numbers)
	slices.Reverse(numbers)
	ids := []string{}
	for _, n := range numbers {
		ids = append(ids, newRow(n).ID)
	}
	return ids
}

func TestJobs(t *testing.T) {
	long := newRow(20)
	long.Request.CallbackURL = "https://ci.example/hook?secret"
	b := newBook(t, append(newRows(12), long)...)
	for _, n := range []int{1, 4, 7} {
		b.change(t, newRow(n).ID, succeeds)
	}
	b.change(t, newRow(2).ID, dies(60, "Taken"))
	b.change(t, long.ID, dies(60, "Taken"))
	for name, test := range map[string]struct {
		filter ledger.Filter
		want   []string
	}{
		"all":                     {ledger.Filter{}, newestFirst(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 20)},
		"a state":                 {ledger.Filter{State: routine.Succeeded}, newestFirst(1, 4, 7)},
		"a name":                  {ledger.Filter{Name: "pr-1"}, newestFirst(1, 11)},
		"a name and a state":      {ledger.Filter{Name: "pr-1", State: routine.Succeeded}, newestFirst(1)},
		"a record name":           {ledger.Filter{RecordName: "pr-3.example.com"}, newestFirst(3)},
		"a caller":                {ledger.Filter{Caller: "caller-1"}, newestFirst(1, 4, 7, 10)},
		"a caller and a state":    {ledger.Filter{Caller: "caller-1", State: routine.Queued}, newestFirst(10)},
		"a name and a caller":     {ledger.Filter{Name: "pr-1", Caller: "caller-2"}, newestFirst(11)},
		"a record and its name":   {ledger.Filter{RecordName: "pr-3.example.com", Name: "pr-3"}, newestFirst(3)},
		"a record of another":     {ledger.Filter{RecordName: "pr-3.example.com", Name: "pr-4"}, newestFirst()},
		"a state that none is in": {ledger.Filter{State: routine.Cancelled}, newestFirst()},
		"failed callbacks":        {ledger.Filter{CallbackFailed: true}, newestFirst()},
	} {
		t.Run("of "+name+" are exact, newest first, in pages of any size", func(t *testing.T) {
			for _, page := range []int{1, 5, 100} {
				same(t, listed(t, b.Ledger, test.filter, page), test.want)
			}
		})
	}
	t.Run("come without their history, and without the query of the callback URL", func(t *testing.T) {
		jobs, _, err := b.Jobs(t.Context(), ledger.Filter{RecordName: long.Request.Records[0].RecordName}, 10, "")
		must(t, err)
		check(t, jobs, len(jobs) == 1 && jobs[0].Attempts == nil && jobs[0].Request.CallbackURL == "https://ci.example/hook?***")
	})
}

func TestListsRefuse(t *testing.T) {
	b := newBook(t)
	jobs := func(f ledger.Filter, limit int) error { _, _, err := b.Jobs(t.Context(), f, limit, ""); return err }
	deadLetters := func(f ledger.DeadFilter, limit int) error {
		_, _, err := b.DeadLetters(t.Context(), f, limit, "")
		_, _, _, countErr := b.CountDead(t.Context(), f)
		check(t, countErr, limit != 10 || codeOf(err) == codeOf(countErr))
		return err
	}
	long := strings.Repeat("x", 256)
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"no jobs":                           {jobs(ledger.Filter{}, 0), "InvalidLimit"},
		"too many jobs":                     {jobs(ledger.Filter{}, ledger.MaxPage+1), "InvalidLimit"},
		"no dead letters":                   {deadLetters(ledger.DeadFilter{}, 0), "InvalidLimit"},
		"too many dead letters by ids":      {deadLetters(ledger.DeadFilter{IDs: []string{"x"}}, ledger.MaxPage+1), "InvalidLimit"},
		"an unknown state":                  {jobs(ledger.Filter{State: "paused"}, 10), "InvalidFilter"},
		"a long name":                       {jobs(ledger.Filter{Name: long}, 10), "InvalidFilter"},
		"a control character":               {jobs(ledger.Filter{Caller: "a\x00b"}, 10), "InvalidFilter"},
		"what is no text":                   {jobs(ledger.Filter{RecordName: "\xff"}, 10), "InvalidFilter"},
		"a long code of dead letters":       {deadLetters(ledger.DeadFilter{Code: long}, 10), "InvalidFilter"},
		"a key of dead letters, no text":    {deadLetters(ledger.DeadFilter{KeyPrefix: "\xff"}, 10), "InvalidFilter"},
		"a time that is written longer":     {deadLetters(ledger.DeadFilter{Since: noon.AddDate(8000, 0, 0)}, 10), "InvalidFilter"},
		"an end that is written longer too": {deadLetters(ledger.DeadFilter{Until: noon.AddDate(8000, 0, 0)}, 10), "InvalidFilter"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, test.err, "invalid "+test.want) })
	}
}

func TestPagesAreShortIfJobsAreLong(t *testing.T) {
	const many, long, most = 100, 39_000, 1 << 20
	rows := deadRows(many)
	for i := range rows {
		rows[i].Request.Description = new(strings.Repeat("d", long))
	}
	b := newBook(t, rows...)
	inOrder := idsOf(rows)
	newest := slices.Clone(inOrder)
	slices.Reverse(newest)
	for name, test := range map[string]struct {
		page func(cursor string) (ids []string, next string, err error)
		want []string
	}{
		"of jobs": {func(cursor string) ([]string, string, error) {
			return jobsPage(b.Ledger, ledger.Filter{}, many, cursor)
		}, newest},
		"of dead letters": {func(cursor string) ([]string, string, error) {
			return deadPage(b.Ledger, ledger.DeadFilter{}, many, cursor)
		}, newest},
		"of dead letters by ids": {func(cursor string) ([]string, string, error) {
			return deadPage(b.Ledger, ledger.DeadFilter{IDs: newest}, many, cursor)
		}, inOrder},
	} {
		t.Run(name, func(t *testing.T) {
			same(t, pages(t, func(cursor string) ([]string, string, error) {
				ids, next, err := test.page(cursor)
				check(t, len(ids), len(ids) > 0 && len(ids)*long <= most)
				return ids, next, err
			}), test.want)
		})
	}
}

func TestCursor(t *testing.T) {
	b := newBook(t, newRows(4)...)
	_, next, err := jobsPage(b.Ledger, ledger.Filter{}, 2, "")
	must(t, err)
	raw, err := base64.RawURLEncoding.DecodeString(next)
	must(t, err)
	altered := slices.Clone(raw)
	altered[len(altered)-1]++
	for name, cursor := range map[string]string{
		"no cursor": "x", "an altered one": base64.RawURLEncoding.EncodeToString(altered), "one cut short": next[:len(next)-2],
		"one with a line end": next + "\n", "its key alone": base64.RawURLEncoding.EncodeToString(raw[12:]),
		"a sum alone": base64.RawURLEncoding.EncodeToString(raw[:12]),
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			_, _, err := jobsPage(b.Ledger, ledger.Filter{}, 2, cursor)
			wantCode(t, err, "invalid InvalidCursor")
		})
	}
	t.Run("is refused by every other list", func(t *testing.T) {
		for _, f := range []ledger.Filter{{State: routine.Queued}, {Name: "pr-1"}, {CallbackFailed: true}} {
			_, _, err := jobsPage(b.Ledger, f, 2, next)
			wantCode(t, err, "invalid InvalidCursor")
		}
		_, _, err := deadPage(b.Ledger, ledger.DeadFilter{}, 2, next)
		wantCode(t, err, "invalid InvalidCursor")
		_, _, err = jobsPage(b.connect(t, func(c *ledger.Config) { c.Table, c.StateTable = "state", "jobs" }), ledger.Filter{}, 2, next)
		wantCode(t, err, "invalid InvalidCursor")
	})
	t.Run("goes on where it was, whatever is written meanwhile", func(t *testing.T) {
		b.create(t, newRow(50))
		b.change(t, newRow(1).ID, succeeds)
		ids, _, err := jobsPage(b.Ledger, ledger.Filter{}, 2, next)
		must(t, err)
		same(t, ids, newestFirst(0, 1))
	})
}

func TestDeadLetters(t *testing.T) {
	rows := newRows(12)
	rows[5].Key = "import-7/x"
	b := newBook(t, rows...)
	for n := range 10 {
		b.change(t, newRow(n).ID, dies(n, []string{"Taken", "Quota"}[n%2]))
	}
	b.change(t, newRow(9).ID, redriven(60))
	b.change(t, newRow(8).ID, func(r *ledger.Row) error { return r.Drop("olga", "", noon) })
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	for name, test := range map[string]struct {
		filter ledger.DeadFilter
		want   []string
	}{
		"all":                   {ledger.DeadFilter{}, newestFirst(0, 1, 2, 3, 4, 5, 6, 7)},
		"a code":                {ledger.DeadFilter{Code: "Quota"}, newestFirst(1, 3, 5, 7)},
		"a kind":                {ledger.DeadFilter{Kind: "conflict"}, newestFirst(0, 1, 2, 3, 4, 5, 6, 7)},
		"another kind":          {ledger.DeadFilter{Kind: "quota"}, newestFirst()},
		"a step":                {ledger.DeadFilter{Step: routine.CreateRoutine}, newestFirst(0, 1, 2, 3, 4, 5, 6, 7)},
		"another step":          {ledger.DeadFilter{Step: routine.CreateRoutineRelatedRecord}, newestFirst()},
		"an origin":             {ledger.DeadFilter{Origin: ledger.Trigger}, newestFirst()},
		"a name":                {ledger.DeadFilter{Name: "pr-3"}, newestFirst(3)},
		"a record name":         {ledger.DeadFilter{RecordName: "pr-4.example.com"}, newestFirst(4)},
		"a site":                {ledger.DeadFilter{SiteID: newRow(1).Request.Records[0].SiteID}, newestFirst(1, 3, 5, 7)},
		"a caller":              {ledger.DeadFilter{Caller: "caller-1"}, newestFirst(1, 4, 7)},
		"a caller and a code":   {ledger.DeadFilter{Caller: "caller-1", Code: "Quota"}, newestFirst(1, 7)},
		"a code and a site":     {ledger.DeadFilter{SiteID: newRow(0).Request.Records[0].SiteID, Code: "Quota"}, newestFirst()},
		"a prefix of the key":   {ledger.DeadFilter{KeyPrefix: "import-7/"}, newestFirst(5)},
		"a time on":             {ledger.DeadFilter{Since: at(6)}, newestFirst(6, 7)},
		"until a time":          {ledger.DeadFilter{Until: at(1)}, newestFirst(0, 1)},
		"a time after its end":  {ledger.DeadFilter{Since: at(6), Until: at(1)}, newestFirst()},
		"a time, code, caller":  {ledger.DeadFilter{Since: at(1), Until: at(6), Code: "Taken", Caller: "caller-1"}, newestFirst(4)},
		"ids":                   {ledger.DeadFilter{IDs: []string{newRow(3).ID, newRow(9).ID, "nobody", "", newRow(3).ID}}, newestFirst(3)},
		"ids and a code":        {ledger.DeadFilter{IDs: []string{newRow(3).ID, newRow(4).ID}, Code: "Taken"}, newestFirst(4)},
		"ids and a time":        {ledger.DeadFilter{IDs: []string{newRow(3).ID}, Since: at(4)}, newestFirst()},
		"what was redriven":     {ledger.DeadFilter{Name: "pr-9"}, newestFirst()},
		"what was dropped":      {ledger.DeadFilter{RecordName: "pr-8.example.com"}, newestFirst()},
		"what is not dead ever": {ledger.DeadFilter{RecordName: "pr-11.example.com"}, newestFirst()},
	} {
		t.Run("of "+name+" are exact, newest death first, in pages of any size, and are counted", func(t *testing.T) {
			for _, page := range []int{1, 3, 100} {
				same(t, dead(t, b.Ledger, test.filter, page), test.want)
			}
			total, _, complete, err := b.CountDead(t.Context(), test.filter)
			must(t, err)
			check(t, total, total == len(test.want) && complete)
		})
	}
	t.Run("are counted by kind and code, the most frequent first, in one call", func(t *testing.T) {
		b.change(t, newRow(11).ID, dies(11, "Taken"))
		b.calls()
		total, codes, _, err := b.CountDead(t.Context(), ledger.DeadFilter{})
		must(t, err)
		b.wantCalls(t, "GetRange")
		same(t, codes, []ledger.CodeCount{{"conflict", "Taken", 5}, {"conflict", "Quota", 4}})
		same(t, total, 9)
	})
	t.Run("are counted up to a bound, in one call", func(t *testing.T) {
		b.calls()
		for most, want := range map[int]int{9: 9, 10: 9, 4: 4} {
			count, more, err := b.CountSomeDead(t.Context(), most)
			must(t, err)
			check(t, count, count == want && more == (most < 9))
		}
		b.wantCalls(t, "GetRange", "GetRange", "GetRange")
	})
	t.Run("by ids are read without a look at the index", func(t *testing.T) {
		b.calls()
		dead(t, b.Ledger, ledger.DeadFilter{IDs: newestFirst(1, 2, 3)}, 100)
		b.wantCalls(t, "BatchGetRow")
	})
	t.Run("are not known while the service does not answer", func(t *testing.T) {
		b.breaks(t, faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.HTML}})
		for _, f := range []ledger.DeadFilter{{}, {IDs: []string{"x"}}} {
			_, _, err := deadPage(b.Ledger, f, 10, "")
			wantCode(t, err, "unavailable HTTP502")
			_, _, _, err = b.CountDead(t.Context(), f)
			wantCode(t, err, "unavailable HTTP502")
		}
	})
}

func TestCallsOfAPage(t *testing.T) {
	many := 2200 // more than a page of a rare combination looks at
	if testing.Short() {
		many = 300
	}
	rows := deadRows(many)
	must(t, dies(5, "Rare")(&rows[5]))
	b := newBook(t, rows...)
	// page reads a page in five calls at most.
	page := func(t *testing.T, f ledger.DeadFilter, limit int, cursor string) (ids []string, next string, calls int) {
		t.Helper()
		b.calls()
		ids, next, err := deadPage(b.Ledger, f, limit, cursor)
		must(t, err)
		calls = len(b.calls())
		check(t, calls, calls <= 5)
		return ids, next, calls
	}
	t.Run("of fifty is two calls", func(t *testing.T) {
		ids, next, calls := page(t, ledger.DeadFilter{}, 50, "")
		check(t, ids, len(ids) == 50 && next != "" && calls == 2)
	})
	t.Run("of a rare combination is five calls at most, and short with a cursor", func(t *testing.T) {
		rare := ledger.DeadFilter{Caller: newRow(5).Caller, Kind: "conflict", SiteID: newRow(5).Request.Records[0].SiteID, KeyPrefix: "nothing-has-this"}
		for _, f := range []ledger.DeadFilter{rare, {Kind: "nothing-has-this"}, {Origin: ledger.Trigger}} {
			turns := 1
			for _, next, _ := page(t, f, 100, ""); next != ""; turns++ {
				_, next, _ = page(t, f, 100, next)
			}
			if turns > 5 || turns == 1 && !testing.Short() && f.Caller == "" {
				t.Errorf("%+v: %d pages", f, turns)
			}
		}
		same(t, dead(t, b.Ledger, ledger.DeadFilter{Kind: "conflict", Code: "Rare", Origin: ledger.Worker}, 100), newestFirst(5))
	})
	t.Run("passes over index rows that do not count, in five calls at most", func(t *testing.T) {
		dropped := idsOf(rows[many-120:])
		b.breaks(t, faults.Rule{Action: "BatchWriteRow", Skip: 2, Every: 3, Times: -1, Fault: faults.Fault{Answer: faults.HTML}}) // no delete works
		for _, done := range b.ChangeAll(t.Context(), dropped, func(r *ledger.Row) error { return r.Drop("olga", "", noon) }) {
			must(t, done.Err)
		}
		b.server.Faults().Clear()
		var got []string
		for next := ""; len(got) < 50; {
			var ids []string
			ids, next, _ = page(t, ledger.DeadFilter{}, 50, next)
			if got = append(got, ids...); next == "" {
				break
			}
		}
		check(t, got, len(got) >= 50 && got[0] == newRow(many-121).ID)
	})
}
