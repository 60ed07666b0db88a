package deadletters

import (
	"fmt"
	"net/http"

	"routinely/shared/api"
	"routinely/shared/fault"
)

// problemOf says why a letter was not put back on the job queue.
func problemOf(err error) *api.Problem {
	failure := fault.From(err)
	if failure.Kind == fault.Invalid {
		return problem("not-redrivable", "The dead letter cannot be redriven", http.StatusUnprocessableEntity, failure.Message+". "+failure.Hint)
	}
	return problem("queue-unavailable", "The job could not be queued", http.StatusServiceUnavailable, failure.Error())
}

// problemNotRemoved says why a letter is still, or may still be, on the dead-letter queue.
func problemNotRemoved(err error) *api.Problem {
	return problem("not-removed", "The dead letter could not be removed", http.StatusServiceUnavailable, fault.From(err).Error())
}

func problemIncomplete(seen, parts int) *api.Problem {
	return problem("incomplete-dead-letter", "Not all of the dead letter could be seen", http.StatusConflict, fmt.Sprintf(
		"%d of its %d messages were on the queue: somebody else may be looking at the others at this moment", seen, parts))
}

func problem(code, title string, status int, detail string) *api.Problem {
	p := api.NewProblem(status, code, title, detail)
	p.Retryable = p.Retryable || status == http.StatusConflict // the rest of a letter comes into sight by itself
	return &p
}
