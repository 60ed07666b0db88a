package localtest

import (
	"testing"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/otsemu"
)

// Instance is the Tablestore instance that the server knows.
const Instance = "routinely"

// OTS starts a Tablestore without tables; a nil clock is the system's.
func OTS(t testing.TB, c clock.Clock) (*otsemu.Server, string) {
	t.Helper()
	server, err := otsemu.New(otsemu.Config{
		InstanceName: Instance, AccessKeyID: AccessKeyID, AccessKeySecret: AccessKeySecret, Dir: t.TempDir(), NoSync: !measured(t), Clock: c,
	})
	if err != nil {
		t.Fatal(err)
	}
	return server, run(t, server)
}
