package matrix

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// Call is a call of an undisturbed run.
type Call struct {
	// Seam and Action name it.
	Seam, Action string
	// Nth counts the calls of the same action before it, At those of the same seam.
	Nth, At int
}

// String names the call.
func (c Call) String() string {
	if c.Nth == 0 {
		return c.Action
	}
	return fmt.Sprintf("%s (%d.)", c.Action, c.Nth+1)
}

// Cell is a call that is broken in one way. Its zero value breaks nothing.
type Cell struct {
	Call Call
	Kind Kind
	// Forever means that the calls of the action that follow are broken as well.
	Forever bool
}

// Cells breaks each call of a flow once in each way, and of each action all calls. Calls up to which the flow is one that
// there were cells for before are left out: tried remembers them.
func Cells(calls []Call, tried map[string]bool) []Cell {
	var out []Cell
	way := ""
	for _, call := range calls {
		if way += call.Seam + " " + call.Action + "\n"; tried[way] {
			continue
		}
		tried[way] = true
		for _, kind := range Kinds() {
			if kind.effect && call.reads() {
				continue // the same as without the effect
			}
			out = append(out, Cell{Call: call, Kind: kind})
			if call.Nth == 0 {
				out = append(out, Cell{Call: call, Kind: kind, Forever: true})
			}
		}
	}
	return out
}

// reads reports whether the call has no effect. A receive has: the lease.
func (c Call) reads() bool {
	return strings.HasPrefix(c.Action, "Get") || strings.HasPrefix(c.Action, "List") || c.Action == "BatchGetRow"
}

func (c Cell) often() string {
	if c.Forever {
		return "for ever"
	}
	return "once"
}

// Row is what a trial shows.
type Row struct {
	// Saw is what the caller saw, Fate what became of the job.
	Saw, Fate string
}

// Try tries a flow on a stand with the cell's call broken.
type Try func(t *testing.T, s *Stand, c Cell) Row

// How many trials run at a time: of those that compute as many as keep the machine busy, of those that wait all there are
// stands for.
const (
	stands  = 8
	workers = 3
)

// Matrix is a number of stands.
type Matrix struct {
	free chan *Stand
}

// New starts the stands. table is the name of the ledger's table.
func New(t *testing.T, table string) *Matrix {
	t.Helper()
	m := &Matrix{free: make(chan *Stand, stands)}
	for range stands {
		m.free <- newStand(t, table)
	}
	return m
}

// Once tries a flow on any stand.
func (m *Matrix) Once(t *testing.T, try func(*Stand)) {
	t.Helper()
	s := <-m.free
	defer func() { m.free <- s }()
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	try(s)
}

// Run tries a flow for each cell and logs the table of what it showed. A trial whose call was never made fails.
func (m *Matrix) Run(t *testing.T, cells []Cell, try Try) {
	t.Helper()
	rows, places := make([]Row, len(cells)), map[string]int{}
	var mu sync.Mutex
	one := func(i int) {
		c := cells[i]
		t.Run(fmt.Sprintf("%s %s, %s, %s", c.Call.Seam, c.Call, c.Kind.Name, c.often()), func(t *testing.T) {
			mu.Lock()
			places[t.Name()] = i
			mu.Unlock()
			m.Once(t, func(s *Stand) {
				defer func() {
					if t.Failed() {
						rows[i].Fate += "  <-- FAILED"
					}
				}()
				rows[i] = try(t, s, c)
				if err := s.seam(c).hit(c); err != nil {
					t.Error(err)
				}
			})
		})
	}
	inParallel(len(cells), workers, func(i int) bool { return !cells[i].Kind.Waits }, one)
	inParallel(len(cells), stands, func(i int) bool { return cells[i].Kind.Waits }, one)
	for name, what := range m.wrong(t) {
		if i, found := places[name]; found {
			rows[i].Fate += "  <-- FAILED"
		}
		t.Errorf("%s: %s", name, what)
	}
	t.Log(table(cells, rows))
}

// wrong is what is wrong in ESA after the trials so far, by their names.
func (m *Matrix) wrong(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for range stands {
		s := <-m.free
		wrong, err := s.check()
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(out, wrong)
		m.free <- s
	}
	return out
}

// Check fails for what is wrong in ESA after trials that Run did not make.
func (m *Matrix) Check(t *testing.T) {
	t.Helper()
	for name, what := range m.wrong(t) {
		t.Errorf("%s: %s", name, what)
	}
}

// inParallel does n things, those that are chosen, so many at a time.
func inParallel(n, width int, chosen func(int) bool, do func(int)) {
	next := make(chan int)
	var running sync.WaitGroup
	for range width {
		running.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		if chosen(i) {
			next <- i
		}
	}
	close(next)
	running.Wait()
}

func table(cells []Cell, rows []Row) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "\nseam\tcall\tfault\t\tthe caller saw\tfate of the job\n")
	for i, c := range cells {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Call.Seam, c.Call, c.Kind.Name, c.often(), rows[i].Saw, rows[i].Fate)
	}
	_ = w.Flush()
	return out.String()
}
