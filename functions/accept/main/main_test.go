package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/functions/accept"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The MNS SDK's HTTP client looks for idle connections every ten seconds and cannot be told to stop.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"),
	)
}

func TestRun(t *testing.T) {
	t.Run("joins the parts, and warns when everybody may do everything", func(t *testing.T) {
		_, url := localtest.MNS(t, nil, "routinely-jobs")
		ots, otsURL := localtest.OTS(t, nil)
		for _, name := range []string{"routinely_jobs", "routinely_state"} {
			if err := ots.CreateTable(name, "p", "s"); err != nil {
				t.Fatal(err)
			}
		}
		var res accept.Response
		process := sim.Process(t, func(handler any, _ func(context.Context)) {
			event := `{"requestContext":{"http":{"method":"POST","path":"/v1/routines"}},"headers":{"Content-Type":"application/json"},` +
				`"body":"{\"name\":\"pr-1\",\"siteId\":7,\"recordName\":\"pr-1.example.com\"}"}`
			res, _ = handler.(func(context.Context, []byte) (accept.Response, error))(t.Context(), []byte(event))
		})
		var log strings.Builder
		err := run(process, []string{
			"ROUTINELY_AUTH=none", "ROUTINELY_DELETE=requested", "ROUTINELY_MESSAGE_KEYS=" + sim.KeysText(sim.Key), "ROUTINELY_MNS_ENDPOINT=" + url, "ROUTINELY_TABLESTORE_ENDPOINT=" + otsURL,
			"ROUTINELY_TABLESTORE_INSTANCE=" + localtest.Instance, "ALIBABA_CLOUD_ACCESS_KEY_ID=" + localtest.AccessKeyID,
			"ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + localtest.AccessKeySecret,
		}, &log)
		if err != nil || res.StatusCode != 202 {
			t.Errorf("%v, %+v", err, res)
		}
		if first, _, _ := strings.Cut(log.String(), "\n"); !strings.Contains(first, `"level":"warning"`) || !strings.Contains(first, "ROUTINELY_AUTH is none") {
			t.Errorf("log %s", &log)
		}
	})
	good := map[string]string{
		"ROUTINELY_AUTH": "none", "ROUTINELY_DELETE": "never", "ROUTINELY_MESSAGE_KEYS": sim.KeysText(sim.Key), "ROUTINELY_MNS_ENDPOINT": "http://localhost", "ROUTINELY_TABLESTORE_ENDPOINT": "http://inst.localhost",
	}
	for name, wrong := range map[string][2]string{
		"no MNS endpoint":         {"ROUTINELY_MNS_ENDPOINT", ""},
		"no ledger":               {"ROUTINELY_TABLESTORE_ENDPOINT", ""},
		"no authentication":       {"ROUTINELY_AUTH", ""},
		"a bad one":               {"ROUTINELY_AUTH", "open"},
		"a bad endpoint":          {"ROUTINELY_MNS_ENDPOINT", "nowhere"},
		"no message key":          {"ROUTINELY_MESSAGE_KEYS", ""},
		"a bad message key":       {"ROUTINELY_MESSAGE_KEYS", "k1"},
		"a bad ledger":            {"ROUTINELY_TABLESTORE_ENDPOINT", "nowhere"},
		"a bad log level":         {"ROUTINELY_LOG_LEVEL", "loud"},
		"a bad prefix":            {"ROUTINELY_PREFIX", "A_b"},
		"a bad time limit":        {"ROUTINELY_MNS_TIMEOUT", "soon"},
		"a short memory":          {"ROUTINELY_RETENTION", "24h"},
		"no word about deletions": {"ROUTINELY_DELETE", ""},
		"another word":            {"ROUTINELY_DELETE", "always"},
		"an end before its begin": {"ROUTINELY_EXPIRY_MAX", "1m"},
		"every network":           {"ROUTINELY_CALLBACK_NETWORKS", "0.0.0.0/0"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			environ := []string{wrong[0] + "=" + wrong[1]}
			for name, value := range good {
				if name != wrong[0] {
					environ = append(environ, name+"="+value)
				}
			}
			if err := run(sim.Process(t, func(any, func(context.Context)) { t.Error("started") }), environ, io.Discard); err == nil {
				t.Error("accepted")
			}
		})
	}
}
