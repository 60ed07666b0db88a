package cli_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// run runs a command line that has one command, do.
func run(t *testing.T, do func(*cli.App) error, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	a := &cli.App{Environ: []string{"NO_COLOR="}, Streams: cli.Streams{In: strings.NewReader(""), Out: &out, Err: &err}}
	code = a.Run(t.Context(), append([]string{"do"}, args...), &cobra.Command{
		Use: "do", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return do(a) },
	})
	return code, out.String(), err.String()
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want int
	}{
		{"success", nil, 0},
		{"what nobody has classified", errors.New("broken"), 1},
		{"an internal fault", &fault.Error{Kind: fault.Internal}, 1},
		{"a fault without a kind", &fault.Error{}, 1},
		{"invalid", &fault.Error{Kind: fault.Invalid}, 2},
		{"not found", &fault.Error{Kind: fault.NotFound}, 3},
		{"conflict", &fault.Error{Kind: fault.Conflict}, 4},
		{"account", &fault.Error{Kind: fault.Account}, 4},
		{"unauthenticated", &fault.Error{Kind: fault.Unauthenticated}, 5},
		{"denied", &fault.Error{Kind: fault.Denied}, 5},
		{"unavailable", fmt.Errorf("wrapped: %w", &fault.Error{Kind: fault.Unavailable, Err: context.DeadlineExceeded}), 6},
		{"throttled", &fault.Error{Kind: fault.Throttled}, 6},
		{"locked", &fault.Error{Kind: fault.Locked}, 6},
		{"jobs that did not succeed", &cli.Ending{Code: cli.ExitJobsFailed}, 7},
		{"the end of the time", context.DeadlineExceeded, 8},
		{"a part", &cli.Ending{Code: cli.ExitPartly}, 9},
		{"an interrupt", context.Canceled, 130},
	} {
		t.Run(test.name, func(t *testing.T) {
			if code, _, stderr := run(t, func(*cli.App) error { return test.err }); code != test.want || (code != 0) != (stderr != "") {
				t.Errorf("exit code %d, want %d; %q", code, test.want, stderr)
			}
		})
	}
}

func TestExplanations(t *testing.T) {
	problem := api.Problem{Code: "bad", Title: "It is bad", Errors: []routine.Problem{{Pointer: "/name", Detail: "wrong\x1b[2J"}, {Detail: "all wrong"}}}
	_, stdout, stderr := run(t, func(*cli.App) error {
		return &fault.Error{
			Kind: fault.Invalid, Step: "POST /v1", Code: "bad", Message: "It is\nbad", RequestID: "r", Hint: "Do better.", RetryAfter: 61 * time.Second,
			Err: &client.Refusal{Problem: problem, More: "http://host/problems#bad"},
		}
	})
	want := "routinely: POST /v1: bad: It is bad (request id r)\n  /name: wrong\\u001b[2J\n  all wrong\n  see http://host/problems#bad\n  Do better.\n  try again in 2 minutes\n"
	if diff := cmp.Diff(want, stderr); diff != "" || stdout != "" {
		t.Errorf("stdout %q, -want +got:\n%s", stdout, diff)
	}
}

func TestResults(t *testing.T) {
	things := []string{"succeeded", "\x1b[2J"}
	show := func(a *cli.App) error {
		return cli.List(a, things, []string{"state", "length"}, func(s string) []string { return []string{s, strconv.Itoa(len(s))} })
	}
	t.Run("are objects for programs", func(t *testing.T) {
		_, stdout, _ := run(t, show, "-o", "json")
		if want := "\"succeeded\"\n\"\\u001b[2J\"\n"; stdout != want {
			t.Errorf("got %q, want %q", stdout, want)
		}
	})
	for _, test := range []struct {
		color    string
		coloured bool
	}{{"auto", false}, {"never", false}, {"always", true}} {
		t.Run("are coloured as --color "+test.color+" says", func(t *testing.T) {
			_, stdout, _ := run(t, show, "--color", test.color)
			if got := strings.Contains(stdout, "\x1b[32msucceeded\x1b[0m"); got != test.coloured || strings.Contains(stdout, "\x1b[2J") {
				t.Errorf("got %q", stdout)
			}
		})
	}
	t.Run("leave out what is empty", func(t *testing.T) {
		_, stdout, _ := run(t, func(a *cli.App) error { return a.Show(1, cli.Fields{{"one", "1"}, {"two", " "}, {"state", "x\ny"}}) })
		if want := "one          1\nstate        x y\n"; stdout != want {
			t.Errorf("got %q, want %q", stdout, want)
		}
	})
}

func TestVariables(t *testing.T) {
	var stderr strings.Builder
	a := &cli.App{
		Environ: []string{"ROUTINELY_URL=nonsense", "ROUTINELY_TOKEN=hush"}, Streams: cli.Streams{Err: &stderr, Out: &stderr, In: strings.NewReader("")},
	}
	connect := &cobra.Command{Use: "do", RunE: func(*cobra.Command, []string) error {
		_, err := a.Connect()
		return err
	}}
	if code := a.Run(t.Context(), []string{"do"}, connect); code != 2 || !strings.Contains(stderr.String(), `url "nonsense"`) {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	if code := a.Run(t.Context(), []string{"do", "--url", "http://127.0.0.1:1"}, connect); code != 0 {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	if strings.Contains(stderr.String(), "hush") {
		t.Error("the token can be read")
	}
}

func TestEveryKindHasACode(t *testing.T) {
	var out strings.Builder
	a := &cli.App{Streams: cli.Streams{Out: &out, Err: &out, In: strings.NewReader("")}}
	if code := a.Run(t.Context(), []string{"help", "exit-codes"}); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	kinds := []fault.Kind{
		fault.Invalid, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Conflict, fault.Account, fault.Locked, fault.Throttled,
		fault.Unavailable, fault.Internal,
	}
	missing := slices.DeleteFunc(kinds, func(k fault.Kind) bool { return strings.Contains(out.String(), string(k)) })
	if len(missing) > 0 {
		t.Errorf("no exit code for %v", missing)
	}
}
