package matrix_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/faults/matrix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask makes a call of MNS as the instance does: its credentials are asked for, which here are of no further use.
func ask(i *matrix.Instance, s *matrix.Seam) error {
	i.Credentials(s)()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(s.URL + "/queues/jobs/messages")
	if err != nil {
		return err
	}
	return res.Body.Close()
}

func TestStand(t *testing.T) {
	m := matrix.New(t, "rows")
	t.Run("refuses the call that a cell names, until the invocation is over", func(t *testing.T) {
		m.Once(t, func(s *matrix.Stand) {
			c := matrix.Cell{Call: matrix.Call{Seam: "MNS", Action: "ReceiveMessage", Nth: 1, At: 1}, Kind: matrix.Kinds()[0]}
			s.Break(t, c)
			i := s.Instance(-1)
			for n, refused := range []bool{false, true, true} {
				if err := ask(i, s.MNS); errors.Is(err, syscall.ECONNREFUSED) != refused {
					t.Errorf("call %d: %v, want refused %t", n, err, refused)
				}
			}
			s.Over(t, c)
			if err := ask(i, s.MNS); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("tells the calls in their order", func(t *testing.T) {
		m.Once(t, func(s *matrix.Stand) {
			i := s.Instance(-1)
			for range 2 {
				if err := ask(i, s.MNS); err != nil {
					t.Fatal(err)
				}
			}
			want := []matrix.Call{{Seam: "MNS", Action: "ReceiveMessage"}, {Seam: "MNS", Action: "ReceiveMessage", Nth: 1, At: 1}}
			if diff := cmp.Diff(want, s.Calls(t)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	})
	t.Run("kills an instance before its call", func(t *testing.T) {
		signs := ""
		m.Once(t, func(s *matrix.Stand) {
			i := s.Instance(1)
			if err := ask(i, s.MNS); err != nil {
				t.Fatal(err)
			}
			s.Go(func() { signs, _, _ = i.Credentials(s.MNS)() })
			<-i.Died()
			if got := len(s.Calls(t)); got != 1 {
				t.Errorf("%d calls, want that before its death", got)
			}
		})
		if signs != "nobody" {
			t.Errorf("signs as %q after its death", signs)
		}
	})
}

func TestCells(t *testing.T) {
	calls := []matrix.Call{
		{Seam: "ESA", Action: "GetRoutine"}, {Seam: "ESA", Action: "CreateRoutine", At: 1}, {Seam: "ESA", Action: "CreateRoutine", Nth: 1, At: 2},
	}
	longer := append(slices.Clip(calls), matrix.Call{Seam: "ESA", Action: "ListRoutines", At: 3})
	ways, added, left := map[string]int{"GetRoutine": 20, "CreateRoutine": 26, "CreateRoutine (2.)": 13}, map[string]int{"ListRoutines": 20}, map[string]int{}
	if testing.Short() {
		ways, added = map[string]int{"GetRoutine": 1, "CreateRoutine": 1, "CreateRoutine (2.)": 1}, map[string]int{"ListRoutines": 1}
		left = map[string]int{"GetRoutine": 8, "CreateRoutine": 2} // the first has no effect
	}
	tried := matrix.Tried{}
	count := func(cells []matrix.Cell) map[string]int {
		out := map[string]int{}
		for _, c := range cells {
			out[c.Call.String()]++
		}
		return out
	}
	t.Run("leave out the effect that a reading call does not have", func(t *testing.T) {
		cells := matrix.Cells("", calls, tried)
		if diff := cmp.Diff(ways, count(cells)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		for _, c := range cells {
			if strings.HasSuffix(c.Kind.Name, "after effect") && c.Call.Action == "GetRoutine" {
				t.Errorf("got %s of %s", c.Kind.Name, c.Call)
			}
		}
	})
	t.Run("break each service in every way, with those that are left", func(t *testing.T) {
		if diff := cmp.Diff(left, count(matrix.Left(calls, tried))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		tried.Complete(t, "ESA")
		if again := matrix.Left(calls, tried); len(again) > 0 {
			t.Errorf("still left: %v", count(again))
		}
	})
	t.Run("leave out the way that was tried", func(t *testing.T) {
		if diff := cmp.Diff(added, count(matrix.Cells("", longer, tried))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}
