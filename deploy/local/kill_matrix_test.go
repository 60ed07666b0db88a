package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"routinely/deploy/local/stack"
)

var (
	jobQueue  = map[string]string{"queue": stack.Queue}
	deadQueue = map[string]string{"queue": stack.DeadLetterQueue}
)

func rows(count string) map[string]string { return map[string]string{"rows": count} }

const (
	lostAnswer = `{"answer":"reset","execute":true}`
	broken     = `{"answer":"error","status":500,"code":"InternalException"}`
)

// Points at which more than the functions are killed.
var (
	claimRow  = point{doing: "claim, job's row", server: tableService, action: "BatchWriteRow", match: rows("1")}
	sendJob   = point{doing: "send", server: messageService, action: "SendMessage", match: jobQueue}
	sendFirst = point{doing: "send the first", server: messageService, action: "BatchSendMessage", match: jobQueue}
	sendLast  = point{doing: "send the last", server: messageService, action: "BatchSendMessage", match: jobQueue, skip: 1}
	step1     = point{doing: "step 1", server: edgeService, action: "CreateRoutine"}
	step2     = point{doing: "step 2", server: edgeService, action: "CreateRoutineRelatedRecord"}
	done      = point{doing: "succeeded", server: tableService, action: "UpdateRow", skip: 1}
	sendAgain = point{doing: "again", server: messageService, action: "SendMessage", match: jobQueue, skip: 1, spoilt: "CreateRoutine", spoil: broken}
	sendDead  = point{doing: "dead letter", server: messageService, action: "SendMessage", match: deadQueue, want: deadLettered}
	// deleted is what the queue trigger does once the worker has answered.
	deleted = point{doing: "the trigger deletes", server: messageService, action: "DeleteMessage", match: jobQueue}
)

// The points, by what the victim is at. Accept claims a job with a read and two writes, so that the worker's first
// BatchWriteRow is the third.
var (
	accepting = []point{
		{doing: "claim", server: tableService, action: "BatchGetRow"},
		{doing: "claim, index rows", server: tableService, action: "BatchWriteRow", match: rows("8")},
		claimRow,
		sendJob,
	}
	batching = []point{
		{doing: "claim", server: tableService, action: "BatchGetRow"},
		{doing: "claim, first index rows", server: tableService, action: "BatchWriteRow", match: rows("200")},
		{doing: "claim, last index rows", server: tableService, action: "BatchWriteRow", match: rows("8")},
		{doing: "claim, jobs' rows", server: tableService, action: "BatchWriteRow", match: rows("26")},
		sendFirst,
		sendLast,
	}
	redriving = []point{
		{doing: "take letters", server: messageService, action: "BatchReceiveMessage", match: deadQueue},
		{doing: "record", server: tableService, action: "GetRow"},
		{doing: "record, index rows", server: tableService, action: "BatchWriteRow"},
		{doing: "record, job's row", server: tableService, action: "UpdateRow"},
		{doing: "send", server: messageService, action: "BatchSendMessage", match: jobQueue},
		{doing: "delete letters", server: messageService, action: "BatchDeleteMessage", match: deadQueue},
		{doing: "give back another", server: messageService, action: "ChangeMessageVisibility", match: deadQueue},
	}
	cancelling = []point{
		{doing: "read", server: tableService, action: "GetRow", want: cancelled},
		{doing: "index rows", server: tableService, action: "BatchWriteRow", want: cancelled},
		{doing: "job's row", server: tableService, action: "UpdateRow", want: cancelled},
		{doing: "index rows left", server: tableService, action: "BatchWriteRow", skip: 1, fresh: true, want: cancelled},
	}
	working = []point{
		{doing: "started, read", server: tableService, action: "GetRow"},
		{doing: "started", server: tableService, action: "UpdateRow"},
		step1,
		step2,
		{doing: "succeeded, index rows", server: tableService, action: "BatchWriteRow", skip: 2},
		done,
		{doing: "index rows left", server: tableService, action: "BatchWriteRow", skip: 3, fresh: true},
	}
	doubting = []point{
		{doing: "read step 1 back", server: edgeService, action: "GetRoutine", skip: 1, spoilt: "CreateRoutine", spoil: lostAnswer},
		{
			doing: "read step 2 back", server: edgeService, action: "ListRoutineRelatedRecords",
			spoilt: "CreateRoutineRelatedRecord", spoil: lostAnswer,
		},
		sendAgain,
		{doing: "failed", server: tableService, action: "UpdateRow", skip: 1, spoilt: "CreateRoutine", spoil: broken},
	}
	givingUp = []point{
		sendDead,
		{doing: "dead-lettered, index rows", server: tableService, action: "BatchWriteRow", skip: 2, want: deadLettered},
		{doing: "dead-lettered", server: tableService, action: "UpdateRow", skip: 1, want: deadLettered},
	}
	handingBack = []point{
		{doing: "hand back", server: messageService, action: "SendMessage", match: jobQueue, skip: 1},
		{doing: "handed back", server: tableService, action: "UpdateRow", skip: 1},
	}
)

