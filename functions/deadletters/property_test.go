package deadletters_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/queue"
	"routinely/shared/api"
)

// shown is a letter in a list.
type shown struct {
	JobID  string
	DeadAt time.Time
}

func TestListProperties(t *testing.T) {
	s := newStage(t)
	t.Run("shows each letter once, the latest first, whatever the pages and however often it was sent", rapid.MakeCheck(func(r *rapid.T) {
		if rapid.IntRange(0, 9).Draw(r, "a few are enough") < 9 { // a server takes milliseconds
			return
		}
		latest := map[string]shown{} // by the letter's id
		var bodies []string
		for range rapid.IntRange(0, 8).Draw(r, "messages") {
			l := deadLetter(rapid.IntRange(0, 4).Draw(r, "job"))
			l.DeadAt = dead.Add(time.Duration(rapid.IntRange(-3, 3).Draw(r, "dead")) * time.Millisecond)
			body := encode(t, l)[0]
			bodies = append(bodies, body)
			id := queue.ReadLetter(queue.Message{ID: "D", Body: body}).ID
			if old, sent := latest[id]; !sent || l.DeadAt.After(old.DeadAt) {
				latest[id] = shown{l.JobID, l.DeadAt}
			}
		}
		s.put(t, bodies...)
		want := []shown{}
		for _, id := range slices.SortedFunc(maps.Keys(latest), func(a, b string) int {
			return cmp.Or(latest[b].DeadAt.Compare(latest[a].DeadAt), strings.Compare(a, b))
		}) {
			want = append(want, latest[id])
		}
		got := []shown{}
		for cursor := ""; ; {
			page := s.list(t, api.DeadLetterFilter{}, rapid.IntRange(1, 3).Draw(r, "limit"), cursor)
			for _, l := range page.DeadLetters {
				got = append(got, shown{l.JobID, l.DeadAt})
			}
			if page.Total != len(latest) || !page.Complete {
				r.Fatalf("%d in all, complete %t, want %d", page.Total, page.Complete, len(latest))
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			r.Fatalf("-want +got:\n%s", diff)
		}
		if _, err := s.Delete(s.ctx(t), api.DeadLetterFilter{}, true, false, "ops", ""); err != nil {
			r.Fatal(err)
		}
	}))
}
