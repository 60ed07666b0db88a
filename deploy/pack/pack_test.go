package main

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"routinely/deploy/artifact"
	"routinely/deploy/artifact/archivetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// enterModule makes a module with small functions the working directory, so that a build takes a moment only.
func enterModule(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	write(t, "go.mod", "module routinely\n\ngo 1.26.0\n")
	for _, name := range artifact.Functions() {
		write(t, filepath.Join("functions", name, "main", "main.go"), "package main\n\nfunc main() { println(\""+name+"\") }\n")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func pack(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), args, &stdout, &stderr); err != nil {
		t.Fatalf("pack %v: %v\n%s", args, err, stderr.String())
	}
	return stdout.String()
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// summary is what pack says about the files it has written.
func summary(t *testing.T, paths ...string) string {
	t.Helper()
	var out strings.Builder
	for _, path := range paths {
		content := read(t, path)
		fmt.Fprintf(&out, "%s  %d bytes  sha256 %x\n", path, len(content), sha256.Sum256(content))
	}
	return out.String()
}

func TestPack(t *testing.T) {
	enterModule(t)
	// Two archives show it: to compress a megabyte takes the race detector a second.
	t.Run("writes an archive for each function named and tells size and hash", func(t *testing.T) {
		got := pack(t, "-out", "dist", "accept", "provision")
		if diff := cmp.Diff(summary(t, "dist/accept.zip", "dist/provision.zip"), got); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
	t.Run("puts one executable file named main into the archive", func(t *testing.T) {
		got := archivetest.Read(t, "provision.zip", read(t, "dist/provision.zip"))
		want := []archivetest.Entry{{Name: "main", Mode: "-rwxr-xr-x", Modified: "1980-01-01T00:00:00Z"}}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(archivetest.Entry{}, "Content")); diff != "" {
			t.Fatalf("entries (-want +got):\n%s", diff)
		}
		checkBinary(t, got[0].Content)
	})
	t.Run("writes the same bytes from another folder, whatever the user's build settings", func(t *testing.T) {
		first := read(t, "dist/accept.zip")
		enterModule(t)
		t.Setenv("GOFLAGS", "-trimpath=false -race")
		t.Setenv("GOAMD64", "v3")
		pack(t, "-out", "elsewhere", "accept")
		if !bytes.Equal(first, read(t, "elsewhere/accept.zip")) {
			t.Error("the two archives differ")
		}
	})
}

func TestPackUnpacked(t *testing.T) {
	enterModule(t)
	t.Run("writes nothing but an executable main", func(t *testing.T) {
		pack(t, "-unpacked", "accept")
		var got []string
		err := filepath.WalkDir("dist", func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				info, err := d.Info()
				if err != nil {
					return err
				}
				got = append(got, fmt.Sprint(filepath.ToSlash(path), " ", info.Mode()&0o100 != 0))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"dist/accept/main true"}, got); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		checkBinary(t, read(t, "dist/accept/main"))
	})
	t.Run("packs all functions when none is named", func(t *testing.T) {
		got := pack(t, "-unpacked", "-out", "all")
		var paths []string
		for _, name := range artifact.Functions() {
			paths = append(paths, "all/"+name+"/main")
		}
		if diff := cmp.Diff(summary(t, paths...), got); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

func TestPackFailures(t *testing.T) {
	enterModule(t)
	write(t, "functions/provision/main/main.go", "package main\n\nfunc main() { missing() }\n")
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"names a function that does not exist", []string{"accpet"}, `no function "accpet": want one of [accept provision notify janitor]`},
		{"names an unknown flag", []string{"-o", "dist"}, "flag provided but not defined: -o"},
		{"names the function that does not compile", []string{"provision"}, "provision: go build: exit status 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stderr bytes.Buffer
			err := run(t.Context(), test.args, io.Discard, &stderr)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if _, err := os.Stat("dist/provision.zip"); err == nil {
				t.Error("an archive was written all the same")
			}
		})
	}
}

func TestPackTheRealFunctions(t *testing.T) {
	if testing.Short() {
		t.Skip("builds all functions: left out with -short")
	}
	t.Chdir("../..")
	// Bare binaries: compressing megabytes takes the race detector half a minute, and the archive is tested above.
	out, again := t.TempDir(), t.TempDir()
	pack(t, "-unpacked", "-out", out)
	pack(t, "-unpacked", "-out", again, "accept")
	for _, name := range artifact.Functions() {
		checkBinary(t, read(t, filepath.Join(out, name, "main")))
	}
	if !bytes.Equal(read(t, filepath.Join(out, "accept", "main")), read(t, filepath.Join(again, "accept", "main"))) {
		t.Error("building accept twice gave different binaries")
	}
}

// checkBinary reports what runtime go1 could not start, and traces of this machine.
func checkBinary(t *testing.T, content []byte) {
	t.Helper()
	binary, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if binary.Machine != elf.EM_X86_64 || binary.Type != elf.ET_EXEC {
		t.Errorf("machine %v, type %v", binary.Machine, binary.Type)
	}
	for _, segment := range binary.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is linked dynamically: it has a segment %v", segment.Type)
		}
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, []byte(here)) {
		t.Errorf("the binary names this machine's folder %s", here)
	}
}
