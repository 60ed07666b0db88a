package accept

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/routine"
)

// closed is the event of a closed pull request, updated at the time of these tests.
func closed(number int) string { return closedAt(number, now) }

func closedAt(number int, updated time.Time) string {
	return fmt.Sprintf(`{"action":"closed","number":%d,"pull_request":{"merged":true,"updated_at":%q},"repository":{"full_name":"a/b"}}`,
		number, updated.Format(time.RFC3339))
}

// previews is a function with a caller whose closed pull requests delete routines, and who is shown by GitHub's signature alone.
func previews(t *testing.T) *function {
	t.Helper()
	f := start(t)
	guard, err := auth.Parse(fmt.Sprintf(
		`{"callers":[{"name":"hub","scopes":["submit"],"githubSecrets":[%q],"deleteOnClose":"pr-{number}","names":["pr-"]}]}`, githubSecret))
	if err != nil {
		t.Fatal(err)
	}
	f.Guard = guard
	return f
}

// deliver sends an event with GitHub's signature.
func (f *function) deliver(t *testing.T, body string) Response {
	t.Helper()
	return f.call(t, event(http.MethodPost, "/v1/github", body, signedByGitHub(body, "d-1")...))
}

func TestGitHubEvents(t *testing.T) {
	t.Run("a closed pull request deletes its routine, as of the time when it was updated", func(t *testing.T) {
		f := previews(t)
		f.owns(t, "hub", "pr-7")
		job := read[routine.Job](t, f.deliver(t, closedAt(7, now.Add(-time.Minute))), http.StatusAccepted)
		if job.Request.Action != routine.Delete || job.Request.Name != "pr-7" || job.Caller != "hub" {
			t.Errorf("got %+v", job)
		}
		if got, want := f.row(t, job.ID).Intent, now.Add(-time.Minute).UnixMilli(); got != want {
			t.Errorf("number %d, want %d", got, want)
		}
	})
	t.Run("a delivery that comes twice is one job", func(t *testing.T) {
		f := previews(t)
		first := read[routine.Job](t, f.deliver(t, closed(7)), http.StatusAccepted)
		again := f.deliver(t, closed(7))
		if again.Headers["Idempotency-Replayed"] != "true" || read[routine.Job](t, again, http.StatusAccepted).ID != first.ID {
			t.Errorf("got %+v", again)
		}
	})
	for name, body := range map[string]string{
		"another action": strings.Replace(closed(7), "closed", "reopened", 1),
		"another event":  `{"zen":"Keep it logically awesome.","hook_id":1}`,
		"an event about an issue that was closed": `{"action":"closed","number":7,"issue":{}}`,
	} {
		t.Run(name+" is acknowledged and ignored", func(t *testing.T) {
			f := previews(t)
			if got := read[api.Ignored](t, f.deliver(t, body), http.StatusOK); got.Ignored == "" {
				t.Errorf("got %+v", got)
			}
			if jobs := f.queued(t); len(jobs) != 0 {
				t.Errorf("jobs %v", jobs)
			}
		})
	}
	t.Run("a caller without a template deletes nothing", func(t *testing.T) {
		f, _ := guarded(t, 0)
		read[api.Ignored](t, f.deliver(t, closed(7)), http.StatusOK)
	})
	for name, body := range map[string]string{
		"no number":                     strings.Replace(closed(7), `"number":7,`, "", 1),
		"a number below 1":              strings.Replace(closed(7), `"number":7`, `"number":-7`, 1),
		"no time":                       `{"action":"closed","number":7,"pull_request":{}}`,
		"a time that is none":           `{"action":"closed","number":7,"pull_request":{"updated_at":"yesterday"}}`,
		"what is no JSON":               "payload=%7B%7D",
		"a number with too many digits": strings.Replace(closed(7), `"number":7`, `"number":`+strings.Repeat("1", 19)+strings.Repeat("0", 30), 1),
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			f := previews(t)
			if res := f.deliver(t, body); res.StatusCode != http.StatusBadRequest {
				t.Errorf("got %d %s", res.StatusCode, res.Body)
			}
		})
	}
	t.Run("refuses an event that is signed by nobody", func(t *testing.T) {
		f := previews(t)
		if res := f.call(t, event(http.MethodPost, "/v1/github", closed(7))); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %d %s", res.StatusCode, res.Body)
		}
	})
}
