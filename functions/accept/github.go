package accept

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/routine"
)

// maxGitHubEvent is the longest event of GitHub that is taken, in bytes. One of a pull request has some 30 KB.
const maxGitHubEvent = 1 << 20

// pullRequestEvent is what is read of GitHub's event pull_request
// (https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request). GitHub signs the body alone, so that only the body tells what it is.
type pullRequestEvent struct {
	Action      string `json:"action"`
	Number      int64  `json:"number"`
	PullRequest *struct {
		UpdatedAt time.Time `json:"updated_at"`
	} `json:"pull_request"`
}

// receiveGitHub takes events of GitHub. That a pull request was closed deletes the routine that the caller's template names; all other events are
// acknowledged and ignored. The deletion's number is the time at which the request was updated: an event that comes late is older than what was
// asked for meanwhile, and deletes nothing. A delivery that comes twice is one job, since its body is its key.
func (s *Service) receiveGitHub(r *http.Request) (reply, error) {
	body, _, err := readBody(r)
	if err != nil {
		return reply{}, err
	}
	var event pullRequestEvent
	if json.Unmarshal(body, &event) != nil {
		return reply{}, malformed("want an event of GitHub as JSON: give the webhook the content type application/json")
	}
	caller := callerOf(r.Context())
	switch {
	case event.PullRequest == nil:
		return ignored("it is no event of a pull request")
	case event.Action != "closed":
		return ignored("the pull request was not closed")
	case event.Number < 1 || event.PullRequest.UpdatedAt.IsZero():
		return reply{}, malformed("the event has no number or no pull_request.updated_at")
	case caller.DeleteOnClose == "":
		return ignored("the caller has no deleteOnClose")
	}
	name := strings.ReplaceAll(caller.DeleteOnClose, auth.NumberPlace, strconv.FormatInt(event.Number, 10))
	if wrong := routine.CheckName(name); wrong != "" {
		return reply{}, malformed(wrong)
	}
	key, err := keyOf(r)
	if err != nil {
		return reply{}, err
	}
	job, err := s.newJob(caller, routine.Request{Action: routine.Delete, Name: name}, key)
	if err != nil {
		return reply{}, err
	}
	return s.acceptJob(r, job, terms{number: routine.NextNumber(event.PullRequest.UpdatedAt)})
}

// ignored acknowledges an event of which nothing follows.
func ignored(why string) (reply, error) {
	return reply{status: http.StatusOK, body: api.Ignored{Ignored: why}}, nil
}
