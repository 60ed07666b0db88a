package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
)

// TestMain lets scripts run this program, which is the test binary started anew.
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"routinely": main})
}

// parallel is how many scripts run at once. Most of their time they wait for dead letters to come back to the queue.
const parallel = "8"

// suite runs the tests with the function binaries built, and looks for goroutines that they leave.
type suite struct{ *testing.M }

func (s suite) Run() int {
	flag.Parse()
	if err := flag.Set("test.parallel", parallel); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := localtest.Build("functions/accept", "functions/provision", "functions/notify")
	if err == nil {
		err = os.Setenv("ROUTINELY_TEST_BINARIES", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := s.M.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	_ = os.RemoveAll(dir)
	return code
}

func binary(name string) string { return filepath.Join(os.Getenv("ROUTINELY_TEST_BINARIES"), name) }
