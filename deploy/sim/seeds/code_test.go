package seeds_test

import (
	"errors"
	"slices"
	"strings"

	"routinely/deploy/local/esaemu"
	"routinely/shared/api"
	"routinely/shared/routine"
)

const (
	postObject    = "PostObject"
	commits       = "CommitRoutineStagingCode"
	deploys       = "CreateRoutineCodeDeployment"
	removesCode   = "DeleteRoutineCodeVersion"
	foreignSource = "export default 'theirs'"
)

// sumOf is the hash of some code; empty of none.
func sumOf(code string) string {
	if code == "" {
		return ""
	}
	return routine.NewCode([]byte(code)).SHA256
}

// environments are those that an intent is about.
func (in intent) environments() []routine.Environment {
	return routine.Request{Environments: environmentsOf(in.environment)}.DeployTo()
}

func environmentsOf(env routine.Environment) []routine.Environment {
	if env == "" {
		return nil
	}
	return []routine.Environment{env}
}

// meddleWithCode does what an outsider does to the code of a routine. He removes his own versions alone.
func (r *run) meddleWithCode(m meddling) (err error) {
	switch m.what {
	case uploadsCode:
		r.gate.mu.Lock()
		between := slices.ContainsFunc(r.gate.held, func(c *call) bool { return c.action == commits && c.params["Name"] == m.name })
		r.gate.mu.Unlock()
		if !between {
			return errors.New("nobody is about to commit")
		}
		return r.esa.PlantUpload(m.name, []byte(foreignSource))
	case removesVersion:
		for _, version := range r.outside.versions[m.name] {
			if err = r.esa.RemoveVersion(m.name, version); err == nil {
				return nil
			}
		}
		return errors.New("he has none that is not live")
	default:
		var envs []string
		if m.what == deploysVersion {
			for _, env := range (intent{environment: m.environment}).environments() {
				envs = append(envs, string(env))
			}
		}
		version, err := r.esa.PlantVersion(m.name, foreign, []byte(foreignSource), envs...)
		if err != nil {
			return err
		}
		r.outside.versions[m.name] = append(r.outside.versions[m.name], version)
		for _, env := range envs {
			r.outside.deployed[m.name+" "+env] = r.clock.Now()
			r.nowLive(m.name, env, version)
		}
		return nil
	}
}

// nowLive notes what is live in an environment.
func (r *run) nowLive(name, env, version string) {
	at := name + " " + env
	if all := r.lived[at]; len(all) == 0 || all[len(all)-1] != version {
		r.lived[at] = append(all, version)
	}
}

// watching checks what a call of ours does to the code of a routine.
func (r *run) watching(c *call) (end func()) {
	if c.server != esaServer || c.action != commits && c.action != deploys && c.action != removesCode {
		return func() {}
	}
	name := c.params["Name"]
	before := r.shown(name)
	return func() {
		after := r.shown(name)
		if before == nil || after == nil {
			return
		}
		switch c.action {
		case commits:
			r.checkMade(name, before.Versions, after.Versions)
		case removesCode:
			r.checkPruned(name, *before, *after)
		default:
			for _, d := range after.Deployments {
				if !slices.ContainsFunc(before.Deployments, func(was esaemu.Deployment) bool { return was.DeployID == d.DeployID }) {
					r.checkDeployed(name, *after, d)
				}
			}
		}
	}
}

// checkMade: a job makes no version of what it has made a version of.
func (r *run) checkMade(name string, before, after []esaemu.Version) {
	for _, v := range after {
		same := func(was esaemu.Version) bool { return was.CodeVersion == v.CodeVersion }
		if slices.ContainsFunc(before, same) {
			continue
		}
		r.log("version %s of %s is made of %.8s", v.CodeVersion, name, v.SHA256)
		if slices.ContainsFunc(before, func(was esaemu.Version) bool {
			return was.CodeDescription == v.CodeDescription && was.SHA256 == v.SHA256 && v.SHA256 != sumOf(foreignSource)
		}) {
			r.t.Errorf("routine %s: a second version %s of one job and content is made: %s", name, v.CodeVersion, v.CodeDescription)
		}
	}
}

// checkPruned: neither what is somebody else's is deleted, nor what was live before what is live. What is live ESA does not delete.
func (r *run) checkPruned(name string, before, after esaemu.Routine) {
	for _, v := range before.Versions {
		if slices.ContainsFunc(after.Versions, func(is esaemu.Version) bool { return is.CodeVersion == v.CodeVersion }) {
			continue
		}
		r.log("version %s of %s is deleted", v.CodeVersion, name)
		if slices.Contains(r.outside.versions[name], v.CodeVersion) {
			r.t.Errorf("routine %s: the version %s of another is deleted", name, v.CodeVersion)
		}
		for _, env := range routine.Environments() {
			if all := r.lived[name+" "+string(env)]; len(all) > 1 && all[len(all)-2] == v.CodeVersion {
				r.t.Errorf("routine %s: the version %s is deleted, which was live in %s before", name, v.CodeVersion, env)
			}
		}
	}
}

