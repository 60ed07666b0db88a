package seeds_test

import (
	"slices"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// checkClaim: what is claimed as there is there, and what is claimed as gone is not, unless an outsider changed that after the last look. A claim that is
// on its way at the end has a dead letter that tells why.
func (e end) checkClaim(name string) {
	claim, _ := e.claim(name)
	there := e.routine(name)
	is := there != nil && there.CreateTime.Truncate(time.Second).Equal(claim.CreateTime)
	changed := !e.outside.touched[name].Truncate(time.Second).Before(claim.SeenAt) && !e.outside.touched[name].IsZero()
	failed := slices.ContainsFunc(e.ops[name], func(o op) bool { return o.job.State != routine.Succeeded && o.job.State != routine.Superseded })
	switch claim.State {
	case routine.Live, routine.Expiring:
		if !is && !changed {
			e.t.Errorf("the claim of %s is %s, of %s, seen at %s, and ESA has %+v", name, claim.State, claim.CreateTime, claim.SeenAt, there)
		}
	case routine.Creating, routine.Deleting:
		if !failed {
			e.t.Errorf("the claim of %s is %s", name, claim.State)
		}
	default: // what is there then is in checkLeft
	}
	for _, p := range e.outside.routines {
		if claim.Ownership == routine.Owned && is && p.routine == name && p.at.Equal(there.CreateTime) && !e.claimedAfter(p) && !e.whileCreating(p) && !p.unseen {
			e.t.Errorf("the routine %s of another, made at %s, is claimed as owned", name, p.at)
		}
	}
	for _, record := range claim.Records {
		others := func(p planted) bool { return p.id == record.RecordID && !e.claimedAfter(p) && !e.whileBinding(p) }
		if record.Ownership == routine.Owned && slices.ContainsFunc(e.outside.records, others) {
			e.t.Errorf("the record %s of another is claimed as owned", record.RecordName)
		}
		bound := e.bound(name, record.RecordName)
		givenUp := slices.ContainsFunc(e.ops[name], func(o op) bool { // before the job knew what became of its call
			return o.job.State == routine.Superseded && o.in.what == creates && slices.Contains(o.in.hosts, record.RecordName)
		})
		switch {
		case record.State == routine.Live && (bound == nil || bound.RecordID != record.RecordID) && !e.outside.took[record.RecordID]:
			e.t.Errorf("the claim of %s for %s is live with record %d, and ESA has %+v", record.RecordName, name, record.RecordID, bound)
		case (record.State == routine.Creating || record.State == routine.Deleting) && !failed && !givenUp:
			e.t.Errorf("the claim of %s for %s is %s", record.RecordName, name, record.State)
		}
	}
}

// checkLeft: whatever of ours is in ESA, a claim or a dead letter reports it.
func (e end) checkLeft() {
	for _, there := range e.esa.Routines {
		claim, _ := e.claim(there.Name)
		if !e.isForeign(there) && (claim.State == "" || claim.State == routine.Gone) && !e.isLeft(there.Name, "") {
			e.t.Errorf("nothing reports the routine %s of %s", there.Name, there.CreateTime)
		}
		for _, record := range there.Records {
			e.checkRecordLeft(claim, record)
		}
	}
	for _, record := range e.esa.DanglingRecords {
		claim, _ := e.claim(record.Routine)
		e.checkRecordLeft(claim, record)
	}
}

func (e end) checkRecordLeft(claim api.Routine, record esaemu.Record) {
	claimed := slices.ContainsFunc(claim.Records, func(r api.RoutineRecord) bool {
		return r.RecordName == record.RecordName && (r.RecordID == record.RecordID || r.RecordID == 0)
	})
	if !claimed && !e.isForeignRecord(record.RecordID) && !e.isLeft(record.Routine, record.RecordName) && !e.replacedWhileBinding(record.Routine) {
		e.t.Errorf("nothing reports the record %+v: the claim is %+v", record, claim)
	}
}

// isLeft reports whether a job says that it has left a thing in ESA.
func (e end) isLeft(name, host string) bool {
	return slices.ContainsFunc(e.ops[name], func(o op) bool {
		return slices.ContainsFunc(o.job.Left, func(l routine.Left) bool { return l.Routine == name && l.RecordName == host })
	})
}

// checkLetters: what was made by jobs that were all given up or called off, one of them reports that it has left it.
func (e end) checkLetters(name string) {
	_, touched := e.outside.touched[name]
	there := e.routine(name)
	if there == nil || touched || slices.ContainsFunc(e.ops[name], func(o op) bool { return o.in.what == claims }) {
		return
	}
	if e.allGivenUp(name, "") && !e.isLeft(name, "") {
		e.t.Errorf("no job tells that it has left the routine %s", name)
	}
	for _, record := range there.Records {
		if e.allGivenUp(name, record.RecordName) && !e.isLeft(name, record.RecordName) && !e.isForeignRecord(record.RecordID) {
			e.t.Errorf("no job tells that it has left the record %s of routine %s", record.RecordName, name)
		}
	}
}

// allGivenUp reports whether all jobs that were to make a routine, or to bind a host name of it, were given up or called off.
func (e end) allGivenUp(name, host string) bool {
	for _, o := range e.ops[name] {
		wants := o.in.what == creates && (host == "" || slices.Contains(o.in.hosts, host))
		if wants && o.job.State != routine.DeadLettered && o.job.State != routine.Cancelled {
			return false
		}
	}
	return true
}

// checkForeign: what outsiders have made is as it was, unless they removed it themselves or an operator claimed it. What cannot be seen is documented.
func (e end) checkForeign() {
	for _, p := range e.outside.routines {
		there := e.routine(p.routine)
		if p.gone || p.unseen || e.claimedAfter(p) || e.whileCreating(p) {
			continue
		}
		if there == nil || !there.CreateTime.Equal(p.at) || there.Description != foreign {
			e.t.Errorf("the routine %s of another, made at %s, was changed: ESA has %+v", p.routine, p.at, there)
		}
	}
	for _, p := range e.outside.records {
		same := func(r esaemu.Record) bool { return r.RecordID == p.id }
		there := e.routine(p.routine)
		if p.gone || p.unseen || e.claimedAfter(p) || e.whileBinding(p) {
			continue
		}
		if !slices.ContainsFunc(e.esa.Planted, same) && (there == nil || !slices.ContainsFunc(there.Records, same)) {
			e.t.Errorf("the record %d of another, for routine %q, was changed", p.id, p.routine)
		}
	}
	for _, p := range e.outside.routes {
		there := e.routine(p.routine)
		if !p.gone && !p.unseen && (there == nil || !slices.ContainsFunc(there.Routes, func(r esaemu.Route) bool { return r.ConfigID == p.id })) {
			e.t.Errorf("the route %d of another, to routine %q, was changed", p.id, p.routine)
		}
	}
}

// checkDrift: once the janitor has looked, what differs between ESA and the claims is shown, and nothing else.
func (e end) checkDrift() {
	e.advance(10 * time.Minute)
	e.acted(e.sweep)
	for e.busy() {
		e.answer(e.held()[0])
	}
	var want []string
	for _, name := range e.known() {
		claim, _ := e.claim(name)
		there := e.routine(name)
		claimed := claim.State == routine.Live || claim.State == routine.Expiring
		switch {
		case there != nil && (claim.State == "" || claim.State == routine.Gone):
			want = append(want, name+" "+api.DriftUnclaimed)
		case !claimed:
		case there == nil:
			want = append(want, name+" "+api.DriftGone)
		case !claim.CreateTime.Equal(there.CreateTime.Truncate(time.Second)):
			want = append(want, name+" "+api.DriftMadeAgain)
		case claim.Ownership == routine.Owned && claim.Description != there.Description:
			want = append(want, name+" "+api.DriftDescription)
		}
		if claimed && there != nil && claim.Ownership == routine.Owned && claim.CreateTime.Equal(there.CreateTime.Truncate(time.Second)) {
			want = append(want, foreignTo(claim, *there)...)
		}
	}
	drift, _ := read[api.Drift](e.run, "/v1/routines:check")
	var got []string
	for _, f := range drift.Findings {
		got = append(got, f.Name+" "+f.What)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		e.t.Errorf("the differences are shown as %v, want %v", got, want)
	}
}

// foreignTo are the differences that records and routes of others make.
func foreignTo(claim api.Routine, there esaemu.Routine) (out []string) {
	owned := func(record esaemu.Record) bool {
		return slices.ContainsFunc(claim.Records, func(c api.RoutineRecord) bool {
			return c.RecordName == record.RecordName && (c.State == routine.Creating || c.Ownership == routine.Owned && c.RecordID == record.RecordID)
		})
	}
	if slices.ContainsFunc(there.Records, func(r esaemu.Record) bool { return !owned(r) }) {
		out = append(out, claim.Name+" "+api.DriftForeignRecord)
	}
	if len(there.Routes) > 0 {
		out = append(out, claim.Name+" "+api.DriftForeignRoute)
	}
	return out
}

// known are the names of all routines that intents are about or that ESA has.
func (e end) known() (names []string) {
	for _, in := range e.plan.intents {
		names = append(names, in.name)
	}
	for _, there := range e.esa.Routines {
		names = append(names, there.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// claimedAfter reports whether an operator has claimed the routine since.
func (e end) claimedAfter(p planted) bool {
	return slices.ContainsFunc(e.ops[p.routine], func(o op) bool { return o.in.what == claims && !o.job.UpdatedAt.Before(p.at.Truncate(time.Second)) })
}

// whileCreating reports whether a routine was made within the time of a call of ours of which nobody knows what became: nobody can tell whose it is.
func (e end) whileCreating(p planted) bool {
	return slices.ContainsFunc(e.doubts[p.routine], func(at time.Time) bool {
		return p.at.After(at.Add(-2*time.Second)) && p.at.Before(at.Add(esaTimeout+2*time.Second))
	})
}

// whileBinding reports whether a call of ours that may have bound the same host name had no answer since: nobody can tell whose the record is.
func (e end) whileBinding(p planted) bool {
	return slices.ContainsFunc(e.lostBinds, func(at time.Time) bool { return !at.Before(p.at) })
}

// replacedWhileBinding reports whether an outsider made a routine again while a call of ours that binds a host name to it could still take effect: it binds to
// what nobody here knows.
func (e end) replacedWhileBinding(name string) bool {
	return slices.ContainsFunc(e.outside.routines, func(p planted) bool {
		return p.routine == name && slices.ContainsFunc(e.lostBinds, func(at time.Time) bool { return !p.at.Before(at) && p.at.Before(at.Add(esaTimeout)) })
	})
}

// checkDead: a job is given up only if the plan or the trouble says why.
func (e end) checkDead() {
	for name, ops := range e.ops {
		for _, o := range ops {
			if o.job.State == routine.DeadLettered && !e.inDoubt(name) && e.givenUp < 3 && !e.conflict(o) {
				e.broken(o, "is a dead letter without a reason: %s %s", o.job.Code, o.job.Reason)
			}
		}
	}
}

// conflict reports whether others may keep an intent from its end: they want something else of the same name.
func (e end) conflict(o op) bool {
	if o.in.what == renews || o.in.what == claims || o.in.what == rollsBack || e.plan.keeps { // the routine may not be there, or stays
		return true
	}
	if o.in.code != "" && e.outside.coded[o.in.name] {
		return true
	}
	if slices.ContainsFunc(o.in.hosts, func(host string) bool { return e.outside.hosts[host] }) {
		return true
	}
	for _, other := range e.plan.intents {
		sameHost := slices.ContainsFunc(other.hosts, func(h string) bool { return slices.Contains(o.in.hosts, h) })
		switch {
		case other.key == o.in.key:
		case other.name != o.in.name && sameHost, other.name == o.in.name && other.by != o.in.by, other.name == o.in.name && other.ifExists != "",
			other.name == o.in.name && o.in.ifExists != "", other.name == o.in.name && other.description != o.in.description && o.in.what == creates:
			return true
		}
	}
	return false
}
