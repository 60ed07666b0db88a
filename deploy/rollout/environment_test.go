package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// root is the root of the module, seen from this folder.
const root = "../.."

// write writes a file and returns its folder.
func write(t *testing.T, folder, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestParse(t *testing.T) {
	t.Run("takes the example, which has all that is required", func(t *testing.T) {
		example := filepath.Join(root, "deploy", "environments", "staging.env.example")
		settings, err := parse(example)
		if err != nil {
			t.Fatal(err)
		}
		w, err := inspect(filepath.Join(root, application))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.check(environment{"staging", settings}); err != nil {
			t.Error(err)
		}
	})
	for _, content := range []string{"A", "A=1\nA=2", "export A=1", `A="1"`, "A='1'"} {
		t.Run("refuses "+content, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder, "x.env", content)
			if got, err := parse(filepath.Join(folder, "x.env")); err == nil {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestWanted(t *testing.T) {
	w, err := inspect(filepath.Join(root, application))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("finds the functions of s.yaml in their order", func(t *testing.T) {
		if diff := cmp.Diff([]string{"provisioner", "notify", "janitor", "accept"}, w.resources); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("finds what is secret", func(t *testing.T) {
		if diff := cmp.Diff([]string{"ROUTINELY_AUTH", "ROUTINELY_CALLBACK_SECRETS", "ROUTINELY_MESSAGE_KEYS"}, w.secrets); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("refuses all that is wrong in a file at once", func(t *testing.T) {
		err := w.check(environment{"staging", map[string]string{"ROUTINELY_AUTH": "{}", "ROUTINELY_REGOIN": "x", "ROUTINELY_PREFIX": "p", "ROUTINELY_REGION": "r"}})
		for _, name := range []string{"ROUTINELY_AUTH does not belong", "ROUTINELY_REGOIN does not belong", "ROUTINELY_ACCOUNT_ID is missing", "ROUTINELY_DELETE is missing"} {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v, want %q", err, name)
			}
		}
	})
}

func TestLoad(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "staging.env", "ROUTINELY_PREFIX=one\n")
	write(t, folder, "production.env", "ROUTINELY_PREFIX=two\n")
	if _, err := load(folder, "staging"); err != nil {
		t.Error(err)
	}
	write(t, folder, "copy.env", "ROUTINELY_PREFIX=two\n")
	if _, err := load(folder, "production"); err == nil || !strings.Contains(err.Error(), "has the prefix two too") {
		t.Errorf("two environments of one prefix: %v", err)
	}
	for _, name := range []string{"../staging", "none", "Staging", ""} {
		if _, err := load(folder, name); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestAgree(t *testing.T) {
	for _, test := range []struct {
		action, name, confirmed, typed string
		want                           bool
	}{
		{"deploy", "staging", "", "", true},
		{"undeploy", "staging", "", "", false},
		{"undeploy", "staging", "staging", "", true},
		{"deploy", "production", "", "", false},
		{"deploy", "production", "staging", "", false},
		{"deploy", "production", "production", "", true},
		{"rollback", "prod-eu", "", "", false},
		{"deploy", "production", "", "production\n", false}, // it comes from a file, so nobody has typed it
	} {
		folder := t.TempDir()
		write(t, folder, "in", test.typed)
		stdin, err := os.Open(filepath.Join(folder, "in"))
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		if got := agree(test.action, test.name, test.confirmed, stdin, &strings.Builder{}); (got == nil) != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestEnvironments(t *testing.T) {
	t.Run("of the caller reach no program, apart from what is no setting", func(t *testing.T) {
		r := rollout{
			environment: environment{"staging", map[string]string{"ROUTINELY_PREFIX": "staging"}},
			caller:      map[string]string{"PATH": "/bin", "ROUTINELY_PREFIX": "routinely", "ROUTINELY_QUEUE_LIMITS": "x", "ALIBABA_CLOUD_SECURITY_TOKEN": "x", "AccessKeyID": "x"},
		}
		if got := r.plain(); !slices.Equal(got, []string{"PATH=/bin", "ROUTINELY_PREFIX=staging"}) {
			t.Errorf("got %q", got)
		}
	})
}
