package ledger_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	b := newBook(t)
	b.create(t, newRows(12)...)
	for _, n := range []int{1, 4, 7} {
		b.change(t, newRow(n).ID, succeeds)
	}
	b.change(t, newRow(2).ID, dies(60, "Taken"))
	for name, test := range map[string]struct {
		filter ledger.Filter
		want   []string
	}{
		"all":                     {ledger.Filter{}, newestFirst(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)},
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
				if diff := cmp.Diff(test.want, listed(t, b.Ledger, test.filter, page)); diff != "" {
					t.Errorf("pages of %d, -want +got:\n%s", page, diff)
				}
			}
		})
	}
	t.Run("come without their history, and without the query of the callback URL", func(t *testing.T) {
		row := newRow(20)
		row.Request.CallbackURL = "https://ci.example/hook?secret"
		b.create(t, row)
		b.change(t, row.ID, dies(60, "Taken"))
		jobs, _, err := b.Jobs(t.Context(), ledger.Filter{RecordName: row.Request.RecordName}, 10, "")
		if err != nil || len(jobs) != 1 || jobs[0].Attempts != nil || jobs[0].Request.CallbackURL != "https://ci.example/hook?***" {
			t.Errorf("%+v, %v", jobs, err)
		}
	})
	t.Run("refuse limits and filters that are out of range", func(t *testing.T) {
		for _, limit := range []int{0, ledger.MaxPage + 1} {
			if _, _, err := b.Jobs(t.Context(), ledger.Filter{}, limit, ""); codeOf(err) != "invalid InvalidLimit" {
				t.Errorf("limit %d: %v", limit, err)
			}
		}
		for _, f := range []ledger.Filter{{State: "paused"}, {Name: strings.Repeat("x", 256)}, {Caller: "a\x00b"}, {RecordName: "\xff"}} {
			if _, _, err := b.Jobs(t.Context(), f, 10, ""); codeOf(err) != "invalid InvalidFilter" {
				t.Errorf("%+v: %v", f, err)
			}
		}
	})
}

