package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// handler is the name of the file that runtime go1 starts, and the property handler in s.yaml.
const handler = "main"

// built is the modification time of the file in an archive: the earliest that the zip format can hold.
var built = time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)

// build compiles the function to path. Nothing of the machine gets into the binary: no paths (-trimpath), no commit
// (-buildvcs), no symbols (-s -w), no build id, no flags or processor level from the user's environment.
func build(ctx context.Context, name, path string, stderr io.Writer) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", path, "./functions/"+name+"/main")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}

// archiveOf returns a zip file that holds the binary as an executable file named main.
func archiveOf(binary string) ([]byte, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	header := &zip.FileHeader{Name: handler, Method: zip.Deflate, Modified: built}
	header.SetMode(0o755)
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	file, err := z.CreateHeader(header)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(content); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
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
