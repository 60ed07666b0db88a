package githubaction_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/shared/routine"
)

// program reads lines with a list of prefixes, repositories' ids and branches, and writes a line with their names.
const program = `import { createInterface } from 'node:readline';
import { checkName, nameOf } from './name.mjs';
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(JSON.parse(line).map((of) => checkName(nameOf(...of)))));
}`

// namer makes names with name.mjs.
type namer struct {
	in  *json.Encoder
	out *json.Decoder
}

func newNamer(t *testing.T) *namer {
	t.Helper()
	cmd := exec.Command("node", "--input-type=module", "--eval", program)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	return &namer{json.NewEncoder(in), json.NewDecoder(out)}
}

func (n *namer) names(t interface{ Fatalf(string, ...any) }, of [][3]string) (out []string) {
	if err := errors.Join(n.in.Encode(of), n.out.Decode(&out)); err != nil || len(out) != len(of) {
		t.Fatalf("%v: %q", err, out)
	}
	return out
}

func TestNames(t *testing.T) {
	node(t)
	n := newNamer(t)
	t.Run("stay as they are", func(t *testing.T) { // or every open preview would be made again
		got := n.names(t, [][3]string{
			{"pr-", "42", "main"},
			{"pr-", "42", "Feature/Login_page"},
			{"pr-", "42", "feature/login-page"},
			{"pr-", "43", "main"},
			{"pr-", "42", "修复"},
			{"pr-", "42", "7"},
			{"pr-", "42", "feature/a-name-that-is-longer-than-a-routine's"},
			{"preview-of-all-pull-", "42", "dependabot/npm_and_yarn/x"},
		})
		want := []string{
			"pr-main-c4570cc0dc", "pr-feature-login-page-f6717631cb", "pr-feature-login-page-9ae84b7087", "pr-main-74bc95a54f", "pr-16ff9b9270",
			"pr-7-2ce9412e88", "pr-feature-a-name-that-is-long-81c4c4ab61", "preview-of-all-pull-dependabot-d397dcee65",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("are those of routines, and as different as their hashes", rapid.MakeCheck(func(t *rapid.T) {
		branch := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9/._-]{1,80}`), rapid.StringOfN(rapid.RuneFrom([]rune("aZ9-_/.é漢😀 '\"$`")), 1, 60, -1))
		of := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) [3]string {
			return [3]string{
				rapid.SampledFrom([]string{"pr-", "a", "preview-of-all-pull-"}).Draw(t, "prefix"), rapid.SampledFrom([]string{"42", "43"}).Draw(t, "repository"),
				branch.Draw(t, "branch"),
			}
		}), 1, 50, rapid.ID).Draw(t, "of")
		got := n.names(t, of)
		seen := map[string][3]string{}
		for i, name := range got {
			sum := sha256.Sum256([]byte(of[i][1] + "\x00" + of[i][2]))
			if wrong := routine.CheckName(name); wrong != "" || strings.Contains(name, "--") || !strings.HasPrefix(name, of[i][0]) || !strings.HasSuffix(name, hex.EncodeToString(sum[:])[:10]) {
				t.Errorf("%q: %q %s", of[i], name, wrong)
			}
			if other, is := seen[name]; is && [2]string(other[1:]) != [2]string(of[i][1:]) {
				t.Errorf("%q and %q: %q", other, of[i], name)
			}
			seen[name] = of[i]
		}
		if diff := cmp.Diff(got, n.names(t, of)); diff != "" {
			t.Errorf("another time, -first +second:\n%s", diff)
		}
	}))
}
