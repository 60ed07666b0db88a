package deadletters

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// leftover is a thing in ESA that a dead job has made and no other job is about: a routine with its records, or one record.
type leftover struct {
	job, name, recordName string
}

// String says what the undo does to it.
func (l leftover) String() string {
	if l.recordName == "" {
		return fmt.Sprintf("delete routine %s with its records", l.name)
	}
	return fmt.Sprintf("unbind %s from routine %s", l.recordName, l.name)
}

// command does by hand what the undo does.
func (l leftover) command() string {
	if l.recordName == "" {
		return "routinely routines delete " + cli.Word(l.name)
	}
	return fmt.Sprintf("routinely routines delete %s --record %s", cli.Word(l.name), cli.Word(l.recordName))
}

// findLeftovers finds what the dead jobs have made, and says what of it is deleted and what stays.
func (w *workingOff) findLeftovers(ctx context.Context, c *client.Client, letters []api.DeadLetter) error {
	for _, letter := range letters {
		left := map[string][]routine.Left{}
		var names []string
		for _, one := range letter.Left {
			if left[one.Routine] == nil {
				names = append(names, one.Routine)
			}
			left[one.Routine] = append(left[one.Routine], one)
		}
		for _, name := range names {
			r, err := c.Routine(ctx, name)
			if fault.HasKind(err, fault.NotFound) {
				continue
			}
			if err != nil {
				return err
			}
			found, stays := leftIn(letter.ID, left[name], r)
			w.leftovers = append(w.leftovers, found...)
			for _, one := range found {
				w.Note("undo: %s", one)
			}
			for _, why := range stays {
				w.Note("stays: %s", why)
			}
		}
	}
	return nil
}

// leftIn is what a job has left in one routine. What it may have made without proof stays, and so does a routine that other jobs are about.
func leftIn(job string, left []routine.Left, r api.Routine) (found []leftover, stays []string) {
	if r.State == routine.Gone {
		return nil, nil
	}
	used := r.More || slices.ContainsFunc(r.Records, func(record api.RoutineRecord) bool { return record.JobID != job }) ||
		slices.ContainsFunc(r.Jobs, func(other api.RoutineJob) bool { return other.JobID != job && !other.State.Final() })
	for _, one := range left {
		switch bound := slices.ContainsFunc(r.Records, func(record api.RoutineRecord) bool {
			return record.RecordName == one.RecordName && record.JobID == job
		}); {
		case one.Outcome == routine.Unknown && one.RecordName == "":
			stays = append(stays, fmt.Sprintf("routine %s: nothing proves that the job made it", r.Name))
		case one.Outcome == routine.Unknown:
			stays = append(stays, fmt.Sprintf("%s: nothing proves that the job bound it", one.RecordName))
		case one.Outcome != routine.Created:
		case one.RecordName == "" && !used:
			return []leftover{{job: job, name: r.Name}}, nil
		case one.RecordName == "":
			stays = append(stays, fmt.Sprintf("routine %s: other jobs are about it", r.Name))
		case bound:
			found = append(found, leftover{job: job, name: r.Name, recordName: one.RecordName})
		}
	}
	return found, stays
}

// undoAll asks for the deletion of what the dropped jobs have left. The keys are made of the jobs, so that nothing is asked for twice.
func (w *workingOff) undoAll(ctx context.Context, c *client.Client, t *tally) error {
	for _, one := range w.leftovers {
		if !t.has(one.job) {
			continue
		}
		job, err := w.undoOne(ctx, c, one)
		if err != nil {
			w.Note("next: %s", one.command())
			return err
		}
		t.undone = append(t.undone, handled{ID: job.ID, Status: string(api.Accepted), Job: &job, Undoes: one.job, undo: one.String()})
	}
	return nil
}

func (w *workingOff) undoOne(ctx context.Context, c *client.Client, one leftover) (routine.Job, error) {
	sum := sha256.Sum256([]byte(one.name + "\x00" + one.recordName)) // a host name is too long for a key
	key := "undo-" + one.job + "/" + hex.EncodeToString(sum[:8])
	if one.recordName == "" {
		return c.DeleteRoutine(ctx, one.name, key, api.Deletion{})
	}
	return c.Unbind(ctx, one.name, one.recordName, key, api.Deletion{})
}
