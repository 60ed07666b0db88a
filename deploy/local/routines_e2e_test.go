package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// known is what accept says about a routine.
type known struct {
	State, Ownership string
	Records          []struct{ RecordName string }
}

func (d *deployment) known(name string) (k known) {
	d.t.Helper()
	decode(d.t, d.insist(http.MethodGet, "/v1/routines/"+name, ""), &k)
	return k
}

// TestRoutines follows routines to their end.
func TestRoutines(t *testing.T) {
	t.Parallel()
	d := deploy(t)

	d.run("a routine is deleted with its two host names, and its caller gets a callback each time", func() {
		o := d.several(1)[0]
		o.pair = true
		d.submit(o)
		d.awaitState(succeeded, o)
		if k := d.known(o.name); k.State != "live" || k.Ownership != "owned" || len(k.Records) != 2 {
			d.t.Errorf("%+v", k)
		}
		d.delete(o)
		d.settle()
		if k := d.known(o.name); k.State != "gone" || len(k.Records) != 0 {
			d.t.Errorf("%+v", k)
		}
	})

	d.run("a deletion that is asked for three times under one key is one job", func() {
		o := d.order()
		d.submit(o)
		d.awaitState(succeeded, o)
		deletion := d.delete(o)
		d.askAgain(deletion)
		d.awaitState(succeeded, deletion)
		d.askAgain(deletion)
		d.settle()
		if n := d.callsAbout(o.name, "DeleteRoutine"); n != 1 {
			d.t.Errorf("ESA was asked %d times to delete it", n)
		}
	})

	d.run("a deletion looks before and after everything that it deletes", func() {
		o := d.order()
		d.submit(o)
		d.awaitState(succeeded, o)
		d.settle()
		d.forgetCalls(edgeService)
		d.awaitState(succeeded, d.delete(o))
		d.settle()
		var actions []string
		for _, call := range d.calls(edgeService) {
			if call.Action != "ListUserRoutines" { // for the account's quota, after the job
				actions = append(actions, call.Action)
			}
		}
		want := []string{
			"GetRoutine", "ListRoutineRoutes", "ListRoutineRelatedRecords", "DeleteRoutineRelatedRecord", "ListRoutineRelatedRecords",
			"GetRoutine", "DeleteRoutine", "GetRoutine",
		}
		if diff := cmp.Diff(want, actions); diff != "" {
			d.t.Errorf("-want +got:\n%s", diff)
		}
	})

	d.run("a routine that was deleted is made again", func() {
		o := d.order()
		d.submit(o)
		d.awaitState(succeeded, o)
		d.awaitState(succeeded, d.delete(o))
		d.ask(succeeded, http.MethodPost, "/v1/routines", d.body(o))
		o.deleted = false
		d.settle()
	})

	d.run("a routine stays with one host name if the other one is unbound", func() {
		o := d.order()
		o.pair = true
		d.submit(o)
		d.awaitState(succeeded, o)
		d.ask(succeeded, http.MethodDelete, "/v1/routines/"+o.name+"/records/"+o.records()[1], "")
		o.pair = false
		d.settle()
	})
}

// callsAbout counts the calls of an action by which ESA was asked about a routine.
func (d *deployment) callsAbout(name, action string) (n int) {
	d.t.Helper()
	for _, call := range d.calls(edgeService) {
		if call.Action == action && call.Params.Name == name {
			n++
		}
	}
	return n
}

