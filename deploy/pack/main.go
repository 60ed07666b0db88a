// Command pack builds the functions for Function Compute's runtime go1, which runs a static linux/amd64 binary named main.
//
//	go run ./deploy/pack [-out dist] [-unpacked | -application] [accept] [provision] [notify] [janitor]
//
// It writes OUT/FUNCTION.zip for each function named, for all of them when none is named, and prints size and SHA-256 of what
// it wrote. The same sources and the same version of Go give the same bytes, wherever and whenever they are packed. With
// -unpacked it writes OUT/FUNCTION/main instead, the folder that s.yaml deploys. With
// -application it also writes OUT/application.zip, an application of Serverless Devs with all functions. It must run in the root of the module.
//
// It does not upload anything.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"

	"routinely/deploy/artifact"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// run packs what the arguments ask for, in the working directory.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	out := flags.String("out", "dist", "write into this `folder`")
	unpacked := flags.Bool("unpacked", false, "write the bare binaries, as folders for s.yaml, instead of zip files")
	application := flags.Bool("application", false, "write an application of Serverless Devs, too, which holds all functions")
	if err := flags.Parse(args); err != nil {
		return err
	}
	functions := artifact.Functions()
	wanted := flags.Args()
	if len(wanted) == 0 {
		wanted = functions
	}
	for _, name := range wanted {
		if !slices.Contains(functions, name) {
			return fmt.Errorf("no function %q: want one of %v", name, functions)
		}
	}
	if *application && (*unpacked || len(wanted) != len(functions)) {
		return errors.New("an application holds all functions, packed")
	}
	pack := packZip
	if *unpacked {
		pack = packFolder
	}
	for _, name := range wanted {
		path, err := pack(ctx, name, *out, stderr)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := describe(stdout, path); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if !*application {
		return nil
	}
	path, err := packApplication(wanted, *out)
	if err != nil {
		return fmt.Errorf("application: %w", err)
	}
	return describe(stdout, path)
}

// packApplication packs the application with the functions that are in OUT, without a version, into OUT/application.zip and returns that path.
func packApplication(functions []string, out string) (string, error) {
	var packed []artifact.File
	for _, name := range functions {
		content, err := os.ReadFile(filepath.Join(out, name+".zip"))
		if err != nil {
			return "", err
		}
		packed = append(packed, artifact.File{Name: name + ".zip", Mode: 0o644, Content: content})
	}
	files, err := artifact.Application(os.DirFS("."), "v0.0.0", packed)
	if err != nil {
		return "", err
	}
	archive, err := artifact.Zip(files, artifact.Earliest())
	if err != nil {
		return "", err
	}
	path := filepath.Join(out, "application.zip")
	return path, os.WriteFile(path, archive, 0o644)
}

// packFolder builds the function into OUT/NAME/main and returns that path.
func packFolder(ctx context.Context, name, out string, stderr io.Writer) (string, error) {
	path := filepath.Join(out, name, artifact.Handler)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, artifact.BuildFunction(ctx, name, path, stderr)
}

// packZip builds the function into OUT/NAME.zip and returns that path.
func packZip(ctx context.Context, name, out string, stderr io.Writer) (string, error) {
	scratch, err := os.MkdirTemp("", "routinely-pack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	binary := filepath.Join(scratch, artifact.Handler)
	if err := artifact.BuildFunction(ctx, name, binary, stderr); err != nil {
		return "", err
	}
	archive, err := artifact.FunctionZip(binary)
	if err != nil {
		return "", err
	}
	path := filepath.Join(out, name+".zip")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, archive, 0o644)
}

// describe prints what was written: path, size in bytes and SHA-256.
func describe(stdout io.Writer, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s  %d bytes  sha256 %x\n", filepath.ToSlash(path), len(content), sha256.Sum256(content))
	return err
}
