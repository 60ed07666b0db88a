package seeds_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/functions/accept"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// end is how a run ended: what users see of their jobs and routines, and what the account has.
type end struct {
	*run
	// ops are what was done about each routine, in the order of acceptance.
	ops map[string][]op
	esa esaemu.State
}

// check checks what users were promised, once all is at rest.
func (r *run) check() {
	e := end{run: r, ops: map[string][]op{}}
	var err error
	e.esa, err = r.world.esa.State()
	r.must(err)
	e.readJobs()
	for name := range e.ops {
		e.checkThings(name)
		e.checkClaim(name)
		e.checkLetters(name)
		e.checkCode(name)
	}
	e.checkSucceeded()
	e.checkOwners()
	e.checkDead()
	e.checkPlans()
	e.checkExpiry()
	e.checkForeign()
	e.checkLeft()
	e.checkCallbacks()
	e.checkDrift()
}

// read asks the function accept, while nothing breaks. It reports whether there is what was asked for.
func read[T any](r *run, path string) (out T, there bool) {
	var answer accept.Response
	r.start(acceptor, http.MethodGet+" "+path, httpEvent(http.MethodGet, path, r.tokens[operator], "", ""), func(in *invocation) { answer = in.out.(accept.Response) })
	r.gate.settle()
	r.finish()
	for r.busy() {
		r.answer(r.held()[0])
	}
	if answer.StatusCode == http.StatusNotFound {
		return out, false
	}
	if err := json.Unmarshal([]byte(answer.Body), &out); err != nil || answer.StatusCode != http.StatusOK {
		r.t.Errorf("GET %s: %d %s", path, answer.StatusCode, answer.Body)
	}
	return out, true
}

// claim is what users see of a routine.
func (r *run) claim(name string) (api.Routine, bool) {
	return read[api.Routine](r, "/v1/routines/"+name)
}

// readJobs reads what became of the intents, and of the jobs of the janitor. What was accepted is one job, and comes to an end. There are no other jobs.
func (e end) readJobs() {
	all, _ := read[struct {
		Jobs []routine.Job `json:"jobs"`
	}](e.run, "/v1/jobs?limit=100")
	byID := map[string]routine.Job{}
	for _, job := range all.Jobs {
		if byID[job.ID] = job; !job.State.Final() {
			e.t.Errorf("job %s (%s %s) is %s", job.ID, job.Request.Action, job.Request.Name, job.State)
		}
		if job.Caller == routine.JanitorCaller {
			e.add(op{in: intent{key: job.ID, by: routine.JanitorCaller, what: string(job.Request.Action), name: job.Request.Name}, job: job, at: job.AcceptedAt})
		}
	}
	accepted := 0
	for _, in := range e.plan.intents {
		id := e.ids[in.key]
		if id == "" { // it was refused
			continue
		}
		accepted++
		if _, there := byID[id]; !there {
			e.t.Errorf("intent %s was accepted, and there is no job %s", in.key, id)
			continue
		}
		job, _ := read[routine.Job](e.run, "/v1/jobs/"+id)
		e.add(op{in, job, e.acceptedAt(job)})
	}
	if own := len(all.Jobs) - accepted; own != len(slices.DeleteFunc(all.Jobs, func(j routine.Job) bool { return j.Caller != routine.JanitorCaller })) {
		e.t.Errorf("%d jobs that nobody asked for", own)
	}
	for _, ops := range e.ops {
		slices.SortStableFunc(ops, func(a, b op) int { return a.at.Compare(b.at) })
	}
}

func (e end) add(o op) { e.ops[o.in.name] = append(e.ops[o.in.name], o) }

// acceptedAt is when a job became an intent: when it was accepted, or when it was redriven after another had superseded it.
func (e end) acceptedAt(job routine.Job) time.Time {
	at := job.AcceptedAt
	for _, again := range job.Redrives {
		if slices.ContainsFunc(e.redrives, func(r redrive) bool {
			return r.id == job.ID && !again.At.Before(r.began) && (r.end.IsZero() || !again.At.After(r.end))
		}) {
			at = again.At
		}
	}
	return at
}

