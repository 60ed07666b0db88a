package ledger

import (
	"fmt"
	"slices"
	"time"

	"routinely/shared/routine"
)

// Redrive queues a dead letter again, in a new round whose first send is due at due. asOf is when the set of what is redriven was chosen: a
// job that died, or was redriven, after it is not of that set. corrected, if not nil, takes the place of the request. A superseded job can be redriven
// too. It keeps the number of its intent unless it was superseded or is corrected: then it is a new one.
func (r *Row) Redrive(by, reason string, corrected *routine.Request, asOf, now, due time.Time) error {
	if r.State != routine.DeadLettered && r.State != routine.Superseded || r.redrivenSince(asOf) {
		return r.refuse(CodeNotDead, fmt.Sprintf("the job is %s, in round %d", r.State, r.Redriven))
	}
	if r.Problems != nil || r.Request.Name == "" && corrected == nil {
		return r.refuse(CodeNoRequest, "the message holds no valid request: submit it again, corrected, and drop this one")
	}
	now = stored(now)
	if r.State == routine.Superseded || corrected != nil {
		r.Intent = routine.NextNumber(now, r.IntentNumber())
		r.Progress.Code.Targets, r.Progress.Code.Done = nil, false // a new intent chooses again
	}
	redrive := routine.Redrive{Number: r.Redriven + 1, At: now, By: cut(by, maxWord), Reason: cut(reason, maxText)}
	if corrected != nil && Hash(*corrected) != Hash(r.Request) {
		redrive.Was = r.correct(*corrected)
	}
	r.Redrives = append(slices.Clone(r.Redrives), redrive)
	if over := len(r.Redrives) - maxRedrives; over > 0 {
		r.Redrives = r.Redrives[over:]
	}
	r.State, r.Redriven, r.Number, r.Attempt, r.HandedBack = routine.Queued, redrive.Number, 1, 1, 0
	r.UpdatedAt, r.StartedAt, r.AnsweredAt, r.DiedAt, r.SentAt = now, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	r.Waiting = &routine.Waiting{For: routine.ForQueue, Since: now}
	r.due(due)
	r.Kind, r.Code, r.Hint, r.By, r.Reason, r.Origin, r.Last = "", "", "", redrive.By, redrive.Reason, "", nil
	r.Undelivered, r.Callback, r.SupersededBy, r.Overtook = nil, nil, "", nil
	return nil
}

// CodeNoRequest: there is nothing in the dead letter that could be redriven.
const CodeNoRequest = "NoRequest"

func (r *Row) redrivenSince(asOf time.Time) bool {
	n := len(r.Redrives)
	return r.DiedAt.After(stored(asOf)) || n > 0 && !r.Redrives[n-1].At.Before(stored(asOf))
}

// correct replaces the request and keeps the progress only of parts whose input is unchanged. It returns the request as it was, its
// description shortened.
func (r *Row) correct(corrected routine.Request) *routine.Request {
	was := r.Request
	r.Left = r.left()
	sameRoutine := was.Name == corrected.Name && encode(was.Description) == encode(corrected.Description) &&
		encode(was.HasAssets) == encode(corrected.HasAssets) && was.IfExists == corrected.IfExists
	if !sameRoutine {
		r.Progress = routine.Progress{}
	}
	r.keepRecords(was.Records, corrected.Records)
	r.Request = corrected
	hash := Hash(corrected)
	r.Hashes = append(slices.DeleteFunc(slices.Clone(r.Hashes), func(h string) bool { return h == hash }), hash)
	if over := len(r.Hashes) - maxHashes; over > 0 {
		r.Hashes = r.Hashes[over:]
	}
	if was.Description != nil {
		short := cut(*was.Description, maxText)
		was.Description = &short
	}
	return &was
}

// keepRecords forgets what is known of host names that the corrected request does not have.
func (r *Row) keepRecords(was, corrected []routine.Record) {
	kept := func(record routine.Record) bool { return slices.Contains(corrected, record) }
	var open bool
	var done []routine.RecordResult
	for _, record := range was {
		result, ended := r.Progress.Record(record.RecordName)
		switch {
		case !kept(record):
		case ended:
			done = append(done, result)
		default:
			open = true
		}
	}
	r.Progress.Records, r.Progress.RecordUnknown = done, r.Progress.RecordUnknown && open
}

// left is what earlier rounds and this one have left in ESA.
func (r *Row) left() []routine.Left {
	out := slices.Clone(r.Left)
	p, req := r.Progress, r.Request
	if req.Action != routine.Create {
		return out // it makes nothing that was not there
	}
	outcome := p.Routine
	if outcome == "" && p.Look != nil {
		outcome = routine.Unknown
	}
	if outcome != "" {
		out = add(out, routine.Left{Routine: req.Name, Outcome: outcome})
	}
	for _, record := range req.Records {
		switch done, ended := p.Record(record.RecordName); {
		case ended && done.Outcome == routine.Passed: // it was left alone
		case ended:
			out = add(out, routine.Left{Routine: req.Name, SiteID: done.SiteID, RecordName: record.RecordName, Outcome: done.Outcome})
		case p.RecordUnknown:
			out = add(out, routine.Left{Routine: req.Name, SiteID: record.SiteID, RecordName: record.RecordName, Outcome: routine.Unknown})
		}
	}
	return out
}

// elsewhere is what an earlier request of the job, before a correction, has left in ESA, and the present one has not taken over.
func (r *Row) elsewhere() []routine.Left {
	var out []routine.Left
	for _, l := range r.Left {
		sameRecord := l.RecordName == "" || slices.ContainsFunc(r.Request.Records, func(asked routine.Record) bool {
			return asked.RecordName == l.RecordName && (asked.SiteID == l.SiteID || asked.SiteID == 0)
		})
		if l.Routine != r.Request.Name || !sameRecord {
			out = append(out, l)
		}
	}
	return out
}

func add(left []routine.Left, one routine.Left) []routine.Left {
	left = slices.DeleteFunc(left, func(l routine.Left) bool { l.Outcome = one.Outcome; return l == one })
	if len(left) == maxLeft {
		left = left[1:]
	}
	return append(left, one)
}
