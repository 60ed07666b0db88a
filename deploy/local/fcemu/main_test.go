package fcemu_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
)

// TestMain builds the function binary that all tests run, and the host that some of them kill.
func TestMain(m *testing.M) {
	dir, err := localtest.Build("deploy/local/fcemu/testdata/function", "deploy/local/fcemu/testdata/host")
	if err == nil {
		err = os.Setenv("FCEMU_TEST_BINARIES", dir)
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

func binary(name string) string { return filepath.Join(os.Getenv("FCEMU_TEST_BINARIES"), name) }
