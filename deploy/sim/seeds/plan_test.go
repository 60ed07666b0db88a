package seeds_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"routinely/shared/routine"
)

// plan is what a run is made of, before anything happens: it follows from the seed alone.
type plan struct {
	// intents are in the order in which users think of them.
	intents   []intent
	meddlings []meddling
	// orders is how often an operator redrives a job or calls one off.
	orders int
	// trouble is how many of a thousand calls break, and troubles how many may in all. kills bounds the processes that are killed.
	trouble, troubles, kills int
	// dangling means that ESA deletes a routine that records and routes use, and leaves those behind.
	dangling bool
	// keeps means that the deployment deletes nothing.
	keeps bool
	// versions is how many versions of its code a routine may have.
	versions int
	// steps is how long trouble lasts, in decisions of the driver.
	steps int
}

// What users ask for.
const (
	creates = "create"
	deletes = "delete"
	unbinds = "unbind"
	renews  = "renew"
	claims  = "claim"
	// rollsBack lets the code run again that was live before.
	rollsBack = "rollback"
	// plans deletes what a plan says, some time after it was made.
	plans = "plan"
)

// The callers. The operator has the scope operate.
const (
	ann      = "ann"
	bob      = "bob"
	operator = "ops"
)

// intent is what a user wants of a routine.
type intent struct {
	// key is the idempotency key of its request: however often that is sent, it is one job.
	key, by, what, name string
	// hosts are the host names to bind, or the one to unbind.
	hosts []string
	// description is what ESA shall say of the routine; empty leaves it open.
	description string
	// ifExists is fail, update or empty.
	ifExists  string
	expiresIn time.Duration
	// code is what the routine is to run, or empty, in one environment, or in all if that is empty. bySum names code of before by its hash.
	code        string
	environment routine.Environment
	bySum       bool
	// told wants a callback.
	told bool
	// batch is the request that a create is sent with, of the same caller; 0 is one of its own.
	batch int
	// from is the decision of the driver before which nobody asks for it.
	from int
}

// meddling is what an outsider does to the account behind the pipeline's back.
type meddling struct {
	// step is the decision of the driver before which it happens, or the first after it at which it can.
	step int
	what string
	// name is the routine that it is about, and host the host name.
	name, host string
	// environment is where code is deployed; all of them if it is empty.
	environment routine.Environment
	// patient waits until some time after a call about the routine broke. Nobody takes what is made then for what the call has made.
	patient bool
}

// What outsiders do.
const (
	makesRoutine    = "makes the routine"
	removesRoutine  = "removes the routine"
	replacesRoutine = "removes the routine and makes it again"
	makesRecord     = "makes the record"
	bindsRecord     = "binds a record to the routine"
	plantsRoute     = "leads a route to the routine"
	takesLock       = "takes the account lock"
	uploadsCode     = "uploads code before our commit to"
	makesVersion    = "makes a version of"
	deploysVersion  = "makes a version and deploys it of"
	removesVersion  = "removes a version of his of"
)

// foreign is what an outsider's routine is described as. No intent asks for it.
const foreign = "not ours"

// newPlan makes the plan of a seed.
func newPlan(seed uint64) plan {
	r := rand.New(rand.NewPCG(seed, 1))
	p := plan{
		trouble: r.IntN(150), troubles: r.IntN(20), kills: r.IntN(5), dangling: r.IntN(2) == 0, steps: 200 + r.IntN(400), orders: r.IntN(4),
	}
	if r.IntN(3) == 0 { // nothing breaks: then all has to go well
		p.troubles = 0
	}
	p.keeps = r.IntN(16) == 0
	// Few names make intents meet, many leave each alone. Only some runs have routines whose time is over: they take longer.
	names, mortal := 1+r.IntN(2), r.IntN(3) == 0
	for n := range 4 + r.IntN(9) {
		in := newIntent(r, fmt.Sprintf("pr-%d", r.IntN(names)), mortal, p.intents)
		in.key, in.from = fmt.Sprintf("k%d", n), n*p.steps/16
		p.intents = append(p.intents, in)
	}
	what := []string{makesRoutine, removesRoutine, replacesRoutine, makesRecord, bindsRecord, plantsRoute, takesLock}
	for range max(0, r.IntN(8)-3) {
		in := p.intents[r.IntN(len(p.intents))]
		m := meddling{step: r.IntN(p.steps * 2 / 3), patient: r.IntN(2) == 0, what: what[r.IntN(len(what))], name: in.name, host: "foreign-" + in.name + "." + siteName}
		if len(in.hosts) > 0 && r.IntN(2) == 0 {
			m.host = in.hosts[0]
		}
		p.meddlings = append(p.meddlings, m)
	}
	p.addCode(rand.New(rand.NewPCG(seed, 3)))
	return p
}

