package deadletters_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/functions/deadletters"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// noise is a body that just needs two messages.
func noise() []byte {
	out := make([]byte, 31_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(out)
	return out
}

func newest(n int) []string {
	out := make([]string, 0, n)
	for i := range n {
		out = append(out, jobID(n-1-i))
	}
	return out
}

func TestList(t *testing.T) {
	t.Run("is empty when the queue is", func(t *testing.T) {
		got := newStage(t).list(t, api.DeadLetterFilter{}, 50, "")
		want := api.DeadLetterList{DeadLetters: []api.DeadLetter{}, Codes: []api.CodeCount{}, Complete: true}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("shows the latest first, briefly, and counts all", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 20, func(i int, l *queue.DeadLetter) {
			if i%4 == 0 {
				l.Kind, l.Code = "invalid", "InvalidRequest"
			}
		})
		got := s.list(t, api.DeadLetterFilter{}, 10, "")
		if diff := cmp.Diff(newest(20)[:10], jobIDs(got.DeadLetters)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		wantCodes := []api.CodeCount{{Kind: "operator", Code: "ServiceNotOpen", Count: 15}, {Kind: "invalid", Code: "InvalidRequest", Count: 5}}
		if diff := cmp.Diff(wantCodes, got.Codes); diff != "" || got.Total != 20 || !got.Complete || got.Next == "" {
			t.Errorf("total %d, complete %t, codes -want +got:\n%s", got.Total, got.Complete, diff)
		}
		first := got.DeadLetters[0]
		d := deadLetter(19)
		want := api.DeadLetter{
			ID: first.ID, Origin: api.Worker, JobID: d.JobID, Kind: d.Kind, Code: d.Code, Message: d.Message, RequestID: "R1",
			Step: d.Step, Hint: d.Hint, Reason: d.Reason, DeadAt: d.DeadAt, Caller: "ci", AcceptedAt: dead, Attempt: 2, Request: d.Request,
		}
		if diff := cmp.Diff(want, first); diff != "" || first.ID == "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("gives back at once what it has looked at", func(t *testing.T) {
		s := newStage(t)
		s.die(t, crowd())
		s.list(t, api.DeadLetterFilter{}, 10, "")
		if n := s.letters(t); n != crowd() {
			t.Errorf("%d letters are visible", n)
		}
	})
	t.Run("pages through everything exactly once", func(t *testing.T) {
		s := newStage(t)
		want := mixed(t, s, crowd()*3/10)
		for _, limit := range []int{crowd() / 8, 1000} {
			var got []string
			for cursor, page := "", 1; page == 1 || cursor != ""; page++ {
				list := s.list(t, api.DeadLetterFilter{}, limit, cursor)
				if list.Total != len(want) || len(list.DeadLetters) > limit || page > len(want)+1 {
					t.Fatalf("page %d has %d of %d, want %d", page, len(list.DeadLetters), list.Total, len(want))
				}
				for _, l := range list.DeadLetters {
					got = append(got, l.DeadAt.UTC().Format(time.TimeOnly)+" "+l.JobID)
				}
				cursor = list.Next
			}
			if !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(b[:8], a[:8]) }) {
				t.Errorf("limit %d: not in order: %q", limit, got)
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("limit %d -want +got:\n%s", limit, diff)
			}
		}
	})
	several := newStage(t)
	several.die(t, 6, func(i int, l *queue.DeadLetter) {
		switch i {
		case 0:
			l.Request.SiteID = 8
		case 1:
			l.Step = routine.CreateRoutineRelatedRecord
		case 2:
			l.Kind = "conflict"
		case 3:
			l.Caller = "cron"
		case 4:
			l.Code = "Odd"
		}
	})
	several.put(t, "rubbish")
	for name, test := range map[string]struct {
		filter api.DeadLetterFilter
		want   []string
	}{
		"job":        {api.DeadLetterFilter{JobID: jobID(3)}, []string{jobID(3)}},
		"kind":       {api.DeadLetterFilter{Kind: "conflict"}, []string{jobID(2)}},
		"code":       {api.DeadLetterFilter{Code: "Odd"}, []string{jobID(4)}},
		"step":       {api.DeadLetterFilter{Step: routine.CreateRoutineRelatedRecord}, []string{jobID(1)}},
		"worker":     {api.DeadLetterFilter{Origin: api.Worker}, newest(6)},
		"trigger":    {api.DeadLetterFilter{Origin: api.Trigger}, []string{""}},
		"name":       {api.DeadLetterFilter{Name: "pr-5"}, []string{jobID(5)}},
		"record":     {api.DeadLetterFilter{RecordName: "pr-5.example.com"}, []string{jobID(5)}},
		"site":       {api.DeadLetterFilter{SiteID: 8}, []string{jobID(0)}},
		"caller":     {api.DeadLetterFilter{Caller: "cron"}, []string{jobID(3)}},
		"several":    {api.DeadLetterFilter{Caller: "cron", JobID: jobID(3)}, []string{jobID(3)}},
		"that clash": {api.DeadLetterFilter{Caller: "cron", JobID: jobID(2)}, []string{}},
	} {
		t.Run("filters by "+name, func(t *testing.T) {
			got := several.list(t, test.filter, 50, "")
			if diff := cmp.Diff(test.want, jobIDs(got.DeadLetters)); diff != "" || got.Total != len(test.want) {
				t.Errorf("total %d -want +got:\n%s", got.Total, diff)
			}
		})
	}
	t.Run("filters by ids", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 5)
		every := s.list(t, api.DeadLetterFilter{}, 50, "").DeadLetters
		got := s.list(t, api.DeadLetterFilter{IDs: []string{every[1].ID, every[3].ID, "other"}}, 50, "")
		if diff := cmp.Diff([]string{jobID(3), jobID(1)}, jobIDs(got.DeadLetters)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("counts a letter that was sent twice once, by its latest copy", func(t *testing.T) {
		s := newStage(t)
		for _, order := range [][]int{{1, 3, 2}, {3, 1, 2}} {
			for _, minute := range order {
				s.die(t, 2, func(i int, l *queue.DeadLetter) {
					l.DeadAt = dead.Add(time.Duration(minute*(1+i)) * time.Minute)
					l.Code = fmt.Sprint("Code", minute)
				})
			}
		}
		got := s.list(t, api.DeadLetterFilter{}, 50, "")
		if diff := cmp.Diff([]api.CodeCount{{Kind: "operator", Code: "Code3", Count: 2}}, got.Codes); diff != "" || got.Total != 2 || len(got.DeadLetters) != 2 {
			t.Errorf("total %d, %d letters, codes -want +got:\n%s", got.Total, len(got.DeadLetters), diff)
		}
		if older := s.list(t, api.DeadLetterFilter{Code: "Code1"}, 50, ""); older.Total != 0 || len(older.DeadLetters) != 0 {
			t.Errorf("an older copy fits: %+v", older)
		}
	})
	t.Run("does not skip a letter that had to make room for others which then moved off the page", func(t *testing.T) {
		s := newStage(t)
		cursor := base64.RawURLEncoding.EncodeToString([]byte(dead.Add(time.Hour).Format(time.RFC3339Nano) + " x"))
		died := func(i int, at time.Duration) string {
			l := deadLetter(i)
			l.DeadAt = dead.Add(at)
			return encode(t, l)[0]
		}
		var older, newer []string
		for i := range 101 { // as many as a page of one keeps
			older, newer = append(older, died(i, time.Minute)), append(newer, died(i, 2*time.Hour))
		}
		between := slices.Repeat([]string{died(200, 3*time.Hour)}, queue.SweepBatch) // parallel receives shuffle what is nearer together
		s.put(t, slices.Concat(older, []string{died(101, -time.Hour)}, between, newer, between, []string{died(102, -2*time.Hour)})...)
		got := s.list(t, api.DeadLetterFilter{}, 1, cursor)
		if len(got.DeadLetters) > 0 && got.DeadLetters[0].JobID != jobID(101) || got.Next == "" {
			t.Errorf("got %q, next %q", jobIDs(got.DeadLetters), got.Next)
		}
	})
	t.Run("says of which letters not all can be seen", func(t *testing.T) {
		s := newStage(t)
		for i := range 2 {
			s.put(t, inParts(t, deadLetter(i))[i:]...) // of the second the first part is missing
		}
		got := s.list(t, api.DeadLetterFilter{}, 50, "")
		if got.Total != 2 || !got.DeadLetters[0].Incomplete || got.DeadLetters[1].Incomplete {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("says when the time was over before the end", func(t *testing.T) {
		var s *stage
		s = newStage(t, func(c *deadletters.Config) {
			c.Now = func() time.Time { s.clock.Advance(3 * time.Second); return s.clock.Now() }
		})
		s.die(t, 60)
		got, err := s.List(t.Context(), api.DeadLetterFilter{}, 50, "")
		if err != nil || got.Complete || got.Total == 0 || got.Total == 60 {
			t.Fatalf("complete %t, %d letters, %v", got.Complete, got.Total, err)
		}
		if n := s.letters(t); n != 60 {
			t.Errorf("%d letters are visible", n)
		}
	})
	t.Run("ends when the caller is gone, and gives back", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 3)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := s.List(ctx, api.DeadLetterFilter{}, 50, ""); err != nil || got.Complete {
			t.Errorf("complete %t, %v", got.Complete, err)
		}
		if n := s.letters(t); n != 3 {
			t.Errorf("%d letters are visible", n)
		}
	})
	t.Run("passes on that MNS failed", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 3)
		s.breaks(t, "BatchReceiveMessage", 1, faults.Fault{Answer: faults.HTML})
		if _, err := s.List(t.Context(), api.DeadLetterFilter{}, 50, ""); !fault.HasKind(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	})
	s := newStage(t)
	for name, test := range map[string]struct {
		filter api.DeadLetterFilter
		limit  int
		cursor string
		code   string
	}{
		"an unknown kind":            {api.DeadLetterFilter{Kind: "sad"}, 50, "", "InvalidFilter"},
		"an unknown origin":          {api.DeadLetterFilter{Origin: "space"}, 50, "", "InvalidFilter"},
		"a negative site":            {api.DeadLetterFilter{SiteID: -1}, 50, "", "InvalidFilter"},
		"an empty id":                {api.DeadLetterFilter{IDs: []string{""}}, 50, "", "InvalidFilter"},
		"too many ids":               {api.DeadLetterFilter{IDs: make([]string, api.MaxIDs+1)}, 50, "", "InvalidFilter"},
		"no limit":                   {api.DeadLetterFilter{}, 0, "", "InvalidLimit"},
		"a limit above the highest":  {api.DeadLetterFilter{}, 1001, "", "InvalidLimit"},
		"a cursor that is not ours":  {api.DeadLetterFilter{}, 50, "x y", "InvalidCursor"},
		"a cursor without an id":     {api.DeadLetterFilter{}, 50, base64.RawURLEncoding.EncodeToString([]byte("2026-01-15T06:00:00Z")), "InvalidCursor"},
		"a cursor of another format": {api.DeadLetterFilter{}, 50, base64.RawURLEncoding.EncodeToString([]byte("now id")), "InvalidCursor"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if _, err := s.List(t.Context(), test.filter, test.limit, test.cursor); !fault.HasCode(err, test.code) || !fault.HasKind(err, fault.Invalid) {
				t.Errorf("got %v", err)
			}
			if n := s.server.Faults().Count("BatchReceiveMessage"); n != 0 {
				t.Errorf("%d receives", n)
			}
		})
	}
}

// mixed fills the queue with letters of all sorts and returns their times and jobs, sorted: single ones, several of the same
// time, two in parts, copies that say the same and copies that say that the job died later.
func mixed(t *testing.T, s *stage, n int) []string {
	t.Helper()
	last := map[string]time.Time{}
	var bodies []string
	for i := range n {
		l := deadLetter(i)
		l.DeadAt = dead.Add(time.Duration(i/3) * time.Minute)
		written := encode
		if i%(n/2) == 0 {
			written = inParts
		}
		copies := written(t, l)
		bodies = append(bodies, copies...)
		if i%5 == 0 {
			bodies = append(bodies, copies...)
		}
		if i%7 == 0 {
			l.DeadAt = l.DeadAt.Add(5 * time.Minute)
			bodies = append(bodies, written(t, l)...)
		}
		last[l.JobID] = l.DeadAt
	}
	random := rand.New(rand.NewChaCha8([32]byte{3}))
	random.Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
	s.put(t, bodies...)
	var out []string
	for id, at := range last {
		out = append(out, at.Format(time.TimeOnly)+" "+id)
	}
	slices.Sort(out)
	return out
}
