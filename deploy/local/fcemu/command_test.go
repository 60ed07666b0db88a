package fcemu_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"routinely/deploy/local/fcemu"
	"routinely/deploy/local/localtest"
)

func TestCommand(t *testing.T) {
	t.Run("serves a binary's HTTP and queue triggers until it is told to stop", func(t *testing.T) {
		_, mns := localtest.CalmMNS(t, nil, "jobs")
		g := newGate(t)
		lines := make(chan string, 1000)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() {
			ended <- fcemu.Command(ctx, []string{
				"-listen", "127.0.0.1:0", "-function", "accept=" + binary("function") + ",timeout=10s,instances=4,memory=128",
				"-function", "provision=" + binary("function") + ",instances=1,async-retries=0,async-age=60s",
				"-timer", "provision=@every 1h", "-http", "accept=127.0.0.1:0",
				"-env", "provision:GATE=" + g.address(), "-queue", "provision=jobs", "-mns", mns, "-access-key", localtest.AccessKeyID,
				"-secret-key", localtest.AccessKeySecret, "-batch", "2", "-batch-window", "1s", "-dead-letter", "dead", "-tolerance", "NONE",
			}, &lineWriter{t: t, lines: lines}, bytes.NewBuffer(nil))
		}()
		ready := map[string]string{}
		for range 2 {
			line := waitFor(t, lines, "a ready line", func(s string) bool { return strings.HasPrefix(s, "fc: ready: ") })
			name, url, _ := strings.Cut(strings.TrimPrefix(line, "fc: ready: "), " http://")
			ready[name] = "http://" + url
		}
		if got := post(t, ready["http accept"]+"/x", "hello").event(t); got.Body != "hello" || got.RawPath != "/x" {
			t.Errorf("event: %+v", got)
		}
		if got := post(t, ready["api"]+"/2023-03-30/functions/accept/invocations", `1`); string(got.body) != "1" {
			t.Errorf("api: %d %s", got.status, got.body)
		}
		for _, url := range ready {
			if got := post(t, url+"/x", "hello", "Origin", "https://page.example"); got.status != http.StatusForbidden {
				t.Errorf("a foreign page's request to %s: %d, want 403", url, got.status)
			}
		}
		var triggers []fcemu.TriggerStatus
		get(t, ready["api"]+"/_local/triggers", &triggers)
		if len(triggers) != 1 || triggers[0].CountBasedWindow != 2 || triggers[0].TimeBasedWindow != 1 || triggers[0].ErrorsTolerance != "NONE" {
			t.Errorf("triggers: %+v", triggers)
		}
		if _, err := localtest.MNSClient(t, mns).Send(t.Context(), "jobs", "a", 0); err != nil {
			t.Fatal(err)
		}
		v := g.next()
		same(t, "event", v.bodies(t), []string{"a"})
		v.say("return null")
		waitFor(t, lines, "the function's output", func(s string) bool { return strings.Contains(s, "FC Invoke End") })
		cancel()
		if err := wait(t, ended, "the end"); err != nil {
			t.Error(err)
		}
	})

	t.Run("explains itself", func(t *testing.T) {
		var out bytes.Buffer
		if err := fcemu.Command(context.Background(), []string{"-h"}, &out, &out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"-function", "-dead-letter", "-batch-window", "instances", "-timer", "async-age", "-host"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %s in the usage:\n%s", want, &out)
			}
		}
	})

	f := "f=" + binary("function")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"an unknown flag":             {[]string{"-nonsense"}, "nonsense"},
		"an argument":                 {[]string{"-function", f, "extra"}, "extra"},
		"no function":                 {nil, "at least one function"},
		"a function without a binary": {[]string{"-function", "f"}, "name=binary"},
		"an unknown setting":          {[]string{"-function", f + ",cpu=1"}, "cpu=1: want timeout"},
		"a bad timeout":               {[]string{"-function", f + ",timeout=soon"}, "soon"},
		"an address in use":           {[]string{"-function", f, "-listen", listen(t).Addr().String()}, "in use"},
		"environment of nothing":      {[]string{"-function", f, "-env", "g:A=B"}, `no -function "g"`},
		"environment without a value": {[]string{"-function", f, "-env", "f:A"}, "function:KEY=VALUE"},
		"a timer of nothing":          {[]string{"-function", f, "-timer", "g=@every 1m"}, `function "g"`},
		"a timer without a schedule":  {[]string{"-function", f, "-timer", "f"}, "function=value"},
		"a cron expression":           {[]string{"-function", f, "-timer", "f=0 * * * * *"}, "cron"},
		"a queue without an endpoint": {[]string{"-function", f, "-queue", "f=q"}, "endpoint"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			var out bytes.Buffer
			if err := fcemu.Command(context.Background(), c.args, &out, &out); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one about %q", err, c.want)
			}
		})
	}
}
