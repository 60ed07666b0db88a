package fcemu_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// TestMain builds the function binary that all tests run, and the host that some of them kill.
func TestMain(m *testing.M) {
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(filepath.Dir(binary("function")))
		os.Exit(code)
	}))
}

func build() error {
	dir, err := os.MkdirTemp("", "fcemu")
	if err != nil {
		return err
	}
	if err := os.Setenv("FCEMU_TEST_BINARIES", dir); err != nil {
		return err
	}
	out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./testdata/function", "./testdata/host").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build test binaries: %w\n%s", err, out)
	}
	return nil
}

func binary(name string) string { return filepath.Join(os.Getenv("FCEMU_TEST_BINARIES"), name) }
