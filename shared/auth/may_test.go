package auth_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"routinely/shared/auth"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

func TestLimits(t *testing.T) {
	ends := now.Add(time.Hour)
	ci, shop := newHolder("ci"), newHolder("shop")
	ci.config["names"], ci.config["recordSuffixes"] = []string{"pr-"}, []string{"Preview.example.com."}
	ci.config["sites"], ci.config["expiresAt"] = []any{"54362329990032", 7}, ends.Format(time.RFC3339)
	queue := map[string]any{"name": "queue", "scopes": []string{"submit"}, "names": []string{"bare-"}}
	guard := parse(t, configure(ci.config, shop.config, queue))
	want := routine.Limits{
		Names: []string{"pr-"}, RecordSuffixes: []string{"preview.example.com"}, Sites: []int64{54362329990032, 7}, ExpiresAt: ends.UTC(),
	}

	t.Run("are the caller's, however it is known", func(t *testing.T) {
		byToken := known(t, guard, ci.bearer(), body, "ci", "")
		byWebhook := known(t, guard, ci.webhook("msg_1", now, body), body, "ci", "msg_1")
		byGitHub := known(t, guard, ci.github("d-1", body), body, "ci", keyOf(body))
		for _, got := range []routine.Limits{byToken.Limits, byWebhook.Limits, byGitHub.Limits, guard.Limits("ci")} {
			same(t, "limits", got, want)
		}
	})
	t.Run("are none for a caller without, for everybody and for a stranger", func(t *testing.T) {
		byToken := known(t, guard, shop.bearer(), nil, "shop", "")
		for _, got := range []routine.Limits{byToken.Limits, guard.Limits("shop"), guard.Limits("stranger"), parse(t, "none").Limits("anonymous")} {
			same(t, "limits", got, routine.Limits{})
		}
	})
	t.Run("end the caller at their time, with a refusal that says so", func(t *testing.T) {
		if _, err := guard.Authenticate(ci.bearer(), nil, ends.Add(-time.Second)); err != nil {
			t.Errorf("refused before: %v", err)
		}
		caller, err := guard.Authenticate(ci.bearer(), nil, ends)
		if !fault.HasKind(err, fault.Denied) || !fault.HasCode(err, auth.CodeExpired) || caller.Name != "" || caller.May(auth.Submit) == nil {
			t.Errorf("got %+v, %v", caller, err)
		}
	})
	t.Run("are those of the queue, which is a caller that nobody can be", func(t *testing.T) {
		if got := guard.Limits("queue"); len(got.Names) != 1 || got.Names[0] != "bare-" {
			t.Errorf("got %+v", got)
		}
		if _, err := auth.Parse(configure(queue)); err != nil {
			t.Errorf("alone: %v", err)
		}
	})
	for name, more := range map[string]map[string]any{
		"a token":          {"tokens": ci.config["tokens"]},
		"a webhook secret": {"webhookSecrets": ci.config["webhookSecrets"]},
		"a GitHub secret":  {"githubSecrets": ci.config["githubSecrets"]},
		"a rate":           {"requestsPerMinute": 60},
		"another scope":    {"scopes": []string{"submit", "read"}},
	} {
		t.Run("of the queue come without "+name, func(t *testing.T) {
			config := map[string]any{"name": "queue", "scopes": []string{"submit"}}
			for field, value := range more {
				config[field] = value
			}
			if _, err := auth.Parse(configure(config)); !strings.Contains(fmt.Sprint(err), `caller "queue": stands for requests that are put on the queue`) {
				t.Errorf("got %v", err)
			}
		})
	}
}
