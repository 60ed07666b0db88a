package provision

import (
	"context"
	"encoding/json"
	"io"
	"testing"
	"time"

	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/shared/config"
)

func TestRun(t *testing.T) {
	t.Run("joins the parts", func(t *testing.T) {
		_, mnsURL := localtest.MNS(t, nil)
		tables, otsURL := localtest.OTS(t, nil)
		if err := tables.CreateTable(config.DefaultPrefix.JobTable(), "p", "s"); err != nil {
			t.Fatal(err)
		}
		account, esaURL := localtest.ESA(t, nil, 0)
		event := sim.Event(t, `{"name":"pr-1","siteId":54362329990032,"recordName":"pr-1.example.com"}`)
		var out report
		process := sim.Process(t, func(handler any, _ func(context.Context)) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			var err error
			out, err = handler.(func(context.Context, json.RawMessage) (report, error))(ctx, event)
			if err != nil {
				t.Error(err)
			}
		})
		err := Run(process, []string{
			"ROUTINELY_MNS_ENDPOINT=" + mnsURL, "ROUTINELY_ESA_ENDPOINT=" + esaURL,
			"ROUTINELY_TABLESTORE_ENDPOINT=" + otsURL, "ROUTINELY_TABLESTORE_INSTANCE=" + localtest.Instance,
			"ALIBABA_CLOUD_ACCESS_KEY_ID=" + localtest.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + localtest.AccessKeySecret,
		}, io.Discard)
		if err != nil || len(out.Messages) != 1 || out.Messages[0].Outcome != succeeded {
			t.Errorf("%v, %+v", err, out)
		}
		if n := account.Faults().Count("CreateRoutine"); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
	least := []string{"ROUTINELY_MNS_ENDPOINT=http://localhost", "ROUTINELY_TABLESTORE_ENDPOINT=http://localhost"}
	for name, setting := range map[string]string{
		"no ledger": "ROUTINELY_TABLESTORE_ENDPOINT=", "no attempts": "ROUTINELY_RETRY_ATTEMPTS=0", "a cap below the base": "ROUTINELY_RETRY_CAP=1s",
		"a bad endpoint": "ROUTINELY_ESA_ENDPOINT=http://", "no ESA time": "ROUTINELY_ESA_TIMEOUT=0s",
		"no pause for the lock": "ROUTINELY_LOCK_POLL_MIN=0s", "no reserve": "ROUTINELY_RESERVE=0s", "a bad number": "ROUTINELY_RETRY_ATTEMPTS=x",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if err := Run(sim.Process(t, func(any, func(context.Context)) { t.Error("started") }), append(least[:2:2], setting), io.Discard); err == nil {
				t.Error("accepted")
			}
		})
	}
}
