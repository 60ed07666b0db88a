package provision

import (
	"context"
	"encoding/json"
	"io"
	"testing"
	"time"

	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
)

func TestRun(t *testing.T) {
	t.Run("joins the parts", func(t *testing.T) {
		_, mnsURL := localtest.MNS(t, nil)
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
			"ALIBABA_CLOUD_ACCESS_KEY_ID=" + localtest.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + localtest.AccessKeySecret,
		}, io.Discard)
		if err != nil || len(out.Messages) != 1 || out.Messages[0].Outcome != succeeded {
			t.Errorf("%v, %+v", err, out)
		}
		if n := account.Faults().Count("CreateRoutine"); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
	for name, setting := range map[string]string{
		"no attempts": "ROUTINELY_RETRY_ATTEMPTS=0", "a cap below the base": "ROUTINELY_RETRY_CAP=1s",
		"a bad endpoint": "ROUTINELY_ESA_ENDPOINT=http://", "no ESA time": "ROUTINELY_ESA_TIMEOUT=0s",
		"no pause for the lock": "ROUTINELY_LOCK_POLL_MIN=0s", "no reserve": "ROUTINELY_RESERVE=0s", "a bad number": "ROUTINELY_RETRY_ATTEMPTS=x",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if err := Run(sim.Process(t, func(any, func(context.Context)) { t.Error("started") }), []string{"ROUTINELY_MNS_ENDPOINT=http://localhost", setting}, io.Discard); err == nil {
				t.Error("accepted")
			}
		})
	}
}