// broken reports a promise that was not kept.
func (e end) broken(o op, format string, args ...any) {
	e.t.Errorf("%s (%s %s %v, %s): %s", o.in.key, o.in.what, o.in.name, o.in.hosts, o.job.State, fmt.Sprintf(format, args...))
}

// routine is the routine that ESA has, or nil.
func (e end) routine(name string) *esaemu.Routine {
	for i := range e.esa.Routines {
		if e.esa.Routines[i].Name == name {
			return &e.esa.Routines[i]
		}
	}
	return nil
}

// bound is the record of a host name that is bound to a routine, or nil.
func (e end) bound(name, host string) *esaemu.Record {
	if there := e.routine(name); there != nil {
		for i := range there.Records {
			if there.Records[i].RecordName == host {
				return &there.Records[i]
			}
		}
	}
	return nil
}

// isForeign reports whether an outsider has made a routine, and isForeignRecord a record.
func (e end) isForeign(there esaemu.Routine) bool {
	return slices.ContainsFunc(e.outside.routines, func(p planted) bool {
		return !p.gone && p.routine == there.Name && p.at.Equal(there.CreateTime)
	})
}

func (e end) isForeignRecord(id int64) bool {
	return slices.ContainsFunc(e.outside.records, func(p planted) bool { return p.id == id })
}

// checkThings: each thing is as the last intent about it says, except where a dead letter or an outsider explains it.
func (e end) checkThings(name string) {
	there := e.routine(name)
	switch want, last := e.want(name, ""); {
	case want == isThere && there == nil && e.outside.removed[name].Before(last.at):
		e.broken(last, "the routine is not there")
	case want == isGone && there != nil && !e.isForeign(*there):
		e.broken(last, "the routine is there")
	}
	want, last := e.wantedText(name)
	if want != "" && there != nil && there.Description != want && !e.isForeign(*there) && e.outside.removed[name].Before(last.at) {
		e.broken(last, "the routine is described as %q", there.Description)
	}
	for _, host := range e.hosts(name) {
		record := e.bound(name, host)
		switch want, last := e.want(name, host); {
		case want == isThere && record == nil && e.outside.removed[name].Before(last.at):
			e.broken(last, "the host name %s is not bound", host)
		case want == isGone && record != nil && !e.isForeignRecord(record.RecordID) && !e.unproven(name, host):
			e.broken(last, "the host name %s is bound", host)
		}
	}
}

// unproven reports whether the record of a host name is shown as not owned, for which there is a reason: it stays with its routine.
func (e end) unproven(name, host string) bool {
	claim, _ := e.claim(name)
	return e.inDoubt(name) && slices.ContainsFunc(claim.Records, func(r api.RoutineRecord) bool {
		return r.RecordName == host && r.Ownership != routine.Owned
	})
}

// inDoubt reports whether it cannot always be told what is ours of a routine: a call broke, or an outsider was there.
func (e end) inDoubt(name string) bool {
	_, touched := e.outside.touched[name]
	return touched || len(e.doubts[name]) > 0
}

// checkSucceeded: no more jobs say that they made a routine than it was made, unless an outsider made one, and none that says "fail" has adopted it.
func (e end) checkSucceeded() {
	for name, ops := range e.ops {
		var made []string
		for _, o := range ops {
			if o.in.what != creates || o.job.State != routine.Succeeded {
				continue
			}
			created := o.job.Result.Routine == routine.Created
			if created {
				made = append(made, o.in.key)
			}
			if o.in.ifExists == "fail" && !created && len(o.job.Redrives) == 0 {
				e.broken(o, "succeeded, and must not adopt")
			}
		}
		if _, touched := e.outside.touched[name]; len(made) > len(e.made[name]) && !e.beside && !touched {
			e.t.Errorf("%v say that they made the routine %s, which was made %d times", made, name, len(e.made[name]))
		}
	}
}

