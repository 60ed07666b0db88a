package matrix

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
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

// Expect fails if the wanted calls, such as "MNS SendMessage", are not among those made, in this order: a matrix must not shrink
// unnoticed. There may be others between them.
func Expect(t *testing.T, made []Call, want ...string) {
	t.Helper()
	var names []string
	left := want
	for _, c := range made {
		name := c.Seam + " " + c.Action
		if names = append(names, name); len(left) > 0 && left[0] == name {
			left = left[1:]
		}
	}
	if len(left) > 0 {
		t.Errorf("made the calls %q, want at least %q in this order", names, want)
	}
}

// Cell is a call that is broken in one way. Its zero value breaks nothing.
type Cell struct {
	Call Call
	Kind Kind
	// Forever means that the calls of the action that follow are broken as well.
	Forever bool
}

// Tried counts what there were cells for. An empty one is ready to use.
type Tried map[string]int

// first reports whether it is new, and counts it.
func (t Tried) first(what string) bool {
	t[what]++
	return t[what] == 1
}

// Complete fails if there is a way in which no call of one of the services was broken.
func (t Tried) Complete(test *testing.T, services ...string) {
	test.Helper()
	for _, service := range services {
		for _, kind := range Kinds() {
			if t[service+" "+kind.Name] == 0 {
				test.Errorf("%s: there was no %s", service, kind.Name)
			}
		}
	}
}

// Fresh tells of each call of a flow whether the way up to it is new within the group. In short tests the way is no more than the call
// before.
func Fresh(group string, calls []Call, tried Tried) []bool {
	out := make([]bool, len(calls))
	var way, step string
	for i, call := range calls {
		if testing.Short() {
			way = step
		}
		step = "\n" + call.Seam + " " + call.Action
		way += step
		out[i] = tried.first(group + way)
	}
	return out
}

// Cells breaks each call of a flow in each way, once and for ever; what is for ever concerns all calls of the action. Calls up
// to which the flow is one of the same group that there were cells for before are left out. In short tests each call is broken
// in one way: the one that its service has met least, so that all have their turn with many calls. See Left for the others.
func Cells(group string, calls []Call, tried Tried) []Cell {
	var out []Cell
	fresh := Fresh(group, calls, tried)
	for i, call := range calls {
		if !fresh[i] {
			continue
		}
		cells := call.cells()
		if testing.Short() {
			cells = tried.rarest(cells)
		}
		for _, c := range cells {
			tried.count(c)
		}
		out = append(out, cells...)
	}
	return out
}

// cells are all of one call.
func (c Call) cells() []Cell {
	var out []Cell
	for _, kind := range Kinds() {
		if kind.effect && c.Reads() {
			continue
		}
		out = append(out, Cell{Call: c, Kind: kind})
		if c.Nth == 0 {
			out = append(out, Cell{Call: c, Kind: kind, Forever: true})
		}
	}
	return out
}

// rarest is the one of a call's cells whose way its service has met least.
func (t Tried) rarest(cells []Cell) []Cell {
	return []Cell{slices.MinFunc(cells, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(t[a.way()], t[b.way()]), cmp.Compare(t[a.way()+a.often()], t[b.way()+b.often()]))
	})}
}

// Left are cells for the ways in which the services were not broken yet, each for the first of the calls that can be broken so.
// With them the cells of short tests are complete.
func Left(calls []Call, tried Tried) []Cell {
	var out []Cell
	for _, call := range calls {
		for _, c := range call.cells() {
			if tried[c.way()] == 0 {
				tried.count(c)
				out = append(out, c)
			}
		}
	}
	return out
}

func (t Tried) count(c Cell) {
	t[c.way()]++
	t[c.way()+c.often()]++
}

// way is how the cell's service is broken.
func (c Cell) way() string { return c.Call.Seam + " " + c.Kind.Name }

// Reads reports whether the call has no effect. A receive has: the lease.
func (c Call) Reads() bool {
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
	// undisturbed are the calls of flows that nothing disturbs, by their names.
	undisturbed map[string][]Call
}

// New starts the stands. table is the name of the ledger's table.
func New(t *testing.T, table string) *Matrix {
	t.Helper()
	m := &Matrix{free: make(chan *Stand, stands), undisturbed: map[string][]Call{}}
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
	defer func() {
		s.bury()
		if t.Failed() {
			s.clean(t)
		}
	}()
	try(s)
}

// Undisturbed returns the calls of a flow that nothing disturbs; record finds them out the first time. It must not be called at the same
// time as itself.
func (m *Matrix) Undisturbed(flow string, record func() []Call) []Call {
	if _, known := m.undisturbed[flow]; !known {
		m.undisturbed[flow] = record()
	}
	return m.undisturbed[flow]
}

// Run tries a flow for each cell and logs the table of what it showed. A trial whose call was never made fails.
func (m *Matrix) Run(t *testing.T, cells []Cell, try Try) {
	t.Helper()
	rows, failed, places := make([]Row, len(cells)), make([]bool, len(cells)), map[string]int{}
	var mu sync.Mutex
	one := func(i int) {
		c := cells[i]
		t.Run(fmt.Sprintf("%s %s, %s, %s", c.Call.Seam, c.Call, c.Kind.Name, c.often()), func(t *testing.T) {
			mu.Lock()
			places[t.Name()] = i
			mu.Unlock()
			m.Once(t, func(s *Stand) {
				defer func() { failed[i] = t.Failed() }()
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
			failed[i] = true
		}
		t.Errorf("%s: %s", name, what)
	}
	t.Log(table(cells, rows, failed))
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

func table(cells []Cell, rows []Row, failed []bool) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "\nseam\tcall\tfault\t\tthe caller saw\tfate of the job\n")
	for i, c := range cells {
		mark := map[bool]string{true: "  <-- FAILED"}[failed[i]]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Call.Seam, c.Call, c.Kind.Name, c.often(), rows[i].Saw, rows[i].Fate+mark)
	}
	_ = w.Flush()
	return out.String()
}
