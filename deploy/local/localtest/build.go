package localtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build compiles commands of the module, named by their folder such as functions/accept, into a new temporary directory,
// which the caller removes. It is for TestMain, which has no testing.TB.
func Build(folders ...string) (dir string, err error) {
	dir, err = os.MkdirTemp("", "routinely")
	if err != nil {
		return "", err
	}
	// Without symbols, as they are deployed: linking takes half as long.
	args := []string{"build", "-ldflags", "-s -w", "-o", dir + string(filepath.Separator)}
	for _, folder := range folders {
		args = append(args, "routinely/"+folder)
	}
	build := exec.Command("go", args...)
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %v: %w\n%s", folders, err, out)
	}
	return dir, nil
}
