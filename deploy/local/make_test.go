package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// makes runs a target of the Makefile in another directory.
func makes(t *testing.T, dir, target string, settings ...string) (said string, err error) {
	t.Helper()
	makefile, err := filepath.Abs("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("make", append([]string{"-C", dir, "-f", makefile, target}, settings...)...).CombinedOutput()
	return string(out), err
}

func TestMakeClean(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	local := filepath.Join(dir, ".local")
	if err := os.Mkdir(local, 0o700); err != nil {
		t.Fatal(err)
	}
	there := func() bool { _, err := os.Stat(local); return err == nil }
	r := run(t, dir)
	if said, err := makes(t, dir, "clean"); err == nil || !strings.Contains(said, "Stop it first") || !there() {
		t.Errorf("while everything runs: %v, %s", err, said)
	}
	r.stop(t)
	if left, _ := filepath.Glob(filepath.Join(local, "running", "*")); len(left) > 0 {
		t.Errorf("after its end %q are left", left)
	}
	// What a process that was killed leaves is in nobody's way. 2147483646 is no process: Linux has fewer.
	if err := os.WriteFile(filepath.Join(local, "running", "2147483646"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := makes(t, dir, "clean"); err != nil || there() {
		t.Errorf("afterwards: %v, %s", err, said)
	}
}

func TestMakeBuildTellsOfTheFirst(t *testing.T) {
	t.Parallel()
	const notice = "The first build takes some minutes"
	for stale, want := range map[string]bool{"true": true, "false": false, "": true} {
		dir := t.TempDir()
		compiler := filepath.Join(dir, "go") // which says of packages whether they are to be compiled, and compiles nothing
		script := "#!/bin/sh\nif [ $1 = list ]; then echo " + stale + "; fi\n"
		if err := os.WriteFile(compiler, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		said, err := makes(t, dir, "build", "GO="+compiler)
		if err != nil || strings.Contains(said, notice) != want {
			t.Errorf("stale %q: %v, %s", stale, err, said)
		}
	}
}
