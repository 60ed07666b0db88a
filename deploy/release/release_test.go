package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/macho"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/artifact"
	"routinely/deploy/artifact/archivetest"
)

const folder = "dist/release/v0.2.0/"

func TestRelease(t *testing.T) {
	enterClone(t)
	systems, functions := chosen()
	printed := makeRelease(t)
	first := released(t)
	t.Run("is the tool for each platform, the functions, their application and modules, and checksums", func(t *testing.T) {
		want := []string{"checksums.txt", "routinely_v0.2.0.cdx.json", "routinely_v0.2.0_application.zip"}
		for _, name := range functions {
			want = append(want, name+".zip")
		}
		for _, platform := range systems {
			want = append(want, archiveName(platform))
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(first))); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		var lines strings.Builder
		for _, name := range want {
			fmt.Fprintf(&lines, "%s%s  %d bytes\n", folder, name, len(first[name]))
		}
		if diff := cmp.Diff(lines.String(), printed); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
	t.Run("has the program and what its user reads in each archive", func(t *testing.T) {
		for _, platform := range systems {
			name, program := archiveName(platform), "routinely"
			if platform.OS == "windows" {
				program = "routinely.exe"
			}
			var got []string
			for _, e := range archivetest.Read(t, name, first[name]) {
				got = append(got, e.Mode+" "+e.Modified+" "+e.Name)
			}
			const at = " 2026-12-01T01:30:12Z "
			want := []string{"-rw-r--r--" + at + "LICENSE", "-rw-r--r--" + at + "README.md", "-rw-r--r--" + at + "README.zh-CN.md", "-rwxr-xr-x" + at + program}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
	t.Run("has programs that know their version and fit their platform", func(t *testing.T) {
		for _, platform := range systems {
			checkProgram(t, platform, program(t, archiveName(platform), first[archiveName(platform)]))
		}
	})
	t.Run("has the checksums of all other files", func(t *testing.T) {
		var want strings.Builder
		for _, name := range slices.Sorted(maps.Keys(first)) {
			if name != "checksums.txt" {
				fmt.Fprintf(&want, "%x  %s\n", sha256.Sum256(first[name]), name)
			}
		}
		if diff := cmp.Diff(want.String(), string(first["checksums.txt"])); diff != "" {
			t.Errorf("checksums (-want +got):\n%s", diff)
		}
	})
	t.Run("has the function zips that make dist makes", func(t *testing.T) {
		binary := t.TempDir() + "/main"
		if err := artifact.BuildFunction(t.Context(), "notify", binary, io.Discard); err != nil {
			t.Fatal(err)
		}
		want, err := artifact.FunctionZip(binary)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, first["notify.zip"]) {
			t.Error("the two archives differ")
		}
	})
	t.Run("has the function zips and the version in the application", func(t *testing.T) {
		packed := map[string]string{}
		for _, e := range archivetest.Read(t, "application.zip", first["routinely_v0.2.0_application.zip"]) {
			packed[e.Name] = string(e.Content)
		}
		for _, name := range functions {
			if packed["src/code/"+name+".zip"] != string(first[name+".zip"]) {
				t.Errorf("%s.zip is another one, or missing", name)
			}
		}
		if got := packed["publish.yaml"]; !strings.Contains(got, "\nVersion: 0.2.0\n") {
			t.Errorf("publish.yaml:\n%s", got)
		}
	})
	t.Run("says which modules are linked into which file", func(t *testing.T) { checkBill(t, first) })
	t.Run("has the same bytes in another folder, and replaces a release that is there", func(t *testing.T) {
		enterClone(t)
		t.Setenv("GOFLAGS", "-buildvcs=false -tags=other")
		t.Setenv("GOARM64", "v9.0")
		t.Setenv("TZ", "Asia/Shanghai")
		write(t, folder+"old.zip", "of an older try")
		makeRelease(t)
		second := released(t)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(first)), slices.Sorted(maps.Keys(second))); diff != "" {
			t.Errorf("files (-first +second):\n%s", diff)
		}
		for name, content := range first {
			if !bytes.Equal(content, second[name]) {
				t.Errorf("%s differs", name)
			}
		}
	})
}

// released returns the files of the release by their names.
func released(t *testing.T) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, e := range entries {
		out[e.Name()] = read(t, folder+e.Name())
	}
	return out
}

func TestPlatforms(t *testing.T) {
	want := []artifact.Platform{
		{OS: "linux", Arch: "amd64"},
		{OS: "linux", Arch: "arm64"},
		{OS: "darwin", Arch: "amd64"},
		{OS: "darwin", Arch: "arm64"},
		{OS: "windows", Arch: "amd64"},
		{OS: "windows", Arch: "arm64"},
	}
	if diff := cmp.Diff(want, platforms()); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
}

func archiveName(platform artifact.Platform) string {
	extension := ".tar.gz"
	if platform.OS == "windows" {
		extension = ".zip"
	}
	return "routinely_v0.2.0_" + platform.OS + "_" + platform.Arch + extension
}

// program returns the binary in an archive: the one file that can be executed.
func program(t *testing.T, name string, archive []byte) []byte {
	t.Helper()
	for _, e := range archivetest.Read(t, name, archive) {
		if strings.Contains(e.Mode, "x") {
			return e.Content
		}
	}
	t.Fatalf("%s has no program", name)
	return nil
}

// checkProgram reports a binary of another platform, without the version, or with traces of this machine; and one for macOS without the
// UUID that its loader asks for.
func checkProgram(t *testing.T, platform artifact.Platform, binary []byte) {
	t.Helper()
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	got := []string{info.Main.Version, settings["GOOS"], settings["GOARCH"], settings["CGO_ENABLED"], settings["vcs.modified"], settings["vcs.time"]}
	want := []string{"v0.2.0", platform.OS, platform.Arch, "0", "false", "2026-12-01T01:30:12Z"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("build (-want +got):\n%s", diff)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(binary, []byte(here)) {
		t.Errorf("%v: the binary names this machine's folder %s", platform, here)
	}
	if platform.OS != "darwin" {
		return
	}
	file, err := macho.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	const uuid = 0x1b // LC_UUID of <mach-o/loader.h>
	if !slices.ContainsFunc(file.Loads, func(load macho.Load) bool { return file.ByteOrder.Uint32(load.Raw()) == uuid }) {
		t.Errorf("%v: the binary has no UUID", platform)
	}
}
