package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// http asks whether accept answers, and refuses strangers.
func (e *examination) http(ctx context.Context) error {
	c, err := e.ConnectWithoutToken()
	if err != nil {
		return err
	}
	if err := c.Health(ctx); err != nil {
		return err
	}
	switch _, err := c.Account(ctx); {
	case err == nil && c.OnThisMachine(): // the local servers let everybody in
	case err == nil:
		e.find(Finding{
			ID: "open", Area: "http", Level: Problem, What: "accept answers whoever asks, without a token",
			Why:    "Everybody on the internet can make and delete routines of the account.",
			Repair: "Give accept its callers: routinely callers add NAME --scope submit,read --file callers.json; then deploy with ROUTINELY_AUTH set to the file's content.",
		})
	case !fault.HasKind(err, fault.Unauthenticated):
		return err
	}
	return nil
}

// longWait is how old an unfinished job of a running lane may be. A job is tried for a day; one that is older than an hour is worth a look.
const longWait = time.Hour

func (e *examination) operation(ctx context.Context) error {
	c, err := e.Connect()
	if err != nil {
		return err
	}
	account, err := c.Account(ctx)
	if err != nil {
		return err
	}
	e.lane(account)
	if job := account.OldestWaiting; job != nil && account.Lane == routine.Running && e.now().Sub(job.AcceptedAt) > longWait {
		e.find(Finding{
			ID: "old-job", Area: "operation", Level: Problem, What: fmt.Sprintf("job %s is unfinished since %s", job.JobID, cli.Clock(job.AcceptedAt)),
			Why:    "The worker gets no messages, or what the job needs does not come.",
			Repair: "See what it waits for: routinely jobs show " + job.JobID + ". If it is the queue: is the event stream of the job queue running (EventBridge's console, Event Streams)?",
		})
	}
	return e.deadLetters(ctx, c)
}

func (e *examination) lane(account api.Account) {
	if p := account.Parked; p != nil {
		e.find(Finding{
			ID: "parked", Area: "operation", Level: Problem, Code: p.Code, RequestID: p.RequestID,
			What: fmt.Sprintf("the lane is parked since %s: %s", cli.Clock(p.Since), strings.TrimSpace(p.Code+" "+p.Message)),
			Why:  "ESA works for no job of the account. Jobs are accepted and wait; none is lost.", Repair: p.Hint,
		})
	}
	if p := account.Paused; p != nil {
		e.find(Finding{
			ID: "paused", Area: "operation", Level: Warning, What: fmt.Sprintf("the lane is paused since %s by %s: %s", cli.Clock(p.Since), p.By, p.Reason),
			Why: "Jobs are accepted and wait until somebody resumes it.", Repair: "routinely account resume",
		})
	}
}

func (e *examination) deadLetters(ctx context.Context, c *client.Client) error {
	_, counts, err := c.CountDeadLetters(ctx, client.DeadLetterQuery{})
	if err != nil || counts.Total == 0 {
		return err
	}
	var codes []string
	for _, one := range counts.Codes {
		codes = append(codes, fmt.Sprintf("%s %d", strings.TrimSpace(one.Code), one.Count))
	}
	e.find(Finding{
		ID: "dead-letters", Area: "operation", Level: Warning, What: fmt.Sprintf("%s: %s", cli.Plural(counts.Total, "dead letter"), strings.Join(codes, ", ")),
		Why: "Somebody asked for each of them and has not got it.", Repair: "See why, and what to do: routinely dead-letters list",
	})
	return nil
}