// moments are before and after the effect of a call. In short tests the n-th has one of them: they take turns.
func moments(n int) []bool {
	both := []bool{false, true}
	if testing.Short() {
		return both[n%2 : n%2+1]
	}
	return both
}

// group is a part of the matrix, played on a deployment of its own.
type group struct {
	name string
	play func(t *testing.T, free *ports) *deployment
}

// workerTime is the worker's time limit, in which it has ample time to wait for the account lock.
const workerTime = 5 * time.Minute

// functionGroup plays points one after the other, killing an instance of the function at each, before and after.
func functionGroup(function string, points []point, begin func(*deployment, point, bool) *cell) func(*testing.T, *ports) *deployment {
	return func(t *testing.T, free *ports) *deployment {
		d := apart(t, free, workerTime)
		for i, p := range points {
			for _, after := range moments(i) {
				c := begin(d, p, after)
				d.killInstance(function, c)
				if c.client != nil {
					d.interrupted(c)
				}
				d.awaitQuiet()
			}
		}
		return d
	}
}

// redriveGroup redrives what is left all together in the end: the leases of those who were killed last for a while.
func redriveGroup(points []point) func(*testing.T, *ports) *deployment {
	return func(t *testing.T, free *ports) *deployment {
		d := apart(t, free, workerTime)
		for i, p := range points {
			for _, after := range moments(i) {
				c := d.redrive(p, after)
				d.killInstance(accept, c)
				d.cutOff(c)
				d.awaitQuiet()
			}
		}
		const code = "SiteParameterNotMatch"
		until(t, "all letters whose site is there were redriven", func() bool {
			d.insist(&client{path: "/v1/dead-letters:redrive", body: fmt.Sprintf(`{"code":%q}`, code)})
			return !slices.ContainsFunc(d.messages(stack.DeadLetterQueue), func(body string) bool { return strings.Contains(body, `"`+code+`"`) })
		})
		return d
	}
}

// cancelGroup lets the worker wait for the account lock meanwhile, so that it does not come to the jobs that are called off.
func cancelGroup(t *testing.T, free *ports) *deployment {
	d := apart(t, free, workerTime)
	d.holdLock()
	d.submit(d.normal(succeeded))
	until(t, "the worker meets the lock", func() bool { return d.refusals(t) > 0 })
	for i, p := range cancelling {
		for _, after := range moments(i) {
			c := d.cancel(p, after)
			d.killInstance(accept, c)
			d.interrupted(c)
		}
	}
	d.releaseLock()
	return d
}

func (d *deployment) holdLock() {
	d.t.Helper()
	send(d.t, http.MethodPost, d.esa+"/_local/lock", `{"holdMillis":600000}`)
}

func (d *deployment) releaseLock() {
	d.t.Helper()
	send(d.t, http.MethodDelete, d.esa+"/_local/lock", "")
}

// handBackGroup has a worker with so little time that it hands jobs back after some waiting for the lock.
func handBackGroup(t *testing.T, free *ports) *deployment {
	d := apart(t, free, 20*time.Second, "ROUTINELY_ESA_TIMEOUT=17s", "ROUTINELY_RESERVE=1s", "ROUTINELY_LOCK_POLL_MAX=200ms")
	for i, p := range handingBack {
		for _, after := range moments(i) {
			d.holdLock()
			c := d.work(p, after)
			d.killInstance(worker, c)
			d.releaseLock()
			d.awaitQuiet()
		}
	}
	return d
}

// serverGroup kills MNS and ESA, each alone.
func serverGroup(t *testing.T, free *ports) *deployment {
	d := apart(t, free, workerTime)
	for _, after := range moments(1) {
		c := d.accept(sendJob, after)
		d.restartAt(messageService, c)
		// The call may have been answered: over a kept connection that broke without a byte, accept asks once more.
		<-c.client.status
		d.insist(c.client)
		d.awaitQuiet()
	}
	for i, p := range []point{sendAgain, deleted, sendDead, step1, step2} {
		victim := messageService
		if p.server == edgeService {
			victim = edgeService
		}
		for _, after := range moments(i) {
			d.restartAt(victim, d.work(p, after))
			d.awaitQuiet()
		}
	}
	return d
}