// checkDeployed: nothing goes live by us that nobody asked for: code of a create, or by a rollback what was live before.
func (r *run) checkDeployed(name string, there esaemu.Routine, d esaemu.Deployment) {
	version := d.Shares[0].CodeVersion
	i := slices.IndexFunc(there.Versions, func(v esaemu.Version) bool { return v.CodeVersion == version })
	sum := there.Versions[i].SHA256
	r.log("version %s of %s, %.8s, is deployed to %s", version, name, sum, d.Env)
	asked := slices.ContainsFunc(r.plan.intents, func(in intent) bool {
		if in.name != name || r.ids[in.key] == "" && !r.asking(in.key) || !slices.Contains(in.environments(), routine.Environment(d.Env)) {
			return false
		}
		return in.what == rollsBack && slices.Contains(r.lived[name+" "+d.Env], version) || in.code != "" && sumOf(in.code) == sum
	})
	if !asked || len(d.Shares) != 1 {
		r.t.Errorf("routine %s: nobody asked for version %s in %s", name, version, d.Env)
	}
	r.nowLive(name, d.Env, version)
}

// asking reports whether a request was sent, whatever its user was told.
func (r *run) asking(key string) bool {
	return slices.ContainsFunc(r.requests, func(q *request) bool {
		return slices.ContainsFunc(q.intents, func(in intent) bool { return in.key == key && in.from <= r.step })
	})
}

// deployment is what the newest intent about an environment has achieved, and the op of it. known is false if it cannot be told what is live.
func (e end) deployment(name string, env routine.Environment) (want routine.CodeResult, last op, known bool) {
	for _, o := range e.ops[name] {
		deployed := o.in.code != "" || o.in.what == rollsBack
		switch {
		case o.says("") == isGone, deployed && slices.Contains(o.in.environments(), env) && o.job.State != routine.Succeeded:
			known = false
		case !deployed || !slices.Contains(o.in.environments(), env):
		default:
			i := slices.IndexFunc(o.job.Result.Code, func(c routine.CodeResult) bool { return c.Environment == env })
			switch {
			case i < 0:
				e.broken(o, "says nothing of %s", env)
			case o.job.Result.Code[i].Outcome != routine.Passed:
				want, last, known = o.job.Result.Code[i], o, true
			}
		}
	}
	return want, last, known
}

// checkCode: in each environment is live what the newest intent about it says, and the claim says so too, unless an outsider has deployed since.
func (e end) checkCode(name string) {
	there := e.routine(name)
	if there == nil || e.isForeign(*there) {
		return
	}
	claim, _ := e.claim(name)
	for _, env := range routine.Environments() {
		want, last, known := e.deployment(name, env)
		// A rollback does not ask that the routine is there: an older deletion that is carried out after it takes its code along.
		taken := last.in.what == rollsBack && slices.ContainsFunc(e.ops[name], func(o op) bool {
			return o.says("") == isGone && o.job.State == routine.Succeeded && !o.job.UpdatedAt.Before(last.job.UpdatedAt)
		})
		if !known || taken || e.outside.removed[name].After(last.at) || e.outside.deployed[name+" "+string(env)].After(last.at) {
			continue
		}
		live := liveIn(*there, env)
		if live != want.CodeVersion {
			e.broken(last, "version %s was deployed to %s, and %q is live", want.CodeVersion, env, live)
			continue
		}
		if i := slices.IndexFunc(there.Versions, func(v esaemu.Version) bool { return v.CodeVersion == live }); last.in.code != "" && there.Versions[i].SHA256 != sumOf(last.in.code) {
			e.broken(last, "other code is live in %s", env)
		}
		i := slices.IndexFunc(claim.Code, func(c api.LiveCode) bool { return c.Environment == env })
		if i < 0 || claim.Code[i].CodeVersion != live || claim.Code[i].SHA256 != want.SHA256 {
			e.broken(last, "version %s is live in %s, and the claim says %+v", live, env, claim.Code)
		}
	}
}

// liveIn is the version that is live in an environment; empty if there is none.
func liveIn(there esaemu.Routine, env routine.Environment) string {
	var out []string
	for _, d := range there.Deployments {
		for _, share := range d.Shares {
			if d.Env == string(env) {
				out = append(out, share.CodeVersion)
			}
		}
	}
	return strings.Join(out, "+")
}
