package otsemu_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/otsemu"
)

// serveVariable makes the test binary a server on the data directory it names.
const serveVariable = "OTSEMU_TEST_DATA"

func arguments(dir string) []string {
	return []string{"-listen", "127.0.0.1:0", "-access-key", accessKey, "-secret-key", secretKey, "-data", dir}
}

func serveUntilKilled() {
	if err := otsemu.Command(context.Background(), arguments(os.Getenv(serveVariable)), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves in this process and returns its address and a function that stops it and gives its error.
func run(t *testing.T, args []string) (url string, stop func() error) {
	t.Helper()
	return localtest.RunCommand(t, "ots", otsemu.Command, args)
}

func TestDurability(t *testing.T) {
	t.Run("keeps everything over a restart", func(t *testing.T) {
		c := config(t.TempDir())
		c.Clock = clock.NewManual(time.Now())
		first := open(t, c)
		must[*tablestore.CreateTableResponse](t)(first.sdk.CreateTable(newTable("jobs", textKey, &tablestore.TableOption{
			TimeToAlive: 90000, MaxVersion: 1,
		})))
		first.store("jobs", pk("id", "a"), attributes{"c": "1"})
		before := must[*tablestore.DescribeTableResponse](t)(describe(first, "jobs"))
		first.shut()

		second := open(t, c)
		after := must[*tablestore.DescribeTableResponse](t)(describe(second, "jobs"))
		same(t, "options", after.TableOption, before.TableOption)
		same(t, "row", second.read("jobs", pk("id", "a")), attributes{"c": "1"})
	})

	t.Run("has what it answered on disk when it is killed", func(t *testing.T) {
		dir := t.TempDir()
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), serveVariable+"="+dir)
		out := must[io.ReadCloser](t)(process.StdoutPipe())
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		sdk := client(t, localtest.ReadyURL(t, "ots", out), instance, accessKey, secretKey, "")
		killed := &bench{t: t, sdk: sdk}
		killed.table("numbers", numberKey)
		var writers sync.WaitGroup
		for n := range 40 {
			writers.Go(func() { killed.store("numbers", pk("n", int64(n)), attributes{"c": "1"}) })
		}
		writers.Wait()
		must[*tablestore.DeleteRowResponse](t)(killed.delete(deleteChange("numbers", pk("n", int64(0)))))
		_ = process.Process.Kill()
		_ = process.Wait()

		b := open(t, config(dir))
		rows := must[*tablestore.GetRangeResponse](t)(b.scan(everything("numbers", "n"))).Rows
		same(t, "rows", len(rows), 39)
		same(t, "first", keyOf(rows[0].PrimaryKey), "n=1")
	})

	t.Run("refuses a data directory in use within a second", func(t *testing.T) {
		c := config(t.TempDir())
		open(t, c)
		began := time.Now()
		_, err := otsemu.New(c)
		if err == nil || !strings.Contains(err.Error(), "another process holds it") || time.Since(began) > time.Second {
			t.Errorf("after %v: %v, want a clear error within a second", time.Since(began), err)
		}
	})

	t.Run("refuses a file that is something else", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "ots.db"), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := otsemu.New(config(dir)); err == nil || !strings.Contains(err.Error(), "invalid database") {
			t.Errorf("got %v", err)
		}
	})
}

