package seeds_test

import (
	"fmt"
	"strings"
	"time"

	"routinely/deploy/local/faults"
)

// lateCall is a call that takes effect although its caller has no answer, before its time is over.
type lateCall struct {
	*call
	until time.Time
}

// answer answers a call that is held.
func (r *run) answer(c *call) {
	c.by.note(c)
	if r.plan.keeps && c.server == esaServer && strings.HasPrefix(c.action, "Delete") && c.action != removesCode { // making room is a right of its own
		r.t.Errorf("%s, and nothing may be deleted", c)
	}
	defer r.counting(c)()
	defer r.watching(c)()
	switch {
	case c.server == clockServer:
		r.move(c.pause)
		r.log("%s", c)
		r.gate.release(c, answer{})
	case r.down == c.server && r.step < r.downTill:
		r.log("%s: is down", c)
		r.breaks(c)
		r.gate.release(c, lost())
	case r.calm || r.plan.troubles == 0 || r.random.IntN(1000) >= r.trouble(c):
		r.log("%s", c)
		r.gate.release(c, answer{})
	default:
		r.plan.troubles--
		r.breaks(c)
		r.breakCall(c)
	}
	r.gate.settle()
	r.finish()
}

// counting notes whether a call makes a routine.
func (r *run) counting(c *call) (end func()) {
	name := c.params["Name"]
	if c.server != esaServer || c.action != "CreateRoutine" || r.shown(name) != nil {
		return func() {}
	}
	return func() {
		if r.shown(name) != nil {
			r.made[name] = append(r.made[name], r.clock.Now())
		}
	}
}

// trouble is how many of a thousand such calls break: more of those by which ESA is changed, and most of the few that let code go live.
func (r *run) trouble(c *call) int {
	if c.action == deploys {
		return 10 * r.plan.trouble
	}
	if c.server == esaServer && !strings.HasPrefix(c.action, "Get") {
		return 3 * r.plan.trouble
	}
	return r.plan.trouble
}

// note keeps what an invocation has asked ESA about a routine.
func (in *invocation) note(c *call) {
	if c.server != esaServer {
		return
	}
	name := c.params["Name"] + c.params["RoutineName"]
	if in.looks = ""; c.action == "GetRoutine" || c.action == "CreateRoutine" {
		in.looks = name
	}
	if strings.HasPrefix(c.action, "ListRoutine") {
		in.lists[name] = true
	}
}

// breaks keeps that a call of a worker breaks. Which routine a call to the ledger is about the driver does not know.
func (r *run) breaks(c *call) {
	if !strings.HasPrefix(c.by.process, provisioner) {
		return
	}
	r.doubt(c.params["Name"])
	if c.server != esaServer || c.action == "CreateRoutineRelatedRecord" {
		r.lostBinds = append(r.lostBinds, r.clock.Now())
	}
}

// doubt keeps that from now on it cannot always be told who has made a routine, or any if the name is empty.
func (r *run) doubt(name string) {
	for _, in := range r.plan.intents {
		if name == "" || name == in.name {
			r.doubts[in.name] = append(r.doubts[in.name], r.clock.Now())
		}
	}
}

// breakCall breaks a call in one of the ways in which calls break.
func (r *run) breakCall(c *call) {
	way := r.random.IntN(12)
	if (c.action == "CreateRoutine" || c.action == "DeleteRoutine" || c.action == commits || c.action == deploys) && r.chance(2) { // what lands late matters most of these
		way = 8
	}
	switch {
	case way < 3 && r.plan.kills > 0:
		r.plan.kills--
		r.kill(c)
	case way == 3:
		r.down, r.downTill = c.server, r.step+r.random.IntN(30)
		r.log("%s: from now on the server is down", c)
		r.gate.release(c, lost())
	case way == 4 || way == 5:
		r.log("%s: lost before its effect", c)
		r.gate.release(c, lost())
	case way == 6 || way == 7:
		r.log("%s: lost after its effect", c)
		r.gate.release(c, answer{faults.Fault{Answer: faults.Reset, Execute: true}, true})
	case way >= 8 && way < 10 && c.server == esaServer && !strings.HasPrefix(c.action, "List"):
		r.log("%s: lost, to take effect later", c)
		r.takeLate(c)
		r.gate.release(c, lost())
	case way >= 8 && c.server == esaServer && strings.HasPrefix(c.action, "List"):
		r.log("%s: shows less than it counts", c)
		r.gate.release(c, answer{faults.Fault{
			Answer: faults.Document, Headers: map[string]string{"Content-Type": "application/json"},
			Body: `{"RequestId":"R","TotalCount":2,"QuotaRoutineNumber":100,"UsedRoutineNumber":2,"PageNumber":1,"PageSize":20}`,
		}, true})
	default:
		codes := refusals(c.server)
		if c.action == postObject {
			codes = []faults.Fault{{Status: 500, Code: "InternalError"}, {Status: 503, Code: "ServiceUnavailable"}, {Status: 403, Code: "AccessDenied"}}
		}
		f := codes[r.random.IntN(len(codes))]
		f.Answer, f.Execute = faults.Error, f.Status == 500 && r.chance(2)
		r.log("%s: refused with %s, took effect: %t", c, f.Code, f.Execute)
		r.gate.release(c, answer{f, true})
	}
}

// refusals are answers of a server that refuses.
func refusals(server string) []faults.Fault {
	return map[string][]faults.Fault{
		esaServer: {
			{Status: 500, Code: "InternalException"},
			{Status: 503, Code: "ServiceUnavailable"},
			{Status: 400, Code: "UserOperationStatusIsLocked"},
			{Status: 429, Code: "Throttling.User"},
		},
		queueServer:    {{Status: 500, Code: "InternalError"}, {Status: 503, Code: "InternalServerError"}},
		ledgerServer:   {{Status: 503, Code: "OTSServerUnavailable"}, {Status: 503, Code: "OTSServerBusy"}, {Status: 409, Code: "OTSRowOperationConflict"}},
		receiverServer: {{Status: 503, Code: "busy"}},
	}[server]
}

// kill ends the process that makes a call, before the call takes effect, after it, or so that it takes effect later.
func (r *run) kill(c *call) {
	switch r.random.IntN(3) {
	case 0:
		r.log("%s: killed before its effect", c)
	case 1:
		r.log("%s: killed after its effect", c)
		c.effect()
	case 2:
		r.log("%s: killed, to take effect later", c)
		r.takeLate(c)
	}
	r.gate.kill(c.by)
}

// takeLate lets a call take effect later. ESA works no longer than its client waits.
func (r *run) takeLate(c *call) {
	r.late = append(r.late, lateCall{c, r.clock.Now().Add(esaTimeout - time.Second - c.by.lasted)})
}

// land lets a late call take effect.
func (r *run) land() bool {
	if len(r.late) == 0 || !r.chance(4) {
		return false
	}
	n := r.random.IntN(len(r.late))
	c := r.late[n]
	r.late = append(r.late[:n:n], r.late[n+1:]...)
	r.takeEffect(c)
	return true
}

func (r *run) takeEffect(c lateCall) {
	r.log("late, takes effect: %s", fmt.Sprint(c.call))
	defer r.counting(c.call)()
	defer r.watching(c.call)()
	c.effect()
}
