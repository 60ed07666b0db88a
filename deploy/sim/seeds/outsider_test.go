package seeds_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"routinely/deploy/local/esaemu"
)

// outside is what outsiders have made, and when they have removed a routine.
type outside struct {
	routines []planted
	records  []planted
	routes   []planted
	// touched is when outsiders last changed something about a routine, and hosts are the host names that they have bound or taken.
	removed, touched map[string]time.Time
	hosts            map[string]bool
	// took are the records that went with routines that outsiders removed.
	took map[int64]bool
	// coded are the routines whose code outsiders have changed, versions their versions by routine, and deployed when they last deployed one, by
	// routine and environment.
	coded    map[string]bool
	versions map[string][]string
	deployed map[string]time.Time
}

// planted is a thing that an outsider has made.
type planted struct {
	routine string
	id      int64
	at      time.Time
	// unseen means that it was made between a worker's last look and its call, which the worker cannot see.
	unseen bool
	gone   bool
}

// meddle does what outsiders do now.
func (r *run) meddle() {
	r.plan.meddlings = slices.DeleteFunc(r.plan.meddlings, func(m meddling) bool {
		if m.step > r.step || m.patient && !r.longAfterTrouble(m.name) || r.does(m) != nil { // at times it is not possible yet
			return false
		}
		r.log("an outsider %s %s %s", m.what, m.name, m.host)
		switch m.what {
		case takesLock:
		case uploadsCode, makesVersion, deploysVersion, removesVersion:
			r.outside.coded[m.name] = true
		case makesRecord:
			r.outside.hosts[m.host] = true
		default:
			r.outside.touched[m.name], r.outside.hosts[m.host] = r.clock.Now(), true
		}
		return true
	})
}

// longAfterTrouble reports whether a call about a routine broke, and none that may still take effect.
func (r *run) longAfterTrouble(name string) bool {
	doubts := r.doubts[name]
	return len(doubts) > 0 && r.clock.Now().Sub(doubts[len(doubts)-1]) > esaTimeout+2*time.Second
}

func (r *run) does(m meddling) (err error) {
	made := planted{routine: m.name, at: r.clock.Now()}
	switch m.what {
	case makesRoutine:
		return r.plantRoutine(m.name)
	case removesRoutine:
		return r.removeRoutine(m.name)
	case replacesRoutine:
		if err = r.justMade(m.name); err == nil {
			err = r.removeRoutine(m.name)
		}
		if err == nil {
			err = r.plantRoutine(m.name)
		}
		return err
	case makesRecord:
		if made.id, err = r.esa.PlantRecord(siteID, m.host); err == nil {
			made.routine = ""
			r.outside.records = append(r.outside.records, made)
		}
	case bindsRecord:
		made.unseen = r.acting(m.name, func(in *invocation) bool { return in.lists[m.name] })
		if made.id, err = r.esa.BindRecord(m.name, siteID, m.host); err == nil {
			r.outside.records = append(r.outside.records, made)
		}
	case plantsRoute:
		made.unseen = r.acting(m.name, func(in *invocation) bool { return in.lists[m.name] })
		route := esaemu.Route{SiteID: siteID, Routine: m.name, Name: "foreign", Enable: "on", Rule: "true", Bypass: "off", Fallback: "off", Mode: "custom"}
		if made.id, err = r.esa.PlantRoute(route); err == nil {
			r.outside.routes = append(r.outside.routes, made)
		}
	case takesLock:
		return r.holdLock()
	default:
		return r.meddleWithCode(m)
	}
	return err
}

// shown is the routine that ESA has, or nil.
func (r *run) shown(name string) *esaemu.Routine {
	state, err := r.esa.State()
	r.must(err)
	for i := range state.Routines {
		if state.Routines[i].Name == name {
			return &state.Routines[i]
		}
	}
	return nil
}

// plantRoutine makes a routine as somebody else does.
//
// Two gaps are documented. Nobody can tell it from one of ours if a call of ours that makes it has no answer at that time. And a worker does not see it
// between its last look and its deletion.
func (r *run) plantRoutine(name string) error {
	made := esaemu.Routine{Name: name, Description: foreign, CreateTime: r.clock.Now()}
	err := r.justMade(name)
	if err == nil {
		err = r.esa.PlantRoutine(made)
	}
	if err == nil {
		r.outside.routines = append(r.outside.routines, planted{
			routine: name, at: made.CreateTime, unseen: r.acting(name, func(in *invocation) bool { return in.looks == name }),
		})
	}
	return err
}

// justMade is an error while a routine of the name was made within the last second: nobody can tell it from another one of that second, which is
// documented.
func (r *run) justMade(name string) error {
	latest := slices.MaxFunc(append([]time.Time{{}}, r.made[name]...), time.Time.Compare)
	if there := r.shown(name); there != nil && there.CreateTime.After(latest) {
		latest = there.CreateTime
	}
	if r.clock.Now().Before(latest.Add(time.Second)) {
		return fmt.Errorf("the routine %s was made within the last second", name)
	}
	return nil
}

// removeRoutine removes a routine with all that uses it, whosever it is.
func (r *run) removeRoutine(name string) error {
	before := r.shown(name)
	if err := r.esa.RemoveRoutine(name); err != nil {
		return err
	}
	for _, record := range before.Records {
		r.outside.took[record.RecordID] = true
	}
	for _, list := range [][]planted{r.outside.routines, r.outside.records, r.outside.routes} {
		for i := range list {
			list[i].gone = list[i].gone || list[i].routine == name
		}
	}
	r.outside.removed[name] = r.clock.Now()
	return nil
}

// acting reports whether a worker is between a look at a routine and a call that deletes it, or such a call takes effect later.
func (r *run) acting(name string, looked func(*invocation) bool) bool {
	r.gate.mu.Lock()
	defer r.gate.mu.Unlock()
	for process, in := range r.gate.running {
		if strings.HasPrefix(process, provisioner) && looked(in) {
			return true
		}
	}
	deletes := func(c *call) bool {
		return c.server == esaServer && c.action == "DeleteRoutine" && c.params["Name"] == name
	}
	return slices.ContainsFunc(r.gate.held, deletes) || slices.ContainsFunc(r.late, func(c lateCall) bool { return deletes(c.call) })
}

// holdLock takes the account lock for some seconds, unless it is taken.
func (r *run) holdLock() error {
	d := time.Duration(1+r.random.IntN(10)) * time.Second
	state, err := r.esa.State()
	if err != nil || state.Account.Locked {
		return err
	}
	return r.esa.HoldLock(r.t.Context(), d)
}

// dangle says whether ESA deletes a routine that something uses.
func (r *run) dangle(dangling bool) {
	r.must(r.esa.SetAccount(esaemu.AccountChange{Dangling: &dangling}))
}
