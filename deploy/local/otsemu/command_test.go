package otsemu_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

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

func TestDurability(t *testing.T) {
	t.Run("keeps tables and rows over a restart", func(t *testing.T) {
		c := config(t.TempDir())
		first := open(t, c)
		must[*tablestore.CreateTableResponse](t)(first.sdk.CreateTable(newTable("jobs", textKey, 90000)))
		first.store("jobs", pk("id", "a"), attributes{"c": "1"})
		before := must[*tablestore.DescribeTableResponse](t)(first.describe("jobs"))
		first.shut()

		second := open(t, c)
		after := must[*tablestore.DescribeTableResponse](t)(second.describe("jobs"))
		same(t, "options", after.TableOption, before.TableOption)
		same(t, "row", second.read("jobs", pk("id", "a"), nil), attributes{"c": "1"})
	})

	t.Run("has what it answered on disk when it is killed", func(t *testing.T) {
		dir := t.TempDir()
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), serveVariable+"="+dir)
		out := must[io.ReadCloser](t)(process.StdoutPipe())
		must[any](t)(nil, process.Start())
		killed := &fixture{t: t, sdk: client(t, localtest.ReadyURL(t, "ots", out), instance, accessKey, secretKey, "")}
		killed.table("numbers", numberKey)
		var writers sync.WaitGroup
		for n := range 40 {
			writers.Go(func() { killed.store("numbers", pk("n", int64(n)), attributes{"c": "1"}) })
		}
		writers.Wait()
		must[*tablestore.DeleteRowResponse](t)(killed.delete(deleteChange("numbers", pk("n", int64(0)))))
		_ = process.Process.Kill()
		_ = process.Wait()

		rows := open(t, config(dir)).pages(everything("numbers", "n"))[0]
		same(t, "rows", len(rows), 39)
		same(t, "first", rows[0], "n=1")
	})

	t.Run("refuses a data directory in use, and a file that is something else", func(t *testing.T) {
		used, other := config(t.TempDir()), config(t.TempDir())
		open(t, used)
		must[any](t)(nil, os.WriteFile(filepath.Join(other.Dir, "ots.db"), []byte(strings.Repeat("not a database ", 1000)), 0o600))
		for text, c := range map[string]otsemu.Config{"another process holds it": used, "invalid database": other} {
			if _, err := otsemu.New(c); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("got %v, want %q", err, text)
			}
		}
	})
}

func TestOneOfManyWritersCreatesARowAndMakesEachNextVersion(t *testing.T) {
	f := startWithJobs(t)
	for version := range int64(5) {
		var writers sync.WaitGroup
		wrote := make(chan int64, 16)
		for writer := range int64(16) {
			writers.Go(func() {
				c := putChange("jobs", pk("id", "a"), attributes{"version": version, "writer": writer})
				c.SetCondition(expectNotExist)
				if version > 0 {
					c.SetCondition(expectExist)
					c.SetColumnCondition(single("version", tablestore.CT_EQUAL, version-1))
				}
				if _, err := f.put(c); err == nil {
					wrote <- writer
				} else {
					conditionFailed(t, err, "")
				}
			})
		}
		writers.Wait()
		if len(wrote) != 1 {
			t.Fatalf("version %d was written by %d writers", version, len(wrote))
		}
		same(t, "row", f.read("jobs", pk("id", "a"), nil), attributes{"version": version, "writer": <-wrote})
	}
}

func TestClose(t *testing.T) {
	f := startWithJobs(t)
	for range 2 {
		same(t, "close", f.Close(), nil)
	}
	_, err := f.describe("jobs")
	refused(t, err, "OTSInternalServerError", 500, "database not open")
	_, err = f.put(putChange("jobs", pk("id", "a"), nil))
	refused(t, err, "OTSInternalServerError", 500, "database not open")
}

func TestConfig(t *testing.T) {
	for text, edit := range map[string]func(*otsemu.Config){
		"InstanceName is required":    func(c *otsemu.Config) { c.InstanceName = "" },
		"AccessKeyID is required":     func(c *otsemu.Config) { c.AccessKeyID = "" },
		"AccessKeySecret is required": func(c *otsemu.Config) { c.AccessKeySecret = "" },
		"Dir is required":             func(c *otsemu.Config) { c.Dir = "" },
	} {
		c := config(t.TempDir())
		edit(&c)
		if _, err := otsemu.New(c); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Run("serves from its ready line until it is stopped", func(t *testing.T) {
		url, stop := localtest.RunCommand(t, "ots", otsemu.Command, append(arguments(t.TempDir()), "-instance", "other"))
		f := &fixture{t: t, sdk: client(t, url, "other", accessKey, secretKey, "")}
		f.table("jobs", textKey)
		same(t, "stop", stop(), nil)
	})

	t.Run("says which flag is wrong", func(t *testing.T) {
		for text, args := range map[string][]string{
			"ots: -access-key and -secret-key are required": {"-data", t.TempDir()},
			"ots: data directory":                           arguments("/dev/null/ots"),
		} {
			if err := otsemu.Command(t.Context(), args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%v: %v, want %q", args, err, text)
			}
		}
	})
}
