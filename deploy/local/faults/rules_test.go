package faults_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
)

func TestRules(t *testing.T) {
	lost := faults.Fault{Answer: faults.Empty, Status: 299}
	statuses := func(t *testing.T, s *shop, paths ...string) []int {
		t.Helper()
		var got []int
		for _, path := range paths {
			a, err := s.buy(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, a.Status)
		}
		return got
	}

	t.Run("hits one call unless told how many", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Fault: lost})
		if diff := cmp.Diff([]int{299, 200}, statuses(t, s, "/Buy", "/Buy")); diff != "" {
			t.Errorf("once (-want +got):\n%s", diff)
		}
		s.breaks(t, faults.Rule{Times: 2, Fault: lost})
		if diff := cmp.Diff([]int{299, 299, 200}, statuses(t, s, "/Buy", "/Buy", "/Buy")); diff != "" {
			t.Errorf("twice (-want +got):\n%s", diff)
		}
		s.breaks(t, faults.Rule{Times: -1, Fault: lost})
		if diff := cmp.Diff([]int{299, 299, 299}, statuses(t, s, "/Buy", "/Buy", "/Buy")); diff != "" {
			t.Errorf("for ever (-want +got):\n%s", diff)
		}
	})

	t.Run("lets calls pass that are to be skipped or do not match", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Action: "Buy", Match: map[string]string{"colour": "red"}, Skip: 1, Fault: lost})
		got := statuses(t, s, "/Buy?colour=red", "/Buy?colour=blue", "/Sell?colour=red", "/Buy", "/Buy?colour=red", "/Buy?colour=red")
		if diff := cmp.Diff([]int{200, 200, 200, 200, 299, 200}, got); diff != "" {
			t.Errorf("statuses (-want +got):\n%s", diff)
		}
	})

	t.Run("hits the first of each so many calls", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Action: "Buy", Skip: 1, Every: 3, Times: 2, Fault: lost})
		got := statuses(t, s, "/Buy", "/Buy", "/Buy", "/Sell", "/Buy", "/Buy", "/Buy", "/Buy", "/Buy")
		if diff := cmp.Diff([]int{200, 299, 200, 200, 200, 299, 200, 200, 200}, got); diff != "" {
			t.Errorf("twice (-want +got):\n%s", diff)
		}
		s.breaks(t, faults.Rule{Every: 2, Times: -1, Fault: lost})
		if diff := cmp.Diff([]int{299, 200, 299, 200, 299}, statuses(t, s, "/Buy", "/Buy", "/Buy", "/Buy", "/Buy")); diff != "" {
			t.Errorf("for ever (-want +got):\n%s", diff)
		}
	})

	t.Run("asks the rules in the order they were added", func(t *testing.T) {
		s := openShop(t)
		for _, status := range []int{291, 292} {
			s.breaks(t, faults.Rule{Fault: faults.Fault{Answer: faults.Empty, Status: status}})
		}
		if diff := cmp.Diff([]int{291, 292, 200}, statuses(t, s, "/Buy", "/Buy", "/Buy")); diff != "" {
			t.Errorf("statuses (-want +got):\n%s", diff)
		}
	})

	t.Run("lists the rules left and clears them", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Fault: lost})
		s.breaks(t, faults.Rule{Action: "Buy", Times: 2, Fault: lost})
		statuses(t, s, "/Buy", "/Buy")
		want := []faults.Rule{{ID: "2", Action: "Buy", Times: 1, Fault: lost}}
		if diff := cmp.Diff(want, s.set.Rules()); diff != "" {
			t.Errorf("rules (-want +got):\n%s", diff)
		}
		s.set.Clear()
		if diff := cmp.Diff([]int{200}, statuses(t, s, "/Buy")); diff != "" || len(s.set.Rules()) != 0 {
			t.Errorf("after Clear: %d rules, statuses (-want +got):\n%s", len(s.set.Rules()), diff)
		}
	})

	t.Run("does not share maps with those who set and read rules", func(t *testing.T) {
		s := openShop(t)
		mine := faults.Rule{Match: map[string]string{"colour": "red"}, Fault: lost}
		s.breaks(t, mine)
		mine.Match["colour"] = "blue"
		s.set.Rules()[0].Match["colour"] = "green"
		if diff := cmp.Diff([]int{200, 200, 299}, statuses(t, s, "/Buy?colour=blue", "/Buy?colour=green", "/Buy?colour=red")); diff != "" {
			t.Errorf("statuses (-want +got):\n%s", diff)
		}
	})

	t.Run("refuses what it could not carry out", func(t *testing.T) {
		for _, bad := range []faults.Rule{
			{},
			{Fault: faults.Fault{Answer: "explode"}},
			{Fault: faults.Fault{Answer: faults.Error}},
			{Fault: faults.Fault{Answer: faults.Document}},
			{Fault: faults.Fault{Answer: faults.Empty, Body: "x"}},
			{Skip: -1, Fault: lost},
			{Every: -1, Fault: lost},
			{Times: -2, Fault: lost},
			{Fault: faults.Fault{Answer: faults.Slow, DelayMillis: -1}},
			{Fault: faults.Fault{Answer: faults.Empty, Status: 100}},
			{Fault: faults.Fault{Answer: faults.Empty, Status: 600}},
		} {
			var set faults.Set
			if id, err := set.Add(bad); err == nil || len(set.Rules()) != 0 {
				t.Errorf("Add(%+v) = %q, want an error", bad, id)
			}
		}
	})
}

