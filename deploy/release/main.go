// Command release makes the files of a release out of a tagged commit.
//
//	go run ./deploy/release VERSION
//
// It writes into dist/release/VERSION: the command line tool for six platforms, the function zips as `make dist` makes them, an
// application of Serverless Devs that holds them, a list of all Go modules in them (CycloneDX 1.6), and checksums.txt. The same commit and the same version of Go give the same bytes. It must run
// in the root of the module, in a clone with all changes committed.
//
// It does not make the tag, and it does not upload anything.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"

	"routinely/deploy/artifact"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// form is a version that both Git tags and Go take: Semantic Versioning, without build metadata. Go takes no version from v2 on for a
// module whose path does not end in /v2.
var form = regexp.MustCompile(`^v[01]\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// run makes the release that the argument names, in the working directory.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) != 1 || args[0] == "" {
		return errors.New("which version? Say for example: make release VERSION=v0.2.0")
	}
	version := args[0]
	if !form.MatchString(version) {
		return fmt.Errorf("%q is no version: want for example v0.2.0 or v0.2.0-rc.1, of the majors v0 and v1", version)
	}
	commit, err := inspect(ctx, version)
	if err != nil {
		return err
	}
	return release{version, commit, platforms(), artifact.Functions(), stderr}.write(ctx, stdout)
}
