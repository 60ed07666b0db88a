package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
)

// parallel is how many scripts run at once. Most of their time they wait for dead letters to come back to the queue.
const parallel = "8"

// TestMain builds this program and the functions as they are shipped, once for all scripts: a test binary that is started again
// for each command spends most of the time with its race detector.
func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := localtest.Build("functions/accept/main", "functions/provision/main", "functions/notify/main", "functions/janitor/main", "cmd/routinely")
	if err == nil {
		err = os.Setenv("ROUTINELY_TEST_BINARIES", dir)
	}
	if err == nil {
		err = os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	}
	if err == nil {
		err = flag.Set("test.parallel", parallel)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func binary(name string) string { return filepath.Join(os.Getenv("ROUTINELY_TEST_BINARIES"), name) }