func TestCalls(t *testing.T) {
	t.Run("counts and lists every call until it is told to forget", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Fault: faults.Fault{Answer: faults.Error, Code: "Busy"}})
		for range 2 {
			if _, err := s.buy(t.Context(), "/Buy?colour=red"); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.set.Count("Buy"); got != 2 {
			t.Errorf("Count: %d, want 2", got)
		}
		call := faults.Call{Action: "Buy", Params: map[string]string{"colour": "red"}}
		at := time.Unix(1700000000, 0).UTC()
		want := []faults.Record{{Call: call, At: at, Status: 400, Code: "Busy", Fault: faults.Error}, {Call: call, At: at, Status: 200}}
		if diff := cmp.Diff(want, s.set.Calls()); diff != "" {
			t.Errorf("Calls (-want +got):\n%s", diff)
		}
		s.set.Reset()
		if got := s.set.Count("Buy"); got != 0 || len(s.set.Calls()) != 0 {
			t.Errorf("after Reset: count %d, %d calls, want none", got, len(s.set.Calls()))
		}
	})

	t.Run("lists calls in the order in which they arrived, whichever is answered first", func(t *testing.T) {
		s := openShop(t)
		at := time.Unix(0, 0)
		now := func() time.Time {
			at = at.Add(time.Second)
			return at
		}
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		call := func(action string, during func()) {
			s.set.Serve(httptest.NewRecorder(), r, faults.Call{Action: action}, now, func(w http.ResponseWriter) {
				during()
				w.WriteHeader(http.StatusOK)
			}, refuse)
		}
		call("First", func() {
			call("Second", func() { call("Third", func() {}) })
			call("Fourth", func() {})
		})
		call("Fifth", func() {})
		s.wantLog(t, record("First", 200, "", ""), record("Second", 200, "", ""), record("Third", 200, "", ""), record("Fourth", 200, "", ""), record("Fifth", 200, "", ""))
		for i, r := range s.set.Calls() {
			if want := time.Unix(int64(i+1), 0); !r.At.Equal(want) {
				t.Errorf("call %d arrived at %v, want %v", i+1, r.At, want)
			}
		}
	})
	t.Run("lists a call before its answer is on the way", func(t *testing.T) {
		for name, begin := range map[string]func(http.ResponseWriter){
			"by its status": func(w http.ResponseWriter) { refuse(w, http.StatusConflict, "SoldOut", "nothing left") },
			"by its body":   func(w http.ResponseWriter) { fmt.Fprint(w, realAnswer) },
		} {
			var set faults.Set
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			set.Serve(httptest.NewRecorder(), r, faults.Call{Action: "Buy"}, time.Now, func(w http.ResponseWriter) {
				begin(w)
				if got := set.Calls(); len(got) != 1 || got[0].Status == 0 || (got[0].Status == http.StatusConflict) != (got[0].Code == "SoldOut") {
					t.Errorf("%s: the log holds %+v while the answer is written", name, got)
				}
			}, refuse)
			if got := set.Calls(); len(got) != 1 {
				t.Errorf("%s: in the end the log holds %+v", name, got)
			}
		}
	})

	t.Run("keeps a bounded number of calls and every count", func(t *testing.T) {
		var set faults.Set
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		const calls = 20_500
		for range calls {
			set.Serve(httptest.NewRecorder(), r, faults.Call{Action: "Buy"}, time.Now, func(http.ResponseWriter) {}, refuse)
		}
		if got := len(set.Calls()); got != calls-10_000 {
			t.Errorf("%d calls kept, want %d: the older half goes at 20000", got, calls-10_000)
		}
		if got := set.Count("Buy"); got != calls {
			t.Errorf("Count: %d, want %d", got, calls)
		}
	})
}
