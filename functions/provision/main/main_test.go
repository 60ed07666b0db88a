package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	worker "routinely/functions/provision"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The MNS SDK's HTTP client looks for idle connections every ten seconds and cannot be told to stop.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"),
	)
}

func TestRun(t *testing.T) {
	_, mnsURL := localtest.MNS(t, nil)
	account, esaURL := localtest.ESA(t, nil, 0)
	tables, otsURL := localtest.OTS(t, nil)
	for _, name := range []string{"staging_jobs", "staging_state"} {
		if err := tables.CreateTable(name, "p", "s"); err != nil {
			t.Fatal(err)
		}
	}
	settings := []string{
		"ROUTINELY_PREFIX=staging", "ROUTINELY_MESSAGE_KEYS=" + sim.KeysText(sim.Key), "ROUTINELY_MNS_ENDPOINT=" + mnsURL, "ROUTINELY_ESA_ENDPOINT=" + esaURL,
		"ROUTINELY_TABLESTORE_ENDPOINT=" + otsURL, "ROUTINELY_TABLESTORE_INSTANCE=" + localtest.Instance,
		"ROUTINELY_DELETE=requested", "ALIBABA_CLOUD_ACCESS_KEY_ID=" + localtest.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + localtest.AccessKeySecret,
	}
	t.Run("joins the parts", func(t *testing.T) {
		var report worker.Report
		process := sim.Process(t, func(handler any, _ func(context.Context)) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			event := sim.Event(t, `{"name":"pr-1","siteId":54362329990032,"recordName":"pr-1.example.com"}`)
			var err error
			if report, err = handler.(func(context.Context, []byte) (worker.Report, error))(ctx, event); err != nil {
				t.Error(err)
			}
		})
		if err := run(process, settings, io.Discard); err != nil {
			t.Fatal(err)
		}
		if n := account.Faults().Count("CreateRoutine"); len(report.Messages) != 1 || report.Messages[0].Outcome != "succeeded" || n != 1 {
			t.Errorf("%d calls, %+v", n, report)
		}
	})
	for setting, want := range map[string]string{
		"ROUTINELY_RETRY_ATTEMPTS=0":                       "ROUTINELY_RETRY_ATTEMPTS",
		"ROUTINELY_RETRY_ATTEMPTS=x":                       "ROUTINELY_RETRY_ATTEMPTS",
		"ROUTINELY_RETRY_CAP=1s":                           "retry delays",
		"ROUTINELY_ESA_ENDPOINT=http://":                   "esa",
		"ROUTINELY_ESA_TIMEOUT=0s":                         "ROUTINELY_ESA_TIMEOUT",
		"ROUTINELY_LOCK_POLL_MIN=1m":                       "lock polling",
		"ROUTINELY_PREFIX=-":                               "ROUTINELY_PREFIX",
		"ROUTINELY_TABLESTORE_ENDPOINT=ftp://example.com/": "ledger",
		"ROUTINELY_MNS_ENDPOINT=ftp://example.com/":        "mns",
		"ROUTINELY_MESSAGE_KEYS=k1":                        "ROUTINELY_MESSAGE_KEYS",
		"ROUTINELY_LOG_LEVEL=loud":                         "loud",
		"ROUTINELY_DELETE=":                                "requested (what somebody asks",
	} {
		t.Run("refuses "+setting, func(t *testing.T) {
			process := sim.Process(t, func(any, func(context.Context)) { t.Error("started") })
			name, _, _ := strings.Cut(setting, "=")
			others := slices.DeleteFunc(slices.Clone(settings), func(s string) bool { return strings.HasPrefix(s, name+"=") })
			err := run(process, append(others, setting), io.Discard)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q in it", err, want)
			}
		})
	}
}
