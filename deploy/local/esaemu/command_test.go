package esaemu_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/serve"
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

func TestDurability(t *testing.T) {
	t.Run("keeps everything over a restart", func(t *testing.T) {
		dir := t.TempDir()
		first := open(t, config(dir))
		want(t, "create", first.createRoutine("web"), "")
		id := must[int64](t)(first.createRecord("web", "www.example.com"))
		must[int64](t)(first.PlantRecord(siteID, "mail.example.com"))
		do(t, first.SetErService("Creating"))
		do(t, first.SetOverdue(true))
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
		do(t, second.SetOverdue(false))
		if next := must[int64](t)(second.createRecord("web", "api.example.com")); next <= id {
			t.Errorf("record id %d after %d, want ids that are never given twice", next, id)
		}
	})

	t.Run("has what it answered on disk when it is killed", func(t *testing.T) {
		dir := t.TempDir()
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), serveVariable+"="+dir)
		out := must[io.ReadCloser](t)(process.StdoutPipe())
		do(t, process.Start())
		_, address, _ := strings.Cut(localtest.ReadyURL(t, "esa", out), "://")
		client := sdk(t, address, "")
		for _, name := range []string{"web", "api"} {
			_, err := client.CreateRoutine(&esa.CreateRoutineRequest{Name: &name})
			want(t, name, err, "")
		}
		_ = process.Process.Kill()
		_ = process.Wait()
		same(t, "routines", len(must[esaemu.State](t)(open(t, config(dir)).State()).Routines), 2)
	})

	t.Run("refuses a data directory in use", func(t *testing.T) {
		c := config(t.TempDir())
		open(t, c)
		if _, err := esaemu.New(c); err == nil || !strings.Contains(err.Error(), "is another server using it?") {
			t.Errorf("%v, want a clear error", err)
		}
	})
}

func TestClose(t *testing.T) {
	t.Run("answers later calls with an internal error", func(t *testing.T) {
		b := start(t)
		do(t, b.Close())
		wantStatus(t, "read", b.call("GetErService"), "InternalError", 500)
		wantStatus(t, "write", b.createRoutine("web"), "InternalError", 500)
	})
}

func TestConfig(t *testing.T) {
	t.Run("refuses what is missing or senseless", func(t *testing.T) {
		for text, change := range map[string]func(*esaemu.Config){
			"account id: is required":     func(c *esaemu.Config) { c.AccountID = "" },
			"access key: is required":     func(c *esaemu.Config) { c.AccessKeyID = "" },
			"secret key: is required":     func(c *esaemu.Config) { c.AccessKeySecret = "" },
			"data directory: is required": func(c *esaemu.Config) { c.Dir = "" },
			"data directory: mkdir":       func(c *esaemu.Config) { c.Dir = "/dev/null/esa" },
			"quota: must not be negative": func(c *esaemu.Config) { c.RoutineQuota = -1 },
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
	t.Run("serves HTTP, or HTTPS with a certificate, from its ready line until it is stopped", func(t *testing.T) {
		cert, key := localtest.Certificate(t)
		for scheme, flags := range map[string][]string{"http": nil, "https": {"-tls-cert", cert, "-tls-key", key}} {
			url, stop := localtest.RunCommand(t, "esa", esaemu.Command, append(arguments(t.TempDir()), flags...))
			got, address, _ := strings.Cut(url, "://")
			same(t, "scheme", got, scheme)
			ca := ""
			if scheme == "https" {
				ca = string(must[[]byte](t)(os.ReadFile(cert)))
			}
			sites := must[*esa.ListSitesResponse](t)(sdk(t, address, ca).ListSites(&esa.ListSitesRequest{}))
			same(t, "site", *sites.Body.Sites[0].SiteId, int64(siteID))
			do(t, stop())
		}
	})

	t.Run("explains itself", func(t *testing.T) {
		var out strings.Builder
		do(t, esaemu.Command(t.Context(), []string{"-h"}, &out, io.Discard))
		if !strings.Contains(out.String(), "Usage: esa") || !strings.Contains(out.String(), "-site") {
			t.Errorf("got %s", &out)
		}
	})

	t.Run("says what is wrong with its flags", func(t *testing.T) {
		for text, flag := range map[string][2]string{
			`plan "gold": want free or paid`: {"-plan", "gold"},
			"-site: want id=zone":            {"-site", "example.com"},
		} {
			err := esaemu.Command(t.Context(), append(arguments(t.TempDir()), flag[0], flag[1]), io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), text) || !errors.As(err, new(serve.Mistake)) {
				t.Errorf("%v: %v, want the mistake %q", flag, err, text)
			}
		}
	})
}
