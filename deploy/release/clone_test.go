package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"routinely/deploy/artifact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// enterClone makes a Git repository the working directory: a module with small programs, in one commit with the tag v0.2.0. It is the
// same commit each time. Function accept uses one module of the real product.
func enterClone(t *testing.T) {
	t.Helper()
	cmpVersion, sums := linkedModule(t)
	product := root()
	t.Chdir(t.TempDir())
	// The application is made of the real s.yaml: what release does with another one is no matter here.
	write(t, "s.yaml", string(read(t, filepath.Join(product, "s.yaml"))))
	if err := os.CopyFS("deploy/application", os.DirFS(filepath.Join(product, "deploy", "application"))); err != nil {
		t.Fatal(err)
	}
	write(t, "go.mod", "module routinely\n\ngo 1.26.0\n\nrequire github.com/google/go-cmp "+cmpVersion+"\n")
	write(t, "go.sum", sums)
	write(t, "cmd/routinely/main.go", "package main\n\nfunc main() { println(\"routinely\") }\n")
	for _, name := range artifact.Functions() {
		write(t, "functions/"+name+"/main/main.go", "package main\n\nfunc main() { println(\""+name+"\") }\n")
	}
	write(t, "functions/accept/main/main.go",
		"package main\n\nimport \"github.com/google/go-cmp/cmp\"\n\nfunc main() { println(cmp.Equal(1, 2)) }\n")
	for _, name := range []string{"LICENSE", "README.md", "README.zh-CN.md"} {
		write(t, name, "The text of "+name+"\n")
	}
	write(t, ".gitignore", "/dist/\n")
	for name, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.com", "GIT_AUTHOR_DATE": "2026-11-30T09:00:00+08:00",
		"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.com", "GIT_COMMITTER_DATE": "2026-12-01T09:30:12+08:00",
	} {
		t.Setenv(name, value)
	}
	command(t, "init", "-q", "-b", "main")
	command(t, "add", "-A")
	command(t, "commit", "-q", "-m", "First")
	command(t, "tag", "v0.2.0")
}

// linkedModule returns the version of go-cmp that the product's tests use, so that it need not be fetched, and the sums of all modules.
func linkedModule(t *testing.T) (version, sums string) {
	t.Helper()
	found := regexp.MustCompile(`github\.com/google/go-cmp (v\S+)`).FindSubmatch(read(t, filepath.Join(root(), "go.mod")))
	if found == nil {
		t.Fatal("go.mod does not name go-cmp")
	}
	return string(found[1]), string(read(t, filepath.Join(root(), "go.sum")))
}

// root is the root of the product's module, wherever the test is by now.
func root() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..")
}

func command(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
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

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// chosen returns the platforms and functions of the releases that the tests make. With -short it is one for each kind of file: compressing
// a megabyte takes the race detector a second.
func chosen() ([]artifact.Platform, []string) {
	if testing.Short() {
		return []artifact.Platform{{OS: "darwin", Arch: "arm64"}, {OS: "windows", Arch: "amd64"}}, []string{"accept", "notify"}
	}
	return platforms(), artifact.Functions()
}

// makeRelease makes release v0.2.0 and returns what is printed.
func makeRelease(t *testing.T) string {
	t.Helper()
	commit, err := inspect(t.Context(), "v0.2.0")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	systems, functions := chosen()
	if err := (release{"v0.2.0", commit, systems, functions, &stderr}).write(t.Context(), &stdout); err != nil {
		t.Fatalf("release: %v\n%s", err, stderr.String())
	}
	return stdout.String()
}
