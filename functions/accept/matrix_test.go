package accept

import (
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"routinely/deploy/local/faults/matrix"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// flow is one thing that a caller asks for.
type flow struct {
	name string
	// jobs are accepted before, letters are dead before.
	jobs, letters int
	// ask is the event, which may name what was there before.
	ask func(*trial) map[string]any
	// judge checks the answer and says it in short.
	judge func(*trial, *testing.T, response) string
	// end brings what was asked for to its end, checks that and says it in short. A caller who got no good answer asks again.
	end func(*trial, *testing.T) string
	// least are the calls that an undisturbed run must make.
	least []string
}

func flows() []flow {
	changed := []string{"ledger GetRow", "ledger BatchWriteRow", "ledger UpdateRow"}
	claimed := []string{"ledger BatchGetRow", "ledger BatchWriteRow", "ledger BatchWriteRow"}
	swept := []string{"MNS BatchReceiveMessage", "MNS BatchReceiveMessage", "MNS ChangeMessageVisibility"}
	return []flow{
		{
			name: "one request", ask: one, judge: (*trial).judgeOne, end: (*trial).endDone,
			least: slices.Concat(claimed, []string{"MNS SendMessage"}),
		},
		{
			name: "one request once more", jobs: 1, ask: one, judge: (*trial).judgeOne, end: (*trial).endDone,
			least: []string{"ledger BatchGetRow", "MNS SendMessage"},
		},
		{
			name: "a batch", ask: many, judge: (*trial).judgeMany, end: (*trial).endDone,
			least: slices.Concat(claimed, []string{"MNS BatchSendMessage"}),
		},
		{name: "a job", jobs: 1, ask: get("/v1/jobs/%s"), judge: (*trial).judgeRead, end: (*trial).endDone, least: []string{"ledger GetRow"}},
		{
			name: "the jobs", jobs: 1, ask: get("/v1/jobs"), judge: (*trial).judgeRead, end: (*trial).endDone,
			least: []string{"ledger GetRange", "ledger BatchGetRow"},
		},
		{
			name: "a cancellation", jobs: 1, judge: (*trial).judgeCancelled, end: (*trial).endDone,
			ask:   func(x *trial) map[string]any { return event("POST", "/v1/jobs/"+x.ids[0]+":cancel", "") },
			least: slices.Concat([]string{"ledger GetRow"}, changed),
		},
		{
			name: "a redrive of all", letters: 2, judge: (*trial).judgeWorkedOff, end: (*trial).endRedriven,
			ask: func(*trial) map[string]any { return event("POST", "/v1/dead-letters:redrive", `{"all":true}`) },
			least: slices.Concat([]string{"MNS BatchReceiveMessage"}, changed,
				[]string{"MNS BatchSendMessage", "MNS BatchDeleteMessage", "MNS BatchReceiveMessage"}),
		},
		{
			name: "a redrive of one", letters: 2, judge: (*trial).judgeWorkedOff, end: (*trial).endRedriven,
			ask: func(x *trial) map[string]any {
				return event("POST", "/v1/dead-letters/"+x.letterIDs[0]+":redrive", "")
			},
			least: slices.Concat([]string{"MNS BatchReceiveMessage"}, changed, []string{"MNS SendMessage", "MNS BatchDeleteMessage"}, swept[1:]),
		},
		{
			name: "a list of dead letters", letters: 2, ask: get("/v1/dead-letters"), judge: (*trial).judgeListed, end: (*trial).endThere,
			least: swept,
		},
		{
			name: "a dead letter", letters: 2, judge: (*trial).judgeShown, end: (*trial).endThere, least: swept[:1],
			ask: func(x *trial) map[string]any { return event("GET", "/v1/dead-letters/"+x.letterIDs[0], "") },
		},
		{
			name: "a deletion", letters: 2, judge: (*trial).judgeWorkedOff, end: (*trial).endThere,
			ask: func(x *trial) map[string]any {
				return event("DELETE", "/v1/dead-letters/"+x.letterIDs[0], "")
			},
			least: slices.Concat(swept[:1], []string{"MNS BatchDeleteMessage"}, swept[1:]),
		},
	}
}

func one(x *trial) map[string]any { return x.wish(x.names[0]) }

func many(x *trial) map[string]any {
	var items []string
	for _, name := range x.names {
		items = append(items, wishNamed(name))
	}
	return event("POST", "/v1/routines:batch", "["+strings.Join(items, ",")+"]", "Idempotency-Key", x.key)
}

// get reads; the path may name the first job.
func get(path string) func(*trial) map[string]any {
	return func(x *trial) map[string]any {
		if strings.Contains(path, "%s") {
			return event("GET", fmt.Sprintf(path, x.ids[0]), "")
		}
		return event("GET", path, "")
	}
}

// TestMatrix tries everything that can be asked for with everything that can break.
func TestMatrix(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // there is little to collect and much to do
	m := matrix.New(t, ledger.DefaultTable)
	t.Run("every call broken in every way", func(t *testing.T) {
		tried := matrix.Tried{}
		for _, f := range flows() {
			t.Run(f.name, func(t *testing.T) { f.broken(t, m, matrix.Cells(f.name, f.calls(t, m), tried)) })
		}
		t.Run("ways that are left", func(t *testing.T) {
			f := flows()[0]
			f.broken(t, m, matrix.Left(f.calls(t, m), tried))
		})
		tried.Complete(t, "MNS", "ledger")
	})
	tried := matrix.Tried{}
	for _, f := range flows() {
		t.Run("the instance killed, "+f.name, func(t *testing.T) { f.killedInstances(t, m, tried) })
	}
	m.Check(t)
}

// broken breaks the call of each cell.
func (f flow) broken(t *testing.T, m *matrix.Matrix, cells []matrix.Cell) {
	m.Run(t, cells, func(t *testing.T, s *matrix.Stand, c matrix.Cell) matrix.Row {
		x := newTrial(t, s, f, c)
		s.Break(t, c)
		res := x.tell(t, f.ask(x))
		s.Heal(t)
		return matrix.Row{Saw: f.judge(x, t, res), Fate: f.end(x, t)}
	})
}

// calls are those of an undisturbed run.
func (f flow) calls(t *testing.T, m *matrix.Matrix) []matrix.Call {
	t.Helper()
	return m.Undisturbed(f.name, func() []matrix.Call { return f.recorded(t, m) })
}

func (f flow) recorded(t *testing.T, m *matrix.Matrix) (calls []matrix.Call) {
	t.Helper()
	m.Once(t, func(s *matrix.Stand) {
		x := newTrial(t, s, f, matrix.Cell{})
		res := x.tell(t, f.ask(x))
		calls = s.Calls(t)
		if f.judge(x, t, res); res.StatusCode >= 300 {
			t.Errorf("undisturbed: %+v", res)
		}
		f.end(x, t)
	})
	matrix.Expect(t, calls, f.least...)
	return calls
}

// killedInstances kills the instance before each call that it makes, and has the caller ask a new one. In short tests it does
// not where the call before has changed nothing, nor between two calls where one of another flow was killed.
func (f flow) killedInstances(t *testing.T, m *matrix.Matrix, tried matrix.Tried) {
	calls := f.calls(t, m)
	group := f.name
	if testing.Short() {
		group = ""
	}
	fresh := matrix.Fresh(group, calls, tried)
	var table strings.Builder
	for at, call := range calls {
		if !fresh[at] || (testing.Short() && at > 0 && calls[at-1].Reads()) {
			continue
		}
		t.Run("before "+call.Seam+" "+call.String(), func(t *testing.T) {
			m.Once(t, func(s *matrix.Stand) {
				x := newTrial(t, s, f, matrix.Cell{})
				x.start(t, at)
				x.callAndDie(t, f.ask(x))
				x.start(t, -1)
				x.unsure = true
				fmt.Fprintf(&table, "\nFC  killed before %s %s: no answer: %s", call.Seam, call, f.end(x, t))
			})
		})
	}
	t.Log(table.String())
}

// brokenSeam expects that an answer that is no success is a 503, and the fault of the seam.
func (x *trial) brokenSeam(t *testing.T, res response, seam string) {
	t.Helper()
	var p api.Problem
	_ = json.Unmarshal([]byte(res.Body), &p)
	if res.StatusCode != 503 || x.cell.Call.Seam != seam || res.Headers["Retry-After"] == "" {
		t.Errorf("got %+v", res)
	}
	x.unsure = true
}

func (x *trial) judgeOne(t *testing.T, res response) string {
	if res.StatusCode != 202 {
		x.brokenSeam(t, res, "MNS") // the ledger holds up nothing
		return shortly(res)
	}
	if job := read[routine.Job](t, res, 202); job.ID != queue.KeyedJobID(anonymous, x.key) {
		t.Errorf("job %s", job.ID)
	}
	return shortly(res)
}

func (x *trial) judgeMany(t *testing.T, res response) string {
	if res.StatusCode != 202 {
		x.brokenSeam(t, res, "MNS")
	}
	var got api.BatchResult
	if err := json.Unmarshal([]byte(res.Body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Failed > 0 {
		x.unsure = true
	}
	if got.Accepted+got.Duplicate+got.Failed != len(x.names) {
		t.Errorf("got %+v", res)
	}
	return fmt.Sprintf("%d: %d accepted, %d failed", res.StatusCode, got.Accepted+got.Duplicate, got.Failed)
}

// judgeRead wants the truth or none.
func (x *trial) judgeRead(t *testing.T, res response) string {
	if res.StatusCode != 200 {
		x.brokenSeam(t, res, "ledger")
	} else if well := x.insist(t, x.flow.ask(x)); well.Body != res.Body {
		t.Errorf("told %s, the truth is %s", res.Body, well.Body)
	}
	return shortly(res)
}

func (x *trial) judgeCancelled(t *testing.T, res response) string {
	if res.StatusCode != 200 {
		x.brokenSeam(t, res, "ledger")
		return shortly(res)
	}
	x.cancelled = true
	return shortly(res)
}

func (x *trial) judgeListed(t *testing.T, res response) string {
	if res.StatusCode != 200 {
		x.brokenSeam(t, res, "MNS")
		return shortly(res)
	}
	list := read[api.DeadLetterList](t, res, 200)
	if list.Complete && list.Total != x.flow.letters {
		t.Errorf("complete with %d letters", list.Total)
	}
	return fmt.Sprintf("200: %d letters, complete %t", list.Total, list.Complete)
}

// judgeShown wants the letter, or a 503.
func (x *trial) judgeShown(t *testing.T, res response) string {
	if res.StatusCode != 200 {
		x.brokenSeam(t, res, "MNS")
	} else if letter := read[api.DeadLetter](t, res, 200); letter.JobID != x.ids[0] || letter.Received == nil {
		t.Errorf("got %+v", letter)
	}
	return shortly(res)
}

// judgeWorkedOff holds a redrive or a deletion to what it says: the letters it counts are on the job queue, or gone, and if
// there are no more it has counted all.
func (x *trial) judgeWorkedOff(t *testing.T, res response) string {
	if res.StatusCode != 200 {
		x.brokenSeam(t, res, "MNS")
		return shortly(res)
	}
	done := read[api.WorkedOff](t, res, 200)
	wanted := 1
	if strings.HasSuffix(x.flow.name, "of all") {
		wanted = x.flow.letters
	}
	if !done.More && done.Count+len(done.Failed) != wanted {
		t.Errorf("no more, but %d of %d done and %d failed", done.Count, wanted, len(done.Failed))
	}
	if len(done.Failed) > 0 && x.cell.Call.Seam != "MNS" {
		t.Errorf("failed %+v", done.Failed)
	}
	x.unsure = done.Count < wanted
	if x.flow.name != "a deletion" {
		on := x.onQueue(t)
		for i, id := range x.letterIDs {
			if slices.Contains(done.IDs, id) && on[x.ids[i]] == 0 {
				t.Errorf("job %s of a redriven letter is not on the queue", x.ids[i])
			}
		}
	}
	return fmt.Sprintf("200: %d done, %d failed, more %t", done.Count, len(done.Failed), done.More)
}

// shortly is an answer in short.
func shortly(res response) string {
	var p api.Problem
	if _ = json.Unmarshal([]byte(res.Body), &p); p.Code != "" && res.StatusCode >= 300 {
		return fmt.Sprintf("%d %s", res.StatusCode, p.Code)
	}
	return fmt.Sprint(res.StatusCode)
}