// tableGroup kills Tablestore. Its clients leave it alone for a while then, and write what they missed along with the first
// jobs after that. So jobs are asked for until all is written.
func tableGroup(after bool) func(*testing.T, *ports) *deployment {
	return func(t *testing.T, free *ports) *deployment {
		d := apart(t, free, workerTime)
		worked, asked := d.work(done, after), d.accept(claimRow, after)
		d.restartAt(tableService, worked, asked)
		<-asked.client.status // accept goes on without a ledger
		d.insist(asked.client)
		until(t, "the ledger is complete", func() bool {
			d.submit(d.normal(succeeded))
			d.awaitQuiet()
			stories := d.stories()
			return !slices.ContainsFunc(d.wishes, func(w *wish) bool { return len(stories[w.name]) == 0 || stories[w.name][0].State != w.want })
		})
		return d
	}
}

// wholeGroup kills the program that runs the functions while both are at a point. The leases of those who were killed end
// all together. The turn is that of the moments.
func wholeGroup(turn int, name string, deploy func(*testing.T, *ports) *deployment) func(*testing.T, *ports) *deployment {
	return func(t *testing.T, free *ports) *deployment {
		d := deploy(t, free)
		late := moments(turn)
		slices.Reverse(late) // a job whose message is gone does not come back while the next is watched
		for _, after := range late {
			d.restartAt(name, d.work(deleted, after))
		}
		for _, after := range moments(turn + 1) {
			worked, asked := d.work(step1, after), d.accept(sendJob, after)
			d.restartAt(name, worked, asked)
			d.interrupted(asked)
			d.restartAt(name, d.work(sendDead, after))
		}
		for _, last := range moments(turn) {
			worked, asked := d.work(step2, last), d.batch(map[bool]point{false: sendFirst, true: sendLast}[last], last)
			d.restartAt(name, worked, asked)
			d.interrupted(asked)
		}
		return d
	}
}

// TestKillMatrix kills functions, servers and everything with SIGKILL at every point where they touch the outside, before and
// after the effect of each call, or in short tests one of both, and checks that every accepted job comes to exactly one end and that ESA holds what was asked
// for, once. Callers whose call was cut off make it again.
func TestKillMatrix(t *testing.T) {
	t.Parallel()
	groups := []group{
		{"accept at a request", functionGroup(accept, accepting, (*deployment).accept)},
		{"accept at a batch", functionGroup(accept, batching, (*deployment).batch)},
		{"accept at a redrive, before it sends", redriveGroup(redriving[:4])},
		{"accept at a redrive, from there", redriveGroup(redriving[4:])},
		{"accept at a cancellation", cancelGroup},
		{"provision at a job", functionGroup(worker, working, (*deployment).work)},
		{"provision in doubt", functionGroup(worker, doubting, (*deployment).work)},
		{"provision giving up", functionGroup(worker, givingUp, (*deployment).work)},
		{"provision handing back", handBackGroup},
		{"MNS and ESA", serverGroup},
		{"Function Compute", wholeGroup(0, functionCompute, func(t *testing.T, free *ports) *deployment {
			t.Helper()
			return apart(t, free, workerTime)
		})},
		{"everything", wholeGroup(1, everything, together)},
	}
	for _, after := range moments(1) {
		groups = append(groups, group{fmt.Sprintf("Tablestore, after the effect %t", after), tableGroup(after)})
	}
	free, played := newPorts(0), make([]*deployment, len(groups))
	var running sync.WaitGroup
	for i, g := range groups { // all at once, however few processors there are: most of the time they wait
		running.Go(func() {
			t.Run(g.name, func(t *testing.T) {
				d := g.play(t, free)
				d.settle()
				played[i] = d
			})
		})
	}
	running.Wait()
	t.Log(table(played))
}

// table shows all cells.
func table(played []*deployment) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nwho\tpoint\tcall\tkilled\twhen\tended")
	cells := 0
	for _, d := range played {
		if d == nil {
			continue // its failure has been told
		}
		cells += len(d.cells)
		for _, c := range d.cells {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.who, c.doing, c.action, c.killed, c.when(), c.ending)
		}
	}
	fmt.Fprintf(w, "%d cells\n", cells)
	_ = w.Flush()
	return out.String()
}