// checkOwners: nobody deletes or renews the routine of another, or unbinds another's host name, without the scope operate. Whose they are who asked for
// them says.
func (e end) checkOwners() {
	for _, ops := range e.ops {
		for _, o := range ops {
			alters := o.in.what == deletes || o.in.what == plans || o.in.what == renews || o.in.what == unbinds || o.in.what == rollsBack
			if !alters || o.in.by == operator || o.job.State != routine.Succeeded {
				continue
			}
			did := o.job.Result.Routine == routine.Deleted || o.job.Result.Routine == routine.Renewed || o.job.Result.Record == routine.Deleted || o.in.what == rollsBack
			if did && !slices.ContainsFunc(ops, func(other op) bool { return other.in.by == o.in.by && other.in.what == creates }) {
				e.broken(o, "the routine belongs to another caller")
			}
		}
	}
}

// checkPlans: a plan deletes what it says, and nothing that was made since.
func (e end) checkPlans() {
	for name, ops := range e.ops {
		for _, o := range ops {
			since := func(made time.Time) bool { return made.After(e.planned[o.in.key]) && made.Before(o.job.AcceptedAt) }
			if o.in.what == plans && o.job.State == routine.Succeeded && o.job.Result.Routine == routine.Deleted && slices.ContainsFunc(e.made[name], since) {
				e.broken(o, "the routine was made after the plan of %s", e.planned[o.in.key])
			}
		}
	}
}

// checkExpiry: no routine ends before its time, or while a user has a job about it, and each ends whose time is over.
func (e end) checkExpiry() {
	for name, ops := range e.ops {
		for _, j := range ops {
			if j.in.by != routine.JanitorCaller || j.job.State != routine.Succeeded {
				continue
			}
			for _, u := range ops {
				switch {
				case u.in.by == routine.JanitorCaller:
				case u.job.AcceptedAt.Before(j.at) && u.job.UpdatedAt.After(j.job.UpdatedAt) && len(u.job.Redrives) == 0:
					e.broken(j, "and %s was unfinished", u.in.key)
				case u.in.what == renews && u.job.State == routine.Succeeded && u.job.UpdatedAt.Before(j.job.UpdatedAt) && e.last(ops, u) &&
					j.job.UpdatedAt.Before(u.job.UpdatedAt.Add(u.in.expiresIn)):
					e.broken(j, "and %s has renewed it", u.in.key)
				}
			}
			if !slices.ContainsFunc(ops, func(u op) bool { return u.in.expiresIn > 0 && u.job.AcceptedAt.Add(u.in.expiresIn).Before(j.at) }) {
				e.broken(j, "and nobody has asked for an end")
			}
		}
		claim, _ := e.claim(name)
		failed := slices.ContainsFunc(ops, func(o op) bool { return o.in.by == routine.JanitorCaller && o.job.State == routine.DeadLettered })
		if there := e.routine(name); there != nil && claim.Ownership == routine.Owned && !claim.ExpiresAt.IsZero() && !failed && !e.inDoubt(name) {
			e.t.Errorf("the time of %s is over since %s, and it is there", name, claim.ExpiresAt)
		}
	}
}

// last reports whether no later intent about the end of the routine was accepted.
func (e end) last(ops []op, u op) bool {
	return !slices.ContainsFunc(ops, func(o op) bool { return o.in.expiresIn > 0 && o.at.After(u.at) })
}

// checkCallbacks: who wants to be told of a job's end is told of it, and of each end under one id.
func (e end) checkCallbacks() {
	for _, ops := range e.ops {
		for _, o := range ops {
			if o.in.by == routine.JanitorCaller {
				continue
			}
			ends, heard := map[string]routine.State{}, false
			for _, event := range e.told {
				if event.Data.ID != o.job.ID {
					continue
				}
				if state, again := ends[event.id]; again && state != event.Data.State {
					e.broken(o, "one end was told as %s and as %s", state, event.Data.State)
				}
				ends[event.id] = event.Data.State
				heard = heard || event.Data.State == o.job.State && event.Timestamp.Equal(o.job.UpdatedAt)
			}
			owed := o.in.told && o.job.State != routine.Cancelled && (o.job.Callback == nil || o.job.Callback.State != routine.CallbackFailed)
			if len(ends) > o.job.Redriven+1 || owed && !heard {
				e.broken(o, "its ends were told as %v", ends)
			}
		}
	}
}
