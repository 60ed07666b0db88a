// Package localtest starts the local servers for tests: each on its own loopback port, with its own data directory, stopped
// when the test ends. It is for tests only.
package localtest

import (
	"context"
	"hash/fnv"
	"net"
	"net/http"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/local/serve"
)

// The account that the servers know.
const (
	AccountID       = "123456"
	AccessKeyID     = "LTAI-local-test"
	AccessKeySecret = "local-test-secret"
)

// The site that ESA knows.
const (
	SiteID   = 54362329990032
	SiteName = "example.com"
)

// Credentials returns the key of the account.
func Credentials() (accessKeyID, accessKeySecret, securityToken string) {
	return AccessKeyID, AccessKeySecret, ""
}

// Listen serves handler on a free loopback port until the test ends and returns its URL. hosts are names that are the server's own too.
func Listen(t testing.TB, handler http.Handler, beforeStop func(), hosts ...string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve.HTTP(ctx, listener, handler, beforeStop, "", "", hosts...) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// run serves a server that was just made until the test ends, and returns its URL.
func run(t testing.TB, server serve.Server) string {
	t.Helper()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return Listen(t, server, server.Stop)
}

// measured reports whether a benchmark runs. Its servers wait for the disk, as they do for users; those of tests need not.
func measured(t testing.TB) bool {
	_, is := t.(*testing.B)
	return is
}

// MNS starts a message service with the given queues; a nil clock is the system's. Its receives miss messages and keep no order, as those
// of the real service do. The test's name is the seed, so that a failure comes again. A benchmark gets a calm one, so that its figures can
// be compared.
func MNS(t testing.TB, c clock.Clock, queues ...string) (*mnsemu.Server, string) {
	t.Helper()
	name := fnv.New64a()
	_, _ = name.Write([]byte(t.Name()))
	return startMNS(t, mnsemu.Config{Clock: c, Calm: measured(t), Seed: name.Sum64()}, queues)
}

// CalmMNS is a message service whose receives find everything, in order.
func CalmMNS(t testing.TB, c clock.Clock, queues ...string) (*mnsemu.Server, string) {
	t.Helper()
	return startMNS(t, mnsemu.Config{Clock: c, Calm: true}, queues)
}

func startMNS(t testing.TB, config mnsemu.Config, queues []string) (*mnsemu.Server, string) {
	t.Helper()
	config.AccountID, config.AccessKeyID, config.AccessKeySecret = AccountID, AccessKeyID, AccessKeySecret
	config.Dir, config.NoSync = t.TempDir(), !measured(t)
	server, err := mnsemu.New(config)
	if err != nil {
		t.Fatal(err)
	}
	url := run(t, server)
	client := MNSClient(t, url)
	for _, queue := range queues {
		if err := client.CreateQueue(t.Context(), queue, mnsclient.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	server.Faults().Reset()
	return server, url
}

// MNSClient returns a client of the service at url, with the right key.
func MNSClient(t testing.TB, url string) *mnsclient.Client {
	t.Helper()
	client, err := mnsclient.New(mnsclient.Config{Endpoint: url, AccessKeyID: AccessKeyID, AccessKeySecret: AccessKeySecret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// ESA starts an ESA with the site SiteName; a nil clock is the system's. Whatever the clock, requests are dated by the system's, as clients date them.
func ESA(t testing.TB, c clock.Clock, latency time.Duration) (*esaemu.Server, string) {
	t.Helper()
	server, err := esaemu.New(esaemu.Config{
		AccountID: AccountID, AccessKeyID: AccessKeyID, AccessKeySecret: AccessKeySecret, Dir: t.TempDir(), NoSync: !measured(t), Clock: c,
		SignatureClock: clock.System(), Latency: latency, Sites: map[int64]string{SiteID: SiteName}, Plan: esaemu.Paid,
	})
	if err != nil {
		t.Fatal(err)
	}
	return server, run(t, server)
}