func TestConcurrency(t *testing.T) {
	t.Run("lets one of many writers create a row, and counts every increment", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		var writers sync.WaitGroup
		created := make(chan int, 16)
		for i := range 16 {
			writers.Go(func() {
				c := putChange("jobs", pk("id", "lock"), attributes{"holder": int64(i)})
				c.SetCondition(expectNotExist)
				if _, err := b.put(c); err == nil {
					created <- i
				} else {
					conditionFailed(t, err, rowExists)
				}
				for range 5 {
					u := updateChange("jobs", pk("id", "counter"))
					u.IncrementColumn("n", 1)
					if _, err := b.update(u); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		same(t, "creators", len(created), 1)
		same(t, "holder", b.read("jobs", pk("id", "lock")), attributes{"holder": int64(<-created)})
		same(t, "counter", b.read("jobs", pk("id", "counter")), attributes{"n": int64(80)})
	})
}

func TestClose(t *testing.T) {
	t.Run("answers later calls with an internal error", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		for range 2 {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, err := b.sdk.ListTable()
		refused(t, err, "OTSInternalServerError", 500, "")
		_, err = b.put(putChange("jobs", pk("id", "a"), nil))
		refused(t, err, "OTSInternalServerError", 500, "the server is closed")
	})
}

func TestConfig(t *testing.T) {
	t.Run("refuses what is missing or senseless", func(t *testing.T) {
		for text, edit := range map[string]func(*otsemu.Config){
			"InstanceName is required":    func(c *otsemu.Config) { c.InstanceName = "" },
			"AccessKeyID is required":     func(c *otsemu.Config) { c.AccessKeyID = "" },
			"AccessKeySecret is required": func(c *otsemu.Config) { c.AccessKeySecret = "" },
			"Dir is required":             func(c *otsemu.Config) { c.Dir = "" },
			"data directory":              func(c *otsemu.Config) { c.Dir = "/dev/null/ots" },
			`InstanceName "ab"`:           func(c *otsemu.Config) { c.InstanceName = "ab" },
			`InstanceName "1abc"`:         func(c *otsemu.Config) { c.InstanceName = "1abc" },
			`InstanceName "abc-"`:         func(c *otsemu.Config) { c.InstanceName = "abc-" },
			`InstanceName "a_bc"`:         func(c *otsemu.Config) { c.InstanceName = "a_bc" },
			`InstanceName "my-OTS"`:       func(c *otsemu.Config) { c.InstanceName = "my-OTS" },
			`InstanceName "alina"`:        func(c *otsemu.Config) { c.InstanceName = "alina" },
			`InstanceName "Kab"`:          func(c *otsemu.Config) { c.InstanceName = "Kab" },
		} {
			c := config(t.TempDir())
			edit(&c)
			if _, err := otsemu.New(c); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("got %v, want %q", err, text)
			}
		}
	})
}

func TestCommand(t *testing.T) {
	t.Run("serves from its ready line until it is stopped", func(t *testing.T) {
		url, stop := run(t, append(arguments(t.TempDir()), "-instance", "other"))
		if !strings.HasPrefix(url, "http://127.0.0.1:") {
			t.Errorf("address %q", url)
		}
		must[*tablestore.ListTableResponse](t)(client(t, url, "other", accessKey, secretKey, "").ListTable())
		if err := stop(); err != nil {
			t.Errorf("stopped with %v", err)
		}
	})

	t.Run("serves HTTPS with a certificate, by default as the instance routinely", func(t *testing.T) {
		cert, key := localtest.Certificate(t)
		url, stop := run(t, append(arguments(t.TempDir()), "-tls-cert", cert, "-tls-key", key))
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(must[[]byte](t)(os.ReadFile(cert)))
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
		defer transport.CloseIdleConnections()
		c := tablestore.NewDefaultTableStoreConfig()
		c.RetryTimes, c.Transport = 0, transport
		must[*tablestore.ListTableResponse](t)(tablestore.NewClientWithConfig(url, "routinely", accessKey, secretKey, "", c).ListTable())
		if err := stop(); err != nil {
			t.Errorf("stopped with %v", err)
		}
	})

	t.Run("explains itself", func(t *testing.T) {
		var out strings.Builder
		if err := otsemu.Command(t.Context(), []string{"-h"}, &out, io.Discard); err != nil {
			t.Errorf("got %v, want no error", err)
		}
		for _, word := range []string{"Usage: ots", "-listen", "127.0.0.1:18084", "-instance", "-tls-key", "-host", "/_local/tables"} {
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
			"-instance: want 3 to 16":                        append(keys[:6:6], "-instance", "no"),
			"-tls-cert and -tls-key go together":             append(keys[:6:6], "-tls-cert", "cert.pem"),
			"-tls-cert and -tls-key: open":                   append(keys[:6:6], "-tls-cert", "none.pem", "-tls-key", "none.pem"),
			`unexpected argument "more"`:                     append(keys[:6:6], "more"),
			"flag provided but not defined: -verbose":        append(keys[:6:6], "-verbose"),
			"listen tcp " + taken.Addr().String() + ": bind": append(keys[:6:6], "-listen", taken.Addr().String()),
			"ots: data directory":                            append(keys[:4:4], "-listen", "127.0.0.1:0", "-data", "/dev/null/ots"),
		} {
			err := otsemu.Command(t.Context(), args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), text) || !strings.HasPrefix(err.Error(), "ots: ") {
				t.Errorf("%v: %v, want %q", args, err, text)
			}
		}
	})
}
