package esaemu_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/localtest"
)

// serveVariable makes the test binary a server on the data directory it names.
const serveVariable = "ESAEMU_TEST_DATA"

func arguments(dir string) []string {
	return []string{
		"-listen", "127.0.0.1:0", "-access-key", "key", "-secret-key", "secret", "-latency", "0s",
		"-site", "54362329990032=example.com", "-data", dir,
	}
}

func serveUntilKilled() {
	if err := esaemu.Command(context.Background(), arguments(os.Getenv(serveVariable)), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves in this process and returns its address and a function that stops it and gives its error.
func run(t *testing.T, args []string) (scheme, address string, stop func() error) {
	t.Helper()
	url, stop := localtest.RunCommand(t, "esa", esaemu.Command, args)
	scheme, address, _ = strings.Cut(url, "://")
	return scheme, address, stop
}

func TestDurability(t *testing.T) {
	t.Run("keeps everything over a restart", func(t *testing.T) {
		dir := t.TempDir()
		first := open(t, config(dir))
		want(t, "create", first.createRoutine("web"), "")
		id := must[int64](t)(first.createRecord("web", "www.example.com"))
		must[int64](t)(first.PlantRecord(siteID, "mail.example.com"))
		overdue, quota := true, 7
		if err := first.SetAccount(esaemu.AccountChange{Overdue: &overdue, RecordQuota: &quota}); err != nil {
			t.Fatal(err)
		}
		before := must[esaemu.State](t)(first.State())
		first.shut()

		c := config(dir)
		c.Sites = map[int64]string{9: "example.net"}
		second := open(t, c)
		after := must[esaemu.State](t)(second.State())
		added := esaemu.Site{
			ID: 9, Name: "example.net", Status: "active", AccessType: "NS", Coverage: "domestic", CreateTime: second.clock.Now().UTC().Round(0),
		}
		before.Sites = append([]esaemu.Site{added}, before.Sites...)
		same(t, "state", after, before)
		overdue = false
		if err := second.SetAccount(esaemu.AccountChange{Overdue: &overdue}); err != nil {
			t.Fatal(err)
		}
		if next := must[int64](t)(second.createRecord("web", "api.example.com")); next <= id {
			t.Errorf("record id %d after %d, want ids that are never given twice", next, id)
		}
	})

	t.Run("has what it answered on disk when it is killed", func(t *testing.T) {
		dir := t.TempDir()
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), serveVariable+"="+dir)
		out := must[io.ReadCloser](t)(process.StdoutPipe())
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		_, address, _ := strings.Cut(localtest.ReadyURL(t, "esa", out), "://")
		client := sdk(t, address, "key", "secret", "")
		for _, name := range []string{"web", "api"} {
			_, err := client.CreateRoutine(&esa.CreateRoutineRequest{Name: &name})
			want(t, name, err, "")
		}
		_ = process.Process.Kill()
		_ = process.Wait()
		same(t, "routines", len(must[esaemu.State](t)(open(t, config(dir)).State()).Routines), 2)
	})

	t.Run("refuses a data directory in use within a second", func(t *testing.T) {
		c := config(t.TempDir())
		open(t, c)
		began := time.Now()
		_, err := esaemu.New(c)
		if err == nil || !strings.Contains(err.Error(), "is another server using it?") || time.Since(began) > time.Second {
			t.Errorf("after %v: %v, want a clear error within a second", time.Since(began), err)
		}
	})
}

func TestClose(t *testing.T) {
	t.Run("answers later calls with an internal error", func(t *testing.T) {
		b := start(t)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := b.sdk.GetErService(&esa.GetErServiceRequest{})
		wantStatus(t, "read", err, "InternalError", 500)
		wantStatus(t, "write", b.createRoutine("web"), "InternalError", 500)
	})
}

