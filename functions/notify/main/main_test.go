package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"routinely/deploy/sim"
)

func TestRun(t *testing.T) {
	const secret = "whsec_85OufYZUwikp1FHVNJY8IEjQ+ZoZ+8X6ew+Q77XI7fY="
	least := []string{"ROUTINELY_MNS_ENDPOINT=http://localhost", "ROUTINELY_CALLBACK_SECRETS=" + secret, "ROUTINELY_MESSAGE_KEYS=" + sim.KeysText(sim.Key)}
	t.Run("joins the parts", func(t *testing.T) {
		started := false
		if err := run(sim.Process(t, func(any, func(context.Context)) { started = true }), least, io.Discard); err != nil || !started {
			t.Errorf("%v, started %t", err, started)
		}
	})
	for name, setting := range map[string]string{
		"no key": "ROUTINELY_MESSAGE_KEYS=", "a bad key": "ROUTINELY_MESSAGE_KEYS=k1", "a bad secret": "ROUTINELY_CALLBACK_SECRETS=hush", "a published secret": "ROUTINELY_CALLBACK_SECRETS=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"no secret": "ROUTINELY_CALLBACK_SECRETS=", "a bad endpoint": "ROUTINELY_MNS_ENDPOINT=ftp://x", "a bad prefix": "ROUTINELY_PREFIX=X",
		"every network": "ROUTINELY_CALLBACK_NETWORKS=0.0.0.0/0", "a bad network": "ROUTINELY_CALLBACK_NETWORKS=10.0.0.0", "a negative time": "ROUTINELY_CALLBACK_TIMEOUT=-1s",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			err := run(sim.Process(t, func(any, func(context.Context)) { t.Error("started") }), append(least, setting), io.Discard)
			if err == nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v", err)
			}
		})
	}
}
