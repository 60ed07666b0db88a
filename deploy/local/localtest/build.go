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

// turn is how long a Build waits for others to link theirs.
const turn = 5 * time.Minute

// Build compiles commands of the module, named by their folder such as functions/accept/main, into a new temporary directory,
// which the caller removes. It is for TestMain, which has no testing.TB.
//
// Packages that are tested at the same time want the same commands, and to link them takes seconds. So they are built in turn
// where the last are kept, of which the go command links again those alone whose sources or settings have changed.
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
		// What was linked is moved into place as a whole, which takes a temporary directory on the same disk: who is killed in
		// the middle leaves no half of a command that the go command would take for the whole.
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOTMPDIR="+into)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", folder, err, out)
		}
	}
	return nil
}

// commandName is the file that a command is built into: its folder's name, for functions/accept/main accept.
func commandName(folder string) string { return path.Base(strings.TrimSuffix(folder, "/main")) }

// copies are what a test runs: others may build anew meanwhile.
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