func TestConfig(t *testing.T) {
	t.Run("refuses what is missing or senseless", func(t *testing.T) {
		for text, change := range map[string]func(*esaemu.Config){
			"AccountID is required":       func(c *esaemu.Config) { c.AccountID = "" },
			"AccessKeyID is required":     func(c *esaemu.Config) { c.AccessKeyID = "" },
			"AccessKeySecret is required": func(c *esaemu.Config) { c.AccessKeySecret = "" },
			"Dir is required":             func(c *esaemu.Config) { c.Dir = "" },
			"data directory":              func(c *esaemu.Config) { c.Dir = "/dev/null/esa" },
			"must not be negative":        func(c *esaemu.Config) { c.RoutineQuota = -1 },
			`plan "gold"`:                 func(c *esaemu.Config) { c.Plan = "gold" },
			"latency -1s":                 func(c *esaemu.Config) { c.Latency = -time.Second },
			"site id 0":                   func(c *esaemu.Config) { c.Sites = map[int64]string{0: "example.com"} },
		} {
			c := config(t.TempDir())
			change(&c)
			if _, err := esaemu.New(c); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("got %v, want %q", err, text)
			}
		}
	})
}

func TestCommand(t *testing.T) {
	t.Run("serves from its ready line until it is stopped", func(t *testing.T) {
		scheme, address, stop := run(t, arguments(t.TempDir()))
		same(t, "scheme", scheme, "http")
		sites := must[*esa.ListSitesResponse](t)(sdk(t, address, "key", "secret", "").ListSites(&esa.ListSitesRequest{}))
		same(t, "site", *sites.Body.Sites[0].SiteId, int64(siteID))
		if err := stop(); err != nil {
			t.Errorf("stopped with %v", err)
		}
	})

	t.Run("serves HTTPS with a certificate", func(t *testing.T) {
		cert, key := localtest.Certificate(t)
		scheme, address, stop := run(t, append(arguments(t.TempDir()), "-tls-cert", cert, "-tls-key", key))
		same(t, "scheme", scheme, "https")
		ca := string(must[[]byte](t)(os.ReadFile(cert)))
		client := must[*esa.Client](t)(esa.NewClient(&openapi.Config{
			Endpoint: &address, Protocol: tea.String("HTTPS"), AccessKeyId: tea.String("key"), AccessKeySecret: tea.String("secret"), Ca: &ca,
		}))
		_, err := client.GetErService(&esa.GetErServiceRequest{})
		want(t, "GetErService", err, "")
		if err := stop(); err != nil {
			t.Errorf("stopped with %v", err)
		}
	})

	t.Run("explains itself", func(t *testing.T) {
		var out strings.Builder
		if err := esaemu.Command(t.Context(), []string{"-h"}, &out, io.Discard); err != nil {
			t.Errorf("got %v, want no error", err)
		}
		for _, word := range []string{"Usage: esa", "-listen", "127.0.0.1:18081", "-site", "-record-quota", "-plan", "-tls-key", "-host", "/_local/state"} {
			if !strings.Contains(out.String(), word) {
				t.Errorf("no %q in:\n%s", word, out.String())
			}
		}
	})

	t.Run("names the flag that is wrong", func(t *testing.T) {
		keys := []string{"-access-key", "key", "-secret-key", "secret", "-data", t.TempDir()}
		taken := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
		defer func() { _ = taken.Close() }()
		for text, args := range map[string][]string{
			"-access-key and -secret-key are required":       {"-data", t.TempDir()},
			"-data is required":                              keys[:4],
			"-account must not be empty":                     append(keys[:6:6], "-account", ""),
			"-latency":                                       append(keys[:6:6], "-latency", "-1s"),
			"-routine-quota":                                 append(keys[:6:6], "-routine-quota", "-1"),
			`-plan: plan "gold": want free or paid`:          append(keys[:6:6], "-plan", "gold"),
			"-tls-cert and -tls-key go together":             append(keys[:6:6], "-tls-cert", "cert.pem"),
			"-tls-cert and -tls-key: open":                   append(keys[:6:6], "-tls-cert", "none.pem", "-tls-key", "none.pem"),
			"-site: want id=zone":                            append(keys[:6:6], "-site", "example.com"),
			`unexpected argument "more"`:                     append(keys[:6:6], "more"),
			"flag provided but not defined: -verbose":        append(keys[:6:6], "-verbose"),
			"listen tcp " + taken.Addr().String() + ": bind": append(keys[:6:6], "-listen", taken.Addr().String()),
			"esa: data directory":                            append(keys[:4:4], "-listen", "127.0.0.1:0", "-data", "/dev/null/esa"),
		} {
			err := esaemu.Command(t.Context(), args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), text) || !strings.HasPrefix(err.Error(), "esa: ") {
				t.Errorf("%v: %v, want %q", args, err, text)
			}
		}
	})
}