func TestPagesAreShortIfJobsAreLong(t *testing.T) {
	b := newBook(t)
	const many, long, most = 100, 39_000, 1 << 20
	rows := newRows(many)
	for i := range rows {
		job := rows[i].Job
		job.Request.Description = new(strings.Repeat("d", long))
		rows[i] = ledger.Unreadable(job, failureAt(i, "Taken"), "it would fail again", ledger.Worker, nil, nil)
		rows[i].Request = job.Request
	}
	b.create(t, rows...)
	var ids []string
	for _, row := range slices.Backward(rows) {
		ids = append(ids, row.ID)
	}
	for name, page := range map[string]func(cursor string) (ids []string, next string, err error){
		"of jobs": func(cursor string) ([]string, string, error) {
			jobs, next, err := b.Jobs(t.Context(), ledger.Filter{}, many, cursor)
			var ids []string
			for _, job := range jobs {
				ids = append(ids, job.ID)
			}
			return ids, next, err
		},
		"of dead letters": func(cursor string) ([]string, string, error) {
			rows, next, err := b.DeadLetters(t.Context(), ledger.DeadFilter{}, many, cursor)
			return idsOf(rows), next, err
		},
		"of dead letters by their ids": func(cursor string) ([]string, string, error) {
			rows, next, err := b.DeadLetters(t.Context(), ledger.DeadFilter{IDs: ids}, many, cursor)
			return idsOf(rows), next, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			all := pages(t, func(cursor string) ([]string, string, error) {
				ids, next, err := page(cursor)
				if size := len(ids) * long; size == 0 || size > most {
					t.Errorf("%d jobs, %d bytes", len(ids), size)
				}
				return ids, next, err
			})
			want := slices.Clone(ids)
			if strings.Contains(name, "ids") {
				slices.Sort(want)
			}
			if diff := cmp.Diff(want, all); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestCursor(t *testing.T) {
	b := newBook(t)
	b.create(t, newRows(4)...)
	_, next, err := b.Jobs(t.Context(), ledger.Filter{}, 2, "")
	if err != nil || next == "" {
		t.Fatalf("next %q, %v", next, err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(next)
	if err != nil {
		t.Fatal(err)
	}
	altered := slices.Clone(raw)
	altered[len(altered)-1]++
	for name, cursor := range map[string]string{
		"no cursor": "x", "an altered one": base64.RawURLEncoding.EncodeToString(altered), "one cut short": next[:len(next)-2],
		"one with a line end": next + "\n", "its key alone": base64.RawURLEncoding.EncodeToString(raw[12:]),
		"a sum alone": base64.RawURLEncoding.EncodeToString(raw[:12]),
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if _, _, err := b.Jobs(t.Context(), ledger.Filter{}, 2, cursor); codeOf(err) != "invalid InvalidCursor" {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("is refused by every other list", func(t *testing.T) {
		for _, f := range []ledger.Filter{{State: routine.Queued}, {Name: "pr-1"}, {CallbackFailed: true}} {
			if _, _, err := b.Jobs(t.Context(), f, 2, next); codeOf(err) != "invalid InvalidCursor" {
				t.Errorf("%+v: %v", f, err)
			}
		}
		if _, _, err := b.DeadLetters(t.Context(), ledger.DeadFilter{}, 2, next); codeOf(err) != "invalid InvalidCursor" {
			t.Error(err)
		}
		other := b.connect(t, func(c *ledger.Config) { c.Table, c.StateTable = "state", "jobs" })
		if _, _, err := other.Jobs(t.Context(), ledger.Filter{}, 2, next); codeOf(err) != "invalid InvalidCursor" {
			t.Error(err)
		}
	})
	t.Run("goes on where it was, whatever is written meanwhile", func(t *testing.T) {
		b.create(t, newRow(50))
		b.change(t, newRow(1).ID, succeeds)
		jobs, _, err := b.Jobs(t.Context(), ledger.Filter{}, 2, next)
		if err != nil || len(jobs) != 2 || jobs[0].ID != newRow(1).ID || jobs[1].ID != newRow(0).ID {
			t.Errorf("%+v, %v", jobs, err)
		}
	})
}

// kill makes dead letters of jobs, each dead as many seconds after noon as its number says.
func (b *book) kill(t testing.TB, numbers []int, code func(n int) string) {
	t.Helper()
	for _, done := range b.ChangeAll(t.Context(), newestFirst(numbers...), func(r *ledger.Row) error {
		second := int(r.AcceptedAt.Sub(noon) / time.Second)
		dies(second, code(second))(r)
		return nil
	}) {
		if done.Err != nil {
			t.Fatal(done.Err)
		}
	}
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestDeadLetters(t *testing.T) {
	b := newBook(t)
	rows := newRows(12)
	rows[5].Key = "import-7/x"
	b.create(t, rows...)
	b.kill(t, upTo(10), func(n int) string { return []string{"Taken", "Quota"}[n%2] })
	b.change(t, newRow(9).ID, redriven(t, 60))
	b.change(t, newRow(8).ID, func(r *ledger.Row) {
		if err := r.Drop("olga", "", noon); err != nil {
			t.Error(err)
		}
	})
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
		"a site":                {ledger.DeadFilter{SiteID: newRow(1).Request.SiteID}, newestFirst(1, 3, 5, 7)},
		"a caller":              {ledger.DeadFilter{Caller: "caller-1"}, newestFirst(1, 4, 7)},
		"a caller and a code":   {ledger.DeadFilter{Caller: "caller-1", Code: "Quota"}, newestFirst(1, 7)},
		"a code and a site":     {ledger.DeadFilter{SiteID: newRow(0).Request.SiteID, Code: "Quota"}, newestFirst()},
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
				if diff := cmp.Diff(test.want, dead(t, b.Ledger, test.filter, page)); diff != "" {
					t.Errorf("pages of %d, -want +got:\n%s", page, diff)
				}
			}
			if total, _, complete, err := b.CountDead(t.Context(), test.filter); total != len(test.want) || !complete || err != nil {
				t.Errorf("counted %d, complete %t, %v", total, complete, err)
			}
		})
	}
	t.Run("hold a job once that died twice, under its latest death", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(2)...)
		b.change(t, newRow(0).ID, dies(5, "Taken"))
		b.change(t, newRow(0).ID, redriven(t, 6))
		b.change(t, newRow(1).ID, dies(7, "Taken"))
		b.change(t, newRow(0).ID, dies(8, "Taken"))
		for _, f := range []ledger.DeadFilter{{}, {Code: "Taken"}} {
			if diff := cmp.Diff([]string{newRow(0).ID, newRow(1).ID}, dead(t, b.Ledger, f, 10)); diff != "" {
				t.Errorf("%+v, -want +got:\n%s", f, diff)
			}
		}
	})
	t.Run("are counted by kind and code, the most frequent first, in one call", func(t *testing.T) {
		b.change(t, newRow(11).ID, dies(11, "Taken"))
		b.calls()
		total, codes, _, err := b.CountDead(t.Context(), ledger.DeadFilter{})
		want := []ledger.CodeCount{{"conflict", "Taken", 5}, {"conflict", "Quota", 4}}
		if diff := cmp.Diff(want, codes); diff != "" || total != 9 || err != nil {
			t.Errorf("%d in all, %v, -want +got:\n%s", total, err, diff)
		}
		if diff := cmp.Diff([]string{"GetRange"}, b.calls()); diff != "" {
			t.Errorf("calls -want +got:\n%s", diff)
		}
	})
	t.Run("by ids are read without a look at the index", func(t *testing.T) {
		b.calls()
		if _, _, err := b.DeadLetters(t.Context(), ledger.DeadFilter{IDs: newestFirst(1, 2, 3)}, 100, ""); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"BatchGetRow"}, b.calls()); diff != "" {
			t.Errorf("calls -want +got:\n%s", diff)
		}
	})
	t.Run("are listed to one reader whatever another does", func(t *testing.T) {
		one, next, err := b.DeadLetters(t.Context(), ledger.DeadFilter{}, 3, "")
		if err != nil {
			t.Fatal(err)
		}
		other := dead(t, b.connect(t, nil), ledger.DeadFilter{}, 2)
		rest, _, err := b.DeadLetters(t.Context(), ledger.DeadFilter{}, 100, next)
		if diff := cmp.Diff(other, append(idsOf(one), idsOf(rest)...)); diff != "" || err != nil {
			t.Errorf("%v, -other +one:\n%s", err, diff)
		}
	})
	t.Run("refuse filters that are out of range", func(t *testing.T) {
		for _, f := range []ledger.DeadFilter{{Code: strings.Repeat("x", 256)}, {Since: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, {KeyPrefix: "\xff"}} {
			if _, _, err := b.DeadLetters(t.Context(), f, 10, ""); codeOf(err) != "invalid InvalidFilter" {
				t.Errorf("%+v: %v", f, err)
			}
			if _, _, _, err := b.CountDead(t.Context(), f); codeOf(err) != "invalid InvalidFilter" {
				t.Errorf("%+v: %v", f, err)
			}
		}
	})
	t.Run("pass on that the service does not answer", func(t *testing.T) {
		b.breaks(t, faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.HTML}})
		if _, _, err := b.DeadLetters(t.Context(), ledger.DeadFilter{}, 10, ""); codeOf(err) != "unavailable HTTP502" {
			t.Error(err)
		}
		if _, _, _, err := b.CountDead(t.Context(), ledger.DeadFilter{IDs: []string{"x"}}); codeOf(err) != "unavailable HTTP502" {
			t.Error(err)
		}
	})
}

