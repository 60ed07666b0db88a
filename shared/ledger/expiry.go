package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"routinely/shared/routine"
)

// orderExpiry is the order of the row of the jobs about expired routines.
const orderExpiry = "expiry"

// expiryJob is a job about an expired routine, and when it was admitted.
type expiryJob struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

var (
	errAdmitted = errors.New("admitted before")
	errTooMany  = errors.New("too many")
)

// AdmitExpiry reports whether the janitor may make a job about an expired routine: at most so many are admitted in an hour, by all janitors together. A
// job that was admitted within the hour is admitted again, and counts once.
func (l *Ledger) AdmitExpiry(ctx context.Context, jobID string, most int) (bool, error) {
	row, err := l.readState(ctx, key{partitionMarks, orderExpiry})
	if err != nil {
		return false, err
	}
	_, err = l.changeState(ctx, row, func(was stateRow) (stateChange, error) {
		var jobs []expiryJob
		if err := was.decode(&jobs); err != nil {
			return stateChange{}, err
		}
		now := stored(l.cfg.Now())
		jobs = slices.DeleteFunc(jobs, func(j expiryJob) bool { return now.Sub(j.At) >= time.Hour })
		switch {
		case slices.ContainsFunc(jobs, func(j expiryJob) bool { return j.ID == jobID }):
			return stateChange{}, errAdmitted
		case len(jobs) >= most:
			return stateChange{}, errTooMany
		}
		return stateChange{mark: encode(append(jobs, expiryJob{jobID, now}))}, nil
	})
	switch {
	case errors.Is(err, errTooMany):
		return false, nil
	case errors.Is(err, errAdmitted):
		return true, nil
	}
	return err == nil, err
}

// UnfinishedOfOthers returns the newest unfinished job about a routine that another caller than the given one has asked for; empty if there is none.
func (l *Ledger) UnfinishedOfOthers(ctx context.Context, name, caller string) (jobID string, err error) {
	for cursor := ""; ; {
		jobs, next, err := l.Jobs(ctx, Filter{Name: name, State: routine.Queued}, MaxPage, cursor)
		if err != nil {
			return "", err
		}
		for _, job := range jobs {
			if job.Caller != caller {
				return job.ID, nil
			}
		}
		if cursor = next; next == "" {
			return "", nil
		}
	}
}
