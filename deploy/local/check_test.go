package main_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"time"

	"routinely/deploy/local/stack"
)

// settled reports whether nothing is left to be done: the queues are empty, no job is unfinished, and every callback has arrived.
func (d *deployment) settled() bool {
	d.t.Helper()
	return d.depth(stack.Queue, stack.DeadLetterQueue, stack.CallbackQueue) == 0 && len(d.jobs(queued)) == 0 && d.receiver.knows(d.orders)
}

// settle waits until nothing is left to be done, with the janitor's help, and checks what must hold then.
func (d *deployment) settle() {
	d.t.Helper()
	d.settleWithin(limit)
}

func (d *deployment) settleWithin(limit time.Duration) {
	d.t.Helper()
	within(d.t, limit, "nothing is left to be done", func() bool {
		if d.settled() {
			return true
		}
		d.sweep()
		return false
	})
	d.check()
}

// check is what must hold once nothing is left to be done: each job is listed once, in the state in which it must end, and is a dead letter if
// it is dead; ESA holds what it must and nothing else; all callbacks of a job are about the same end.
func (d *deployment) check() {
	d.t.Helper()
	listed, dead, withoutJob := map[string][]string{}, map[string]bool{}, 0
	for _, state := range []string{queued, succeeded, deadLettered, cancelled, dropped, superseded} {
		for _, j := range d.jobs(state) {
			if j.ClaimsJob == "" {
				listed[j.ID] = append(listed[j.ID], state)
			}
		}
	}
	for _, l := range d.letters() {
		if dead[l.JobID] = true; l.Code == unreadable {
			withoutJob++
			delete(listed, l.ID)
		}
	}
	if withoutJob != d.unreadable {
		d.t.Errorf("%d dead letters hold no job, want %d", withoutJob, d.unreadable)
	}
	for _, o := range d.orders {
		states := listed[o.id]
		if o.deleted && slices.Equal(states, []string{superseded}) {
			states = []string{o.want}
		}
		if o.id == "" || len(states) != 1 || states[0] != o.want || dead[o.id] != (o.want == deadLettered) {
			d.t.Errorf("%s: job %q is listed as %v, want once as %s; a dead letter: %t", o.name, o.id, states, o.want, dead[o.id])
		}
		delete(listed, o.id)
	}
	if len(listed) > 0 {
		d.t.Errorf("jobs without an order: %v", listed)
	}
	d.checkRoutines()
	d.receiver.check(d.orders)
}

// checkRoutines checks that ESA has the routine and the records of each order that succeeded, what foreign has planted, and nothing else. A cancelled
// order may leave its routine, and so may one for a wrong site if ESA did not list the sites when it was asked; it leaves no record.
func (d *deployment) checkRoutines() {
	d.t.Helper()
	found, foreign := d.routines()
	if foreign != d.planted {
		d.t.Errorf("what others have in ESA is %s, and was %s", foreign, d.planted)
	}
	for _, o := range d.orders {
		if o.other != nil || o.deleted {
			continue
		}
		records := found[o.name]
		if o.want == succeeded && !slices.Equal(records, o.records()) {
			d.t.Errorf("%s: ESA has the records %v, want %v alone", o.name, records, o.records())
		}
		if o.want != deadLettered || len(records) == 0 {
			delete(found, o.name)
		}
		if o.code != "" {
			d.checkCode(o)
		}
	}
	if len(found) > 0 {
		d.t.Errorf("routines without an order: %v", found)
	}
}

// checkCode checks that an order's code is live everywhere, and that no job has made two versions.
func (d *deployment) checkCode(o *order) {
	d.t.Helper()
	var state struct {
		Routines []struct {
			Name     string
			Versions []struct{ CodeVersion, CodeDescription, SHA256 string }

			Deployments []struct {
				Env    string
				Shares []struct{ CodeVersion string }
			}
		}
	}
	d.read(d.url[edgeService]+"/_local/state", &state)
	for _, r := range state.Routines {
		if r.Name != o.name {
			continue
		}
		live, jobs := map[string]string{}, map[string]bool{}
		for _, v := range r.Versions {
			jobs[v.CodeDescription] = true
			for _, deployed := range r.Deployments {
				if deployed.Shares[0].CodeVersion == v.CodeVersion {
					live[deployed.Env] = v.SHA256
				}
			}
		}
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(o.code)))
		if live["staging"] != sum || live["production"] != sum || len(jobs) != len(r.Versions) || len(r.Versions) > codeVersions {
			d.t.Errorf("%s: %q must be live: %+v", o.name, o.code, r)
		}
	}
}

// routines are the host names of each routine that ESA has, and what others have there, as a text.
func (d *deployment) routines() (own map[string][]string, foreign string) {
	d.t.Helper()
	type record struct {
		RecordName string
		RecordID   int64
	}
	var state struct {
		Routines []struct {
			Name       string
			CreateTime string
			Records    []record
		}
		Planted []record
	}
	d.read(d.url[edgeService]+"/_local/state", &state)
	own = map[string][]string{}
	var others []any
	for _, r := range state.Routines {
		if r.Name == foreignRoutine {
			others = append(others, r)
			continue
		}
		own[r.Name] = nil
		for _, record := range r.Records {
			own[r.Name] = append(own[r.Name], record.RecordName)
		}
	}
	for _, r := range state.Planted {
		others = append(others, r)
	}
	return own, fmt.Sprint(others...)
}

// foreignRoutine is the name of a routine that somebody else has made.
const foreignRoutine = "foreign"

// foreign plants a routine with a record, and an ordinary record, as somebody else of the account does. They stay as they are.
func (d *deployment) foreign() {
	d.t.Helper()
	esa := d.url[edgeService] + "/_local/"
	d.send(http.MethodPost, esa+"routines", fmt.Sprintf(`{"name":%q,"createTime":"2026-01-02T03:04:05Z"}`, foreignRoutine))
	d.send(http.MethodPost, esa+"records", fmt.Sprintf(`{"routine":%q,"siteId":%d,"recordName":"foreign.example.com"}`, foreignRoutine, stack.SiteID))
	d.send(http.MethodPost, esa+"records", fmt.Sprintf(`{"siteId":%d,"recordName":"mail.example.com"}`, stack.SiteID))
	_, d.planted = d.routines()
}
