package seeds_test

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mutantSeeds is how many seeds a mutant may survive.
const mutantSeeds = "300"

// TestMutants: the simulation finds each change of testdata/mutants. MUTANTS is an expression that their first lines fit.
func TestMutants(t *testing.T) {
	chosen := os.Getenv("MUTANTS")
	if chosen == "" {
		t.Skip("make mutants runs it: it takes some minutes")
	}
	wanted, err := regexp.Compile(chosen)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/mutants")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(strings.TrimSpace(string(text)), "\n\n")[1:]
	for _, block := range blocks {
		rule, block, _ := strings.Cut(block, "\n")
		if !wanted.MatchString(rule) {
			continue
		}
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			mutate(t, root, block)
		})
	}
}

// mutate runs the simulation with one file changed. The change is an overlay: the file itself stays.
func mutate(t *testing.T, root, block string) {
	file, changes, _ := strings.Cut(block, "\n")
	path := filepath.Join(root, file)
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	was, becomes := sides(changes)
	if n := strings.Count(string(source), was); n != 1 {
		t.Fatalf("%s has the text %d times:\n%s", file, n, was)
	}
	changed := filepath.Join(t.TempDir(), "changed.go")
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	replace, _ := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err := cmp.Or(os.WriteFile(changed, []byte(strings.Replace(string(source), was, becomes, 1)), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-count=1", "-failfast", "-run", "^TestSeeds$", "-timeout", "60m", ".")
	cmd.Env = append(os.Environ(), "SEEDS="+cmp.Or(os.Getenv("SEEDS"), mutantSeeds))
	out, err := cmd.CombinedOutput()
	seed := regexp.MustCompile(`--- FAIL: TestSeeds/(\d+)`).FindSubmatch(out)
	if err == nil || seed == nil {
		t.Fatalf("it survives:\n%s", out[max(0, len(out)-2000):])
	}
	t.Logf("found by seed %s:%s", seed[1], regexp.MustCompile(`(?m)^ +\S+_test\.go:\d+:.*`).Find(out))
}

// sides are the lines that a change takes away, and those that it puts in their place.
func sides(changes string) (was, becomes string) {
	var out [2][]string
	for line := range strings.Lines(changes) {
		line = strings.TrimSuffix(line, "\n")
		if rest, found := strings.CutPrefix(line, "-"); found {
			out[0] = append(out[0], rest)
		} else {
			out[1] = append(out[1], strings.TrimPrefix(line, "+"))
		}
	}
	return strings.Join(out[0], "\n"), strings.Join(out[1], "\n")
}
