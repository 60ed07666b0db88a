package doctor

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

const (
	// probeName is a routine that nobody has: its deletion takes every way that a job takes, and changes nothing in ESA.
	probeName = "routinely-doctor-probe"
	// probeTime is how long the probe may take. The trigger collects messages for a second, and a lane that works waits for the job that it has.
	probeTime = 2 * time.Minute
	// probeWait is how long one call waits for the end, as accept allows it.
	probeWait = 20 * time.Second
)

// probe sends a job through accept, the queue, its trigger, the worker and ESA, and waits for its end in the ledger.
func (e *examination) probe(ctx context.Context) error {
	c, err := e.Connect()
	if err != nil {
		return err
	}
	began := e.now()
	job, err := c.DeleteRoutine(ctx, probeName, "doctor-"+strconv.FormatInt(began.UnixNano(), 36), api.Deletion{})
	if fault.HasCode(err, "deletion-off") {
		e.find(Finding{
			ID: "probe-off", Area: probeArea, Level: Warning, What: "this deployment deletes nothing, so there is no probe that changes nothing",
			Why: "Whether jobs come to their end is not known.", Repair: "Submit a request of your own: routinely submit --wait",
		})
		return nil
	}
	if err != nil {
		return err
	}
	job, err = e.follow(ctx, c, job, began.Add(probeTime))
	switch {
	case err != nil:
		return err
	case !job.State.Final():
		e.find(Finding{
			ID: "probe-stuck", Area: probeArea, Level: Problem, What: fmt.Sprintf("job %s is %s after %s, and waits %s", job.ID, job.State, probeTime, cli.WaitingWord(job.Waiting)),
			Why:    "Jobs are accepted and not carried out.",
			Repair: "Is the event stream of the job queue running (EventBridge's console, Event Streams)? Look into the log of the function provision.",
		})
	case job.State != routine.Succeeded:
		e.find(Finding{
			ID: "probe-failed", Area: probeArea, Level: Problem, What: fmt.Sprintf("job %s is %s: %s %s", job.ID, job.State, job.Code, job.Reason),
			Why: "Other jobs end like this, too.", Repair: job.Hint, Code: job.Code,
		})
	}
	return nil
}

// follow waits for the end of a job, until a time.
func (e *examination) follow(ctx context.Context, c *client.Client, job routine.Job, until time.Time) (routine.Job, error) {
	for !job.State.Final() && e.now().Before(until) {
		var waited bool
		var err error
		if job, waited, err = c.Job(ctx, job.ID, probeWait); err != nil {
			return job, err
		}
		if waited || job.State.Final() {
			continue
		}
		select {
		case <-time.After(time.Second): // accept was too busy to wait
		case <-ctx.Done():
			return job, ctx.Err()
		}
	}
	return job, nil
}
