// Package artifact makes what is deployed and released: the binaries of the functions and of the tool, and the archives that hold them.
// Their bytes follow from the sources and the version of Go alone, not from the machine, its folders, its clock or the user's settings.
//
// It does not choose versions, and it does not upload anything.
package artifact

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Platform is what a binary runs on, in Go's words: linux/arm64.
type Platform struct{ OS, Arch string }

// Functions returns the names of the functions that are deployed: the packages under functions/.
func Functions() []string { return []string{"accept", "provision", "notify", "janitor"} }

// BuildFunction compiles the function to path, for Function Compute's runtime go1. No commit gets into it: a commit that changes no
// source of the function changes no byte, so that nothing needs to be deployed. What the compiler says goes to stderr.
func BuildFunction(ctx context.Context, name, path string, stderr io.Writer) error {
	return build(ctx, Platform{"linux", "amd64"}, path, stderr, "-buildvcs=false", "./functions/"+name+"/main")
}

// BuildTool compiles the command line tool to path. The commit gets into it, and its tag as the version, for `routinely version`.
// What the compiler says goes to stderr.
func BuildTool(ctx context.Context, platform Platform, path string, stderr io.Writer) error {
	return build(ctx, platform, path, stderr, "-buildvcs=true", "./cmd/routinely")
}

// build compiles a package of the module in the working directory. Nothing of the machine gets into the binary: no paths (-trimpath),
// no symbols (-s -w), no flags or processor level from the user's environment, and no build id except on macOS: there the linker
// makes the UUID from it without which newer versions start no program.
func build(ctx context.Context, platform Platform, path string, stderr io.Writer, commit, source string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	linker := "-s -w -buildid="
	if platform.OS == "darwin" {
		linker = "-s -w"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", commit, "-ldflags="+linker, "-o", path, source)
	cmd.Env = append(os.Environ(), "GOOS="+platform.OS, "GOARCH="+platform.Arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off",
		"CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}