func TestCallsOfAPage(t *testing.T) {
	b := newBook(t)
	many := 2200 // more than a page of a rare combination looks at
	if testing.Short() {
		many = 300
	}
	b.create(t, deadRows(many, func(n int) string {
		if n == 5 {
			return "Rare"
		}
		return "Taken"
	})...)
	page := func(t *testing.T, f ledger.DeadFilter, limit int, cursor string) (ids []string, next string, calls int) {
		t.Helper()
		b.calls()
		rows, next, err := b.DeadLetters(t.Context(), f, limit, cursor)
		if err != nil {
			t.Fatal(err)
		}
		return idsOf(rows), next, len(b.calls())
	}
	t.Run("of fifty is two calls", func(t *testing.T) {
		if ids, next, calls := page(t, ledger.DeadFilter{}, 50, ""); len(ids) != 50 || next == "" || calls != 2 {
			t.Errorf("%d ids, next %q, %d calls", len(ids), next, calls)
		}
	})
	t.Run("of a rare combination is five calls at most, and short with a cursor", func(t *testing.T) {
		rare := ledger.DeadFilter{Caller: newRow(5).Caller, Kind: "conflict", SiteID: newRow(5).Request.SiteID, KeyPrefix: "nothing-has-this"}
		for _, f := range []ledger.DeadFilter{rare, {Kind: "nothing-has-this"}, {Origin: ledger.Trigger}} {
			_, next, calls := page(t, f, 100, "")
			if calls > 5 || next == "" && !testing.Short() && f.Caller == "" {
				t.Errorf("%+v: %d calls, next %q", f, calls, next)
			}
			for turns := 0; next != ""; turns++ {
				if _, next, calls = page(t, f, 100, next); calls > 5 || turns > 3 {
					t.Fatalf("%+v: %d calls in turn %d", f, calls, turns)
				}
			}
		}
		if got := dead(t, b.Ledger, ledger.DeadFilter{Kind: "conflict", Code: "Rare", Origin: ledger.Worker}, 100); !cmp.Equal(got, newestFirst(5)) {
			t.Errorf("found %v", got)
		}
	})
	t.Run("passes over index rows that do not count, in five calls at most", func(t *testing.T) {
		for _, done := range b.ChangeAll(t.Context(), newestFirst(upTo(many)[many-120:]...), func(r *ledger.Row) error { return r.Drop("olga", "", noon) }) {
			if done.Err != nil {
				t.Fatal(done.Err)
			}
		}
		var got []string
		for next := ""; ; {
			ids, following, calls := page(t, ledger.DeadFilter{}, 50, next)
			if got = append(got, ids...); calls > 5 {
				t.Errorf("%d calls", calls)
			}
			if next = following; next == "" || len(got) >= 50 {
				break
			}
		}
		if len(got) < 50 || got[0] != newRow(many-121).ID {
			t.Errorf("%d ids from %s on", len(got), got[0])
		}
	})
}
