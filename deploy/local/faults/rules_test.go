package faults_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/faults"
)

// broken is a fault that leaves the status as its mark.
func broken(status int) faults.Fault { return faults.Fault{Answer: faults.Empty, Status: status} }

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules []faults.Rule
		paths string
		want  []int
	}{
		{"hit one call", []faults.Rule{{Fault: broken(299)}}, "/Buy /Buy", []int{299, 200}},
		{"hit as many as they are told", []faults.Rule{{Times: 2, Fault: broken(299)}}, "/Buy /Buy /Buy", []int{299, 299, 200}},
		{"hit all, or every second for ever", []faults.Rule{{Action: "Sell", Times: -1, Fault: broken(299)}, {Every: 2, Times: -1, Fault: broken(299)}}, "/Sell /Sell /Buy /Buy /Buy", []int{299, 299, 299, 200, 299}},
		{
			"let calls pass that are to be skipped or do not match",
			[]faults.Rule{{Action: "Buy", Match: map[string]string{"colour": "red"}, Skip: 1, Fault: broken(299)}},
			"/Buy?colour=red /Buy?colour=blue /Sell?colour=red /Buy /Buy?colour=red /Buy?colour=red",
			[]int{200, 200, 200, 200, 299, 200},
		},
		{
			"hit the first of each so many calls",
			[]faults.Rule{{Action: "Buy", Skip: 1, Every: 3, Times: 2, Fault: broken(299)}},
			"/Buy /Buy /Buy /Sell /Buy /Buy /Buy /Buy /Buy",
			[]int{200, 299, 200, 200, 200, 299, 200, 200, 200},
		},
		{"are asked in the order they were added", []faults.Rule{{Fault: broken(291)}, {Fault: broken(292)}}, "/Buy /Buy /Buy", []int{291, 292, 200}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openShop(t)
			for _, rule := range c.rules {
				s.breaks(t, rule)
			}
			var got []int
			for path := range strings.FieldsSeq(c.paths) {
				got = append(got, s.buy(t, path).Status)
			}
			same(t, "statuses", got, c.want)
		})
	}

	t.Run("are listed while they can hit, and cleared", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Fault: broken(299)})
		s.breaks(t, faults.Rule{Action: "Buy", Times: 2, Fault: broken(299)})
		s.buy(t, "/Buy")
		s.buy(t, "/Buy")
		same(t, "rules", s.set.Rules(), []faults.Rule{{ID: "2", Action: "Buy", Times: 1, Fault: broken(299)}})
		s.set.Clear()
		same(t, "after Clear", s.buy(t, "/Buy"), ok())
	})

	t.Run("are refused if they could not be carried out", func(t *testing.T) {
		for _, bad := range []faults.Rule{
			{},
			{Fault: faults.Fault{Answer: "explode"}},
			{Fault: faults.Fault{Answer: faults.Error}},
			{Fault: faults.Fault{Answer: faults.Document}},
			{Fault: faults.Fault{Answer: faults.Empty, Body: "x"}},
			{Skip: -1, Fault: broken(299)},
			{Every: -1, Fault: broken(299)},
			{Times: -2, Fault: broken(299)},
			{Fault: faults.Fault{Answer: faults.Slow, DelayMillis: -1}},
			{Fault: faults.Fault{Answer: faults.Empty, Status: 100}},
			{Fault: faults.Fault{Answer: faults.Empty, Status: 600}},
			{Fault: faults.Fault{Answer: faults.Reset, After: "Sell", Execute: true}},
			{Fault: faults.Fault{Answer: faults.Slow, After: "Sell"}},
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
		s.buy(t, "/Buy?colour=red")
		s.buy(t, "/Buy?colour=red")
		same(t, "Count", s.set.Count("Buy"), 2)
		call := faults.Call{Action: "Buy", Params: map[string]string{"colour": "red"}}
		at := time.Unix(1700000000, 0).UTC()
		same(t, "Calls", s.set.Calls(), []faults.Record{{Call: call, At: at, Status: 400, Code: "Busy", Fault: faults.Error}, {Call: call, At: at, Status: 200}})
		s.set.Reset()
		same(t, "after Reset", []int{s.set.Count("Buy"), len(s.set.Calls())}, []int{0, 0})
	})

	t.Run("lists calls in the order in which they arrived, whichever is answered first", func(t *testing.T) {
		s := openShop(t)
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		call := func(action string, during func()) {
			s.set.Serve(httptest.NewRecorder(), r, faults.Call{Action: action}, time.Now, func(w http.ResponseWriter) {
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
		}
	})

	t.Run("keeps a bounded number of calls and every count", func(t *testing.T) {
		var set faults.Set
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		const calls = 20_500
		for range calls {
			set.Serve(httptest.NewRecorder(), r, faults.Call{Action: "Buy"}, time.Now, func(http.ResponseWriter) {}, refuse)
		}
		same(t, "calls kept, of which the older half goes at 20000", len(set.Calls()), calls-10_000)
		same(t, "Count", set.Count("Buy"), calls)
	})
}