// sources are few, so that code repeats.
var sources = []string{"export default 1", "export default 2", "export default 3", "export default 4", "export default 5", "export default 6"}

// addCode gives code to the creates of every second plan, with rollbacks and outsiders who deploy as well.
func (p *plan) addCode(r *rand.Rand) {
	p.versions = 5 + r.IntN(2)
	if r.IntN(2) == 0 {
		return
	}
	environments := []routine.Environment{"", "", routine.Staging, routine.Production}
	if r.IntN(2) == 0 { // with the same code everywhere little room is enough: what is live, what was before, and what comes
		p.versions, environments = 3, environments[:1]
	}
	environment := func() routine.Environment { return environments[r.IntN(len(environments))] }
	for i := range p.intents {
		if in := &p.intents[i]; in.what == creates && r.IntN(4) > 0 {
			in.code, in.environment, in.bySum = sources[r.IntN(len(sources))], environment(), r.IntN(6) == 0
			if !in.bySum { // a batch takes hashes only
				in.batch = 0
			}
		}
	}
	// As many deployments as this need room: the oldest versions are deleted.
	from, name := 0, ""
	for n := range 2 + r.IntN(8) {
		if n == 0 || r.IntN(2) == 0 { // or it comes right after the one before
			from, name = r.IntN(p.steps), p.intents[r.IntN(len(p.intents))].name
		}
		p.intents = append(p.intents, intent{
			key: fmt.Sprintf("c%d", n), by: ann, what: creates, name: name, hosts: []string{hostOf(name, 0)}, code: sources[r.IntN(len(sources))],
			environment: environment(), bySum: r.IntN(6) == 0, from: from,
		})
	}
	for n := range r.IntN(4) {
		in := p.intents[r.IntN(len(p.intents))]
		p.intents = append(p.intents, intent{
			key: fmt.Sprintf("r%d", n), by: ann, what: rollsBack, name: in.name, environment: environment(), told: r.IntN(2) == 0, from: r.IntN(p.steps),
		})
	}
	what := []string{uploadsCode, uploadsCode, makesVersion, deploysVersion, removesVersion}
	for range max(0, r.IntN(9)-4) {
		in := p.intents[r.IntN(len(p.intents))]
		p.meddlings = append(p.meddlings, meddling{
			step: r.IntN(p.steps * 2 / 3), what: what[r.IntN(len(what))], name: in.name, environment: environment(),
		})
	}
}

// newIntent makes an intent about a routine, of which others were thought of before.
func newIntent(r *rand.Rand, name string, mortal bool, before []intent) intent {
	in := intent{name: name, by: ann, what: creates, told: r.IntN(2) == 0}
	if r.IntN(4) == 0 {
		in.by = bob
	}
	known := slices.ContainsFunc(before, func(o intent) bool { return o.name == name && o.what == creates })
	// At times what a plan is about is deleted and made again before the plan is carried out.
	deleted := len(before) > 0 && before[len(before)-1].what == plans && r.IntN(2) == 0
	again := len(before) > 1 && before[len(before)-2].what == plans && before[len(before)-1].what == deletes
	if deleted || again {
		in.name = before[len(before)-1].name
	}
	switch kind := r.IntN(12); {
	case deleted:
		in.what = deletes
	case again:
		newCreate(r, &in, mortal)
	case !known || kind < 5:
		newCreate(r, &in, mortal)
	case mortal && kind < 8:
		in.what, in.expiresIn = renews, time.Duration(1+r.IntN(5))*time.Hour
	case kind < 7 || kind == 9:
		in.what = deletes
	case kind < 9:
		in.what = plans
	case kind < 11:
		in.what, in.hosts = unbinds, []string{hostOf(name, r.IntN(3))}
	default:
		in.what, in.by = claims, operator
	}
	return in
}

func newCreate(r *rand.Rand, in *intent, mortal bool) {
	first := r.IntN(3)
	for n := range 1 + r.IntN(3) {
		in.hosts = append(in.hosts, hostOf(in.name, (first+n)%3))
	}
	if r.IntN(8) == 0 {
		in.hosts[0] = "shared." + siteName
	}
	if r.IntN(4) == 0 {
		in.description = fmt.Sprintf("text %d", r.IntN(2))
	}
	switch r.IntN(8) {
	case 0:
		in.ifExists = "fail"
	case 1:
		in.ifExists, in.description = "update", "text 2"
	}
	if mortal && r.IntN(3) > 0 {
		in.expiresIn = time.Duration(1+r.IntN(5)) * time.Hour
	}
	in.batch = max(0, r.IntN(5)-2)
}

func hostOf(name string, n int) string { return fmt.Sprintf("%s-%d.%s", name, n, siteName) }
