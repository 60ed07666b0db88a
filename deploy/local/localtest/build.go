package localtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// turn is how long a Build waits for the others before it.
const turn = 5 * time.Minute

// Build compiles commands of the module, named by their folder such as functions/accept/main, into a new temporary directory,
// which the caller removes. It is for TestMain, which has no testing.TB.
//
// Packages that are tested at the same time need the same commands, and linking takes seconds. So one Build at a time builds them in a
// folder that is kept, where the go command links only those whose sources or settings have changed.
func Build(folders ...string) (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil { // there is no home
		cache = os.TempDir()
	}
	kept := filepath.Join(cache, "routinely", "test")
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return "", err
	}
	lock, err := bbolt.Open(filepath.Join(kept, "lock.db"), 0o600, &bbolt.Options{Timeout: turn})
	if err != nil {
		return "", fmt.Errorf("wait for other builds in %s: %w", kept, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := build(kept, folders); err != nil {
		return "", err
	}
	return copies(kept, folders)
}

func build(into string, folders []string) error {
	for _, folder := range folders {
		// Without symbols, as they are deployed: linking takes half as long.
		cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(into, commandName(folder)), "routinely/"+folder)
		// The go command links in a temporary directory on the same disk and moves the result into place, so that a kill in the middle
		// leaves no half of a command.
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOTMPDIR="+into)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", folder, err, out)
		}
	}
	return nil
}

// commandName is the file that a command is built into: its folder's name, for functions/accept/main accept.
func commandName(folder string) string { return path.Base(strings.TrimSuffix(folder, "/main")) }

// copies copies the commands for one test, since another Build may replace them meanwhile.
func copies(kept string, folders []string) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "routinely"); err != nil {
		return "", err
	}
	for _, folder := range folders {
		name := commandName(folder)
		content, err := os.ReadFile(filepath.Join(kept, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o700)
		}
		if err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}