// TestForeignRoutine asks for everything that can be asked for about a routine that somebody else has made. It stays as it is.
func TestForeignRoutine(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	d.foreign()
	const path, wanted = "/v1/routines/" + foreignRoutine, `{"name":"` + foreignRoutine + `","recordName":"wanted.example.com"%s}`

	d.run("if nobody has ever asked for one of its name", func() {
		d.ask(deadLettered, http.MethodDelete, path, "")
		d.ask(deadLettered, http.MethodDelete, path+"/records/foreign.example.com", "")
		d.ask(deadLettered, http.MethodPost, path+":renew", `{"expiresIn":"72h"}`)
		d.ask(deadLettered, http.MethodPost, "/v1/routines", fmt.Sprintf(wanted, `,"ifExists":"fail"`))
		d.ask(deadLettered, http.MethodPost, "/v1/routines", fmt.Sprintf(wanted, `,"description":"ours"`))
		d.settle()
	})

	d.run("if a call to make one of its name had no answer", func() {
		d.fault(edgeService, fmt.Sprintf(`{"action":"GetRoutine","match":{"Name":%q},"fault":{"answer":"error","code":"RoutineNotExist"}}`, foreignRoutine))
		d.fault(edgeService, fmt.Sprintf(`{"action":"CreateRoutine","match":{"Name":%q},"fault":{"answer":"reset","execute":true}}`, foreignRoutine))
		d.awaitState(succeeded, d.ask(succeeded, http.MethodPost, "/v1/routines", fmt.Sprintf(wanted, "")))
		if k := d.known(foreignRoutine); k.Ownership != "unproven" {
			d.t.Errorf("%+v", k)
		}
		d.refused("not-owned", http.MethodDelete, path, "")
		d.refused("not-owned", http.MethodPost, path+":renew", `{"expiresIn":"72h"}`)
		d.ask(deadLettered, http.MethodPost, "/v1/routines", fmt.Sprintf(wanted, `,"ifExists":"update","description":"ours"`))
		d.ask(deadLettered, http.MethodDelete, path+"/records/foreign.example.com", "")
		d.ask(succeeded, http.MethodDelete, path+"/records/wanted.example.com", "")
		d.settle()
	})
}

// refused makes a call that accept refuses as a conflict, and returns the answer.
func (d *deployment) refused(code, method, path, body string) (answer string) {
	d.t.Helper()
	status, answer := d.call(method, path, body)
	if status != http.StatusConflict || !strings.Contains(answer, `"`+code+`"`) {
		d.t.Errorf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// TestFullAccount has an account with room for three routines, one of which has an end.
func TestFullAccount(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	d.account(`{"routineQuota":3}`)
	orders := []*order{d.order(), d.order(), d.order()}
	orders[0].expiresIn = "72h"
	for _, o := range orders {
		d.submit(o)
	}
	d.awaitState(succeeded, orders...)

	d.run("a fourth routine is a dead letter that names what could go", func() {
		o := d.order()
		o.want = deadLettered
		d.submit(o)
		d.awaitState(deadLettered, o)
		if hint := d.job(o).Hint; !strings.Contains(hint, orders[0].name) {
			d.t.Errorf("%q does not name %s", hint, orders[0].name)
		}
	})

	d.run("once the janitor has read ESA's list it is refused", func() {
		d.sweep()
		if answer := d.refused("quota-reached", http.MethodPost, "/v1/routines", `{"name":"fourth","recordName":"fourth.example.com"}`); !strings.Contains(answer, orders[0].name) {
			d.t.Errorf("%s does not name %s", answer, orders[0].name)
		}
	})

	d.run("a routine that is there is not refused", func() {
		d.ask(succeeded, http.MethodPost, "/v1/routines", d.body(orders[1]))
		d.settle()
	})

	d.run("a deletion makes room", func() {
		d.awaitState(succeeded, d.delete(orders[2]))
		o := d.order()
		until(d.t, "there is room", func() bool {
			status, _ := d.call(http.MethodPost, "/v1/routines", d.body(o), "Idempotency-Key", o.name)
			return status != http.StatusConflict
		})
		d.submit(o)
		d.settle()
	})
}

// TestExpiry lets a routine live for a second. The janitor then unbinds its host name and deletes it, and its caller is told of both.
func TestExpiry(t *testing.T) {
	t.Parallel()
	d := deploy(t, everywhere("EXPIRY_MIN=1s", "EXPIRY_SETTLE=1s", "EXPIRY_GRACE=1s")...)
	o := d.several(1)[0]
	o.expiresIn, o.deleted = "1s", true
	d.submit(o)
	until(t, "the routine is gone", func() bool {
		d.sweep()
		return d.known(o.name).State == "gone"
	})
	ends := list[job](d, "/v1/jobs?caller=janitor")
	for _, j := range ends {
		d.orders = append(d.orders, &order{name: j.ID, id: j.ID, other: &call{}, want: succeeded, callback: true})
	}
	if len(ends) != 2 {
		t.Errorf("the janitor has made the jobs %+v, want one to unbind and one to delete", ends)
	}
	d.settle()
}
