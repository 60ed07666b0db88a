package accept

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/auth"
)

// refusal is a line of the log about a caller who is not known.
type refusal struct {
	Level, Msg, Source, Reason, Error string
	LeftOut                           int
}

// refused are the lines about callers who are not known, since the last call.
func (f *function) refused(t *testing.T) []refusal {
	t.Helper()
	var out []refusal
	for line := range strings.Lines(f.log.String()) {
		var one refusal
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		if one.Msg == "caller refused" {
			out = append(out, one)
		}
	}
	f.log.Reset()
	return out
}

func TestRefusalsLeaveATrace(t *testing.T) {
	stranger, _ := auth.NewToken()
	t.Run("each with where it came from and why, and no secret", func(t *testing.T) {
		f, tokens := guarded(t, 0)
		webhook := signedWebhook(t, "msg_1", good, f.clock.Now())
		stale := signedWebhook(t, "msg_1", good, f.clock.Now().Add(-time.Hour))
		for want, headers := range map[string][]string{
			"MissingCredentials":     nil,
			"BadToken":               {"Authorization", "Bearer " + stranger},
			"MalformedCredentials":   {"Authorization", "Basic " + stranger},
			"BadSignature":           signedByGitHub(good+" ", "d-1"),
			"StaleTimestamp":         stale,
			"ConflictingCredentials": append(webhook, "Authorization", "Bearer "+tokens["ops"]),
		} {
			f.call(t, event("POST", "/v1/routines", good, headers...))
			if strings.Contains(f.log.String(), stranger) || strings.Contains(f.log.String(), "v1,") || len(f.log.String()) > 500 {
				t.Errorf("log %s", f.log)
			}
			got := f.refused(t)
			if len(got) != 1 || got[0].Reason != want || got[0].Source != "192.0.2.1" || got[0].Level != "warning" || got[0].Error == "" {
				t.Errorf("%s: got %+v", want, got)
			}
		}
	})
	t.Run("in lines that stay short, whatever the platform says of the source", func(t *testing.T) {
		f, _ := guarded(t, 0)
		e := event("GET", "/v1/jobs", "")
		e["requestContext"].(map[string]any)["http"].(map[string]string)["sourceIp"] = strings.Repeat("9", 10_000)
		f.call(t, e)
		if len(f.log.String()) > 500 {
			t.Errorf("a line of %d bytes", f.log.Len())
		}
		if got := f.refused(t); len(got) != 1 || got[0].Source != strings.Repeat("9", 45) {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("in so many lines a minute, of which the next tells how many are left out", func(t *testing.T) {
		f, tokens := guarded(t, 0)
		flood := func(n int) []refusal {
			for range n {
				f.call(t, event("GET", "/v1/jobs", "", "Authorization", "Bearer "+stranger))
			}
			return f.refused(t)
		}
		if got := len(flood(maxRefusals + 100)); got != maxRefusals {
			t.Errorf("%d lines", got)
		}
		f.clock.Advance(time.Minute)
		var leftOut []int
		for _, line := range flood(3) {
			leftOut = append(leftOut, line.LeftOut)
		}
		if diff := cmp.Diff([]int{100, 0, 0}, leftOut); diff != "" {
			t.Errorf("left out (-want +got):\n%s", diff)
		}
		f.call(t, as(event("GET", "/v1/jobs", ""), tokens["shop"]))
		if got := f.refused(t); got != nil {
			t.Errorf("a caller who is known: %+v", got)
		}
	})
}
