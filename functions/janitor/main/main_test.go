package main

import (
	"context"
	"io"
	"testing"

	"routinely/deploy/sim"
)

func TestRun(t *testing.T) {
	least := []string{"ROUTINELY_MNS_ENDPOINT=http://localhost", "ROUTINELY_TABLESTORE_ENDPOINT=https://routinely.cn-hangzhou.ots-internal.aliyuncs.com", "ROUTINELY_MESSAGE_KEYS=" + sim.KeysText(sim.Key), "ROUTINELY_DELETE=never"}
	t.Run("joins the parts", func(t *testing.T) {
		started := false
		if err := run(sim.Process(t, func(any, func(context.Context)) { started = true }), least, io.Discard); err != nil || !started {
			t.Errorf("%v, started %t", err, started)
		}
	})
	for name, setting := range map[string]string{
		"no ledger": "ROUTINELY_TABLESTORE_ENDPOINT=", "a bad ledger": "ROUTINELY_TABLESTORE_ENDPOINT=ftp://routinely", "a bad queue": "ROUTINELY_MNS_ENDPOINT=ftp://x",
		"a short retention": "ROUTINELY_RETENTION=24h", "no key": "ROUTINELY_MESSAGE_KEYS=", "a bad key": "ROUTINELY_MESSAGE_KEYS=k1", "a bad level": "ROUTINELY_LOG_LEVEL=loud",
		"no word about deletions": "ROUTINELY_DELETE=", "a bad ESA": "ROUTINELY_ESA_ENDPOINT=http://", "no time to settle": "ROUTINELY_EXPIRY_SETTLE=0s",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if err := run(sim.Process(t, func(any, func(context.Context)) { t.Error("started") }), append(least, setting), io.Discard); err == nil {
				t.Error("accepted")
			}
		})
	}
}
