package seeds_test

import (
	"slices"
	"time"

	"routinely/shared/routine"
)

// op is an intent that was accepted, with what became of its job, or a job of the janitor.
type op struct {
	in  intent
	job routine.Job
	// at is when it became an intent.
	at time.Time
}

// wish is what an intent wants of a thing.
type wish int

const (
	// silent: it is not about the thing.
	silent wish = iota
	isThere
	isGone
	// unknown: it cannot be told what is wanted in the end.
	unknown
)

// says is what an op wants of a host name, or of the routine itself if the host name is empty.
func (o op) says(host string) wish {
	switch o.in.what {
	case creates:
		if host != "" && (!slices.Contains(o.in.hosts, host) || o.passed(host)) {
			return silent
		}
		return isThere
	case deletes, plans, string(routine.Remove):
		return isGone
	case string(routine.Expire):
		if host != "" {
			return isGone
		}
	case unbinds:
		if slices.Contains(o.in.hosts, host) {
			return isGone
		}
	}
	return silent
}

// passed reports whether a job left a host name to a newer intent.
func (o op) passed(host string) bool {
	return o.job.Result != nil && slices.ContainsFunc(o.job.Result.Records, func(r routine.RecordResult) bool {
		return r.RecordName == host && r.Outcome == routine.Passed
	})
}

// want is what the intents about a thing say in the end, and the one that does. An intent that ended as a dead letter, or was called off, may have
// taken effect in part: after it nothing is known, until the next one.
func (e end) want(name, host string) (out wish, last op) {
	for _, o := range e.ops[name] {
		if o.in.by == routine.JanitorCaller {
			out, last = e.afterJanitor(out, last, o, host)
			continue
		}
		said := o.says(host)
		again := o.in.what == renews || o.in.what == creates && o.in.expiresIn > 0 // such a job binds again what was unbound at the end of the time
		switch {
		case said == silent && (!again || last.in.by != routine.JanitorCaller):
		case said == silent, o.job.State != routine.Succeeded && o.job.State != routine.Superseded:
			out, last = unknown, o
		case said == isThere && o.job.State == routine.Superseded:
			out, last = e.overtaken(o, host), o
		default:
			out, last = said, o
		}
	}
	return out, last
}

// overtaken is what is known after a create that ended as superseded: something later says more, or it was overtaken by a job that came to nothing.
func (e end) overtaken(o op, host string) wish {
	for _, other := range e.ops[o.in.name] {
		if other.job.ID != o.job.SupersededBy {
			continue
		}
		if other.at.Before(o.at) && other.in.by != routine.JanitorCaller {
			e.broken(o, "was superseded by the older job of %s", other.in.key)
		}
		givenUp := other.job.State == routine.DeadLettered || other.job.State == routine.Cancelled
		if givenUp && o.job.UpdatedAt.After(other.job.UpdatedAt) && !slices.Contains(other.job.Overtook, o.job.ID) {
			e.broken(o, "was superseded by the job of %s, which was given up before", other.in.key)
		}
		return unknown
	}
	e.broken(o, "was superseded by job %s, which is not about it", o.job.SupersededBy)
	return unknown
}

// afterJanitor is what is known after a job of the janitor. It gives way to every user's job, older ones too.
func (e end) afterJanitor(out wish, last op, j op, host string) (wish, op) {
	said := j.says(host)
	begun := !j.job.StartedAt.IsZero()
	switch {
	case said == silent || !begun && j.job.State != routine.Succeeded:
		return out, last
	case j.job.State != routine.Succeeded:
		return unknown, j
	case slices.ContainsFunc(e.ops[j.in.name], func(u op) bool { return u.at.Before(j.at) && u.job.UpdatedAt.After(j.job.UpdatedAt) }):
		return unknown, j
	}
	return said, j
}

// wantedText is the description that the last intent about it wants, and that intent.
func (e end) wantedText(name string) (text string, last op) {
	for _, o := range e.ops[name] {
		switch {
		case o.says("") == isGone, o.in.what == creates && o.job.State != routine.Succeeded && o.in.description != "":
			text, last = "", o
		case o.in.what == creates && o.in.description != "":
			text, last = o.in.description, o
		}
	}
	return text, last
}

// hosts are the host names that intents about a routine name.
func (e end) hosts(name string) (out []string) {
	for _, in := range e.plan.intents {
		if in.name == name {
			out = append(out, in.hosts...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
