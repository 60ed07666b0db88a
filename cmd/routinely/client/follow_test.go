package client_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// book is a deployment's list of jobs, the latest first, of which some end with each round.
type book struct {
	ids []string
	// ended is how many of the oldest have ended.
	ended int
}

func newBook(count int) *book {
	b := &book{}
	for i := range count {
		b.ids = append(b.ids, fmt.Sprintf("job-%d", i))
	}
	slices.Reverse(b.ids)
	return b
}

func (b *book) job(id string) routine.Job {
	if at := slices.Index(b.ids, id); at >= 0 && at < len(b.ids)-b.ended {
		return job(id, routine.Queued)
	}
	return job(id, routine.Succeeded)
}

// serve answers pages of the list and single jobs.
func (b *book) serve(w http.ResponseWriter, r *http.Request) {
	if id, single := strings.CutPrefix(r.URL.Path, "/v1/jobs/"); single {
		says(http.StatusOK, b.job(id))(w, r)
		return
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	size, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	to := min(from+size, len(b.ids))
	page := api.JobList{}
	for _, id := range b.ids[from:to] {
		page.Jobs = append(page.Jobs, b.job(id))
	}
	if to < len(b.ids) {
		page.Next = strconv.Itoa(to)
	}
	says(http.StatusOK, page)(w, r)
}

// kinds counts the calls for pages and for single jobs.
func (f *far) kinds() (pages, singles int) {
	for _, r := range f.calls {
		if r.URL.Path == "/v1/jobs" {
			pages++
		} else {
			singles++
		}
	}
	return pages, singles
}

func TestWait(t *testing.T) {
	wait := func(t *testing.T, f *far, ids []string) (ended []string) {
		t.Helper()
		if err := f.Wait(t.Context(), ids, func(job routine.Job) { ended = append(ended, job.ID) }); err != nil {
			t.Fatal(err)
		}
		return ended
	}
	t.Run("lets accept wait for one job", func(t *testing.T) {
		f := play(t,
			says(http.StatusOK, job("j", routine.Queued), "Preference-Applied", "wait=20"), says(http.StatusOK, job("j", routine.Cancelled)))
		wait(t, f, []string{"j"})
		if len(f.calls) != 2 || f.calls[0].Header.Get("Prefer") != "wait=20" || len(f.pauses) != 0 {
			t.Errorf("%d calls, pauses %v", len(f.calls), f.pauses)
		}
	})
	t.Run("pauses itself when accept cannot wait, longer the longer it takes", func(t *testing.T) {
		answers := make([]http.HandlerFunc, 60)
		for i := range answers {
			answers[i] = says(http.StatusOK, job("j", routine.Queued))
		}
		f := play(t, append(answers, says(http.StatusOK, job("j", routine.Succeeded)))...)
		wait(t, f, []string{"j"})
		if f.pauses[0] != 200*time.Millisecond || !slices.IsSorted(f.pauses) || f.pauses[59] != 5*time.Second {
			t.Errorf("pauses %v", f.pauses)
		}
	})
	t.Run("reads many from the list, as far back as needed", func(t *testing.T) {
		b := newBook(1250) // the first 1000 are those of others
		b.ended = 1000
		f := play(t, func(w http.ResponseWriter, r *http.Request) {
			b.serve(w, r)
			b.ended += 60
		})
		ids := b.ids[:250]
		ended := wait(t, f, ids)
		slices.Sort(ended)
		if diff := cmp.Diff(slices.Sorted(slices.Values(ids)), ended); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if pages, singles := f.kinds(); pages > 8 || singles > 3 {
			t.Errorf("%d pages and %d single calls", pages, singles)
		}
	})
	t.Run("asks for those one by one that are not on the first pages", func(t *testing.T) {
		b := newBook(1000)
		b.ended = 1000
		f := play(t, b.serve)
		if ended := wait(t, f, b.ids[900:910]); len(ended) != 10 {
			t.Errorf("ended %v", ended)
		}
		if pages, singles := f.kinds(); pages != 2 || singles != 10 {
			t.Errorf("%d pages and %d single calls", pages, singles)
		}
	})
	t.Run("asks for few one by one", func(t *testing.T) {
		b := newBook(8)
		b.ended = 8
		f := play(t, b.serve)
		wait(t, f, b.ids)
		if pages, singles := f.kinds(); pages != 0 || singles != 8 {
			t.Errorf("%d pages and %d single calls", pages, singles)
		}
	})
	t.Run("ends when a job is not there", func(t *testing.T) {
		f := play(t, says(http.StatusNotFound, api.Problem{Code: "unknown-job"}))
		err := f.Wait(t.Context(), []string{"a", "b"}, func(routine.Job) {})
		if !fault.HasKind(err, fault.NotFound) {
			t.Errorf("%v", err)
		}
	})
}

func TestWatch(t *testing.T) {
	started := time.Unix(1, 0)
	f := play(t,
		says(http.StatusOK, job("j", routine.Queued)), says(http.StatusOK, job("j", routine.Queued)),
		says(http.StatusOK, routine.Job{ID: "j", State: routine.Queued, StartedAt: started}),
		says(http.StatusOK, routine.Job{ID: "j", State: routine.Queued, StartedAt: started, Attempt: 2}),
		says(http.StatusOK, job("j", routine.Succeeded)))
	var seen []string
	err := f.Watch(t.Context(), "j", func(job routine.Job) error {
		seen = append(seen, fmt.Sprint(job.State, job.Attempt, job.StartedAt.IsZero()))
		return nil
	})
	want := []string{"queued0 true", "queued0 false", "queued2 false", "succeeded0 true"}
	if diff := cmp.Diff(want, seen); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestLists(t *testing.T) {
	t.Run("of jobs go on to the limit, ask for no more, and tell where the rest begins", func(t *testing.T) {
		b := newBook(300)
		f := play(t, b.serve)
		var ids []string
		var seen []int
		window := client.Window{Limit: 130, Cursor: "100", Seen: func(count int) { seen = append(seen, count) }}
		jobs, next, err := f.Jobs(t.Context(), client.JobFilter{State: routine.Queued, Name: "n", Record: "r", Caller: "c"}, window)
		for _, job := range jobs {
			ids = append(ids, job.ID)
		}
		if diff := cmp.Diff(b.ids[100:230], ids); diff != "" || err != nil || next != "230" {
			t.Errorf("%v, next %q, -want +got:\n%s", err, next, diff)
		}
		want := []string{"caller=c&cursor=100&limit=100&name=n&record=r&state=queued", "caller=c&cursor=200&limit=30&name=n&record=r&state=queued"}
		if diff := cmp.Diff(want, []string{f.calls[0].URL.RawQuery, f.calls[1].URL.RawQuery}); diff != "" || len(f.calls) != 2 {
			t.Errorf("%d calls, -want +got:\n%s", len(f.calls), diff)
		}
		if diff := cmp.Diff([]int{100, 130}, seen); diff != "" {
			t.Errorf("seen, -want +got:\n%s", diff)
		}
	})
	t.Run("go on over pages that are short or empty", func(t *testing.T) {
		page := func(next string, jobs ...routine.Job) http.HandlerFunc {
			return says(http.StatusOK, api.JobList{Jobs: jobs, Next: next})
		}
		f := play(t, page("1"), page("2", job("a", routine.Queued)), page("", job("b", routine.Queued)))
		if jobs, next, err := f.Jobs(t.Context(), client.JobFilter{}, client.Window{}); len(jobs) != 2 || next != "" || err != nil {
			t.Errorf("%v, %q, %v", jobs, next, err)
		}
	})
	t.Run("of dead letters, and counts of them, name all that a filter holds", func(t *testing.T) {
		f := play(t,
			says(http.StatusOK, api.DeadLetterList{DeadLetters: []api.DeadLetter{{ID: "a"}}, Next: "x", Counts: &api.Counts{Total: 7, Complete: true}}),
			says(http.StatusOK, api.DeadLetterList{DeadLetters: []api.DeadLetter{{ID: "a"}}, Next: "x"}),
			says(http.StatusOK, api.DeadLetterList{DeadLetters: []api.DeadLetter{{ID: "b"}}}))
		q := client.DeadLetterQuery{Expiring: true, DeadLetterFilter: api.DeadLetterFilter{
			IDs: []string{"a", "b"}, Kind: "k", Code: "c", Step: "s", Origin: "o", Name: "n", RecordName: "r", SiteID: 9, Caller: "w", KeyPrefix: "p/",
			Since: time.Unix(1, 5).UTC(), Until: time.Unix(2, 0).UTC(),
		}}
		latest, found, err := f.CountDeadLetters(t.Context(), q)
		if err != nil || latest.ID != "a" || found.Total != 7 {
			t.Errorf("%+v, %+v, %v", latest, found, err)
		}
		if letters, next, err := f.DeadLetters(t.Context(), q, client.Window{Limit: 5}); err != nil || len(letters) != 2 || next != "" {
			t.Errorf("%+v, %q, %v", letters, next, err)
		}
		fixed := "caller=w&code=c&%sexpiring=true&id=a%%2Cb&keyPrefix=p%%2F&kind=k&limit=%d&name=n&origin=o&record=r&since=1970-01-01T00%%3A00%%3A01.000000005Z&siteId=9" +
			"&step=s&until=1970-01-01T00%%3A00%%3A02Z"
		want := []string{fmt.Sprintf(fixed, "counts=true&", 1), fmt.Sprintf(fixed, "", 5), fmt.Sprintf(fixed, "cursor=x&", 4)}
		if diff := cmp.Diff(want, []string{f.calls[0].URL.RawQuery, f.calls[1].URL.RawQuery, f.calls[2].URL.RawQuery}); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("of dead letters do not take a missing count for none", func(t *testing.T) {
		f := play(t, says(http.StatusOK, api.DeadLetterList{DeadLetters: []api.DeadLetter{{ID: "a"}}}))
		if _, _, err := f.CountDeadLetters(t.Context(), client.DeadLetterQuery{}); !fault.HasCode(err, "UnexpectedAnswer") {
			t.Errorf("%v", err)
		}
	})
}

func TestWorkingOff(t *testing.T) {
	t.Run("chooses what to drop by the address", func(t *testing.T) {
		f := play(t, says(http.StatusOK, api.WorkedOff{Count: 1}))
		done, err := f.Drop(t.Context(), api.Redrive{All: true, DryRun: true, Reason: "a b", Cursor: "c"})
		if err != nil || done.Count != 1 || f.calls[0].Method != http.MethodDelete || f.calls[0].RequestURI != "/v1/dead-letters?all=true&cursor=c&dryRun=true&reason=a+b" {
			t.Errorf("%+v, %s %s, %v", done, f.calls[0].Method, f.calls[0].RequestURI, err)
		}
	})
	t.Run("sends only what is wanted of a redrive", func(t *testing.T) {
		f := play(t, says(http.StatusOK, api.WorkedOff{Count: 1}))
		_, err := f.Redrive(t.Context(), api.Redrive{DeadLetterFilter: api.DeadLetterFilter{Code: "c"}, Cursor: "x"})
		if err != nil || f.calls[0].Method != http.MethodPost || f.calls[0].RequestURI != "/v1/dead-letters:redrive" || f.bodies[0] != `{"code":"c","cursor":"x"}` {
			t.Errorf("%s %s, %v", f.calls[0].RequestURI, f.bodies[0], err)
		}
	})
	t.Run("sends only the members that are to be another", func(t *testing.T) {
		f := play(t, says(http.StatusOK, api.WorkedOff{Count: 1}))
		_, err := f.Correct(t.Context(), "a/b", api.Correction{Request: json.RawMessage(`{"siteId":"1"}`)})
		if err != nil || f.calls[0].RequestURI != "/v1/dead-letters/a%2Fb:redrive" || f.bodies[0] != `{"request":{"siteId":"1"}}` {
			t.Errorf("%s %s, %v", f.calls[0].RequestURI, f.bodies[0], err)
		}
	})
}
