package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// run runs a command line that has one command, do, which shows a list of words.
func run(t *testing.T, do func(*cli.App) error, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	a := &cli.App{Environ: []string{"NO_COLOR=", "COLUMNS=60"}, Streams: cli.Streams{In: strings.NewReader(""), Out: &out, Err: &err}}
	cmd := &cobra.Command{Use: "do", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return do(a) }}
	words().Flags(a, cmd)
	code = a.Run(t.Context(), append([]string{"do"}, args...), cmd)
	return code, out.String(), err.String()
}

// words is a list of words that are states.
func words() cli.List[string] {
	return cli.List[string]{
		ID: func(s string) string { return s },
		Columns: []cli.Column[string]{
			{Name: "state", Text: func(s string) string { return s }},
			{Name: "length", Turn: 1, Text: func(s string) string { return strconv.Itoa(len(s)) }},
			{Name: "twice", Least: 5, Turn: 2, Text: func(s string) string { return s + "," + s }},
			{Name: "formula", OnWish: true, Text: func(s string) string { return "=" + s }},
		},
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want int
	}{
		{"success", nil, 0},
		{"an unclassified error", errors.New("broken"), 1},
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
	things := []string{"succeeded", "\x1b[2J\u0085\u202e\u2028\U000e0001"}
	show := func(a *cli.App) error { return words().Show(a, things) }
	t.Run("are objects for programs", func(t *testing.T) {
		_, stdout, _ := run(t, show, "-o", "json")
		if want := "\"succeeded\"\n" + `"\u001b[2J\u0085\u202e\u2028\udb40\udc01"` + "\n"; stdout != want {
			t.Errorf("got %q, want %q", stdout, want)
		}
		var read string
		if _, last, _ := strings.Cut(stdout, "\n"); json.Unmarshal([]byte(last), &read) != nil || read != things[1] {
			t.Errorf("the value became %q", read)
		}
	})
	t.Run("are ids alone for shells", func(t *testing.T) {
		if _, stdout, _ := run(t, show, "-q"); stdout != `succeeded`+"\n"+`\u001b[2J\u0085\u202e\u2028\udb40\udc01`+"\n" {
			t.Errorf("got %q", stdout)
		}
	})
	t.Run("are rows for spreadsheets, which take no cell for a formula", func(t *testing.T) {
		_, stdout, _ := run(t, func(a *cli.App) error { return words().Show(a, things[:1]) }, "-o", "csv", "--columns", "formula,TWICE,state", "--color", "always")
		if want := "formula,twice,state\n'=succeeded,\"succeeded,succeeded\",succeeded\n"; stdout != want {
			t.Errorf("got %q, want %q", stdout, want)
		}
	})
	t.Run("leave out columns in their turn, and say so", func(t *testing.T) {
		_, stdout, stderr := run(t, func(a *cli.App) error { return words().Show(a, []string{strings.Repeat("x", 41)}) })
		if strings.Contains(stdout, "length") || !strings.Contains(stdout, "twice") || stderr != "no room for length: --columns chooses, -o csv and -o json show all\n" {
			t.Errorf("got %s%s", stdout, stderr)
		}
		for line := range strings.Lines(stdout) {
			if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 60 {
				t.Errorf("%d characters: %s", n, line)
			}
		}
	})
	for _, args := range [][]string{
		{"--columns", "nosuch"},
		{"--columns", "state,state"},
		{"--columns", "state,"},
		{"--columns", ""},
		{"-q", "-o", "csv"},
		{"-q", "--columns", "state"},
		{"-o", "json", "--columns", "state"},
		{"-o", ""},
		{"--quiet=perhaps"},
		{"--timeout", "soon"},
		{"surplus"},
	} {
		t.Run(fmt.Sprintf("are not shown as %q", args), func(t *testing.T) {
			code, stdout, stderr := run(t, show, args...)
			if code != cli.ExitInvalid || stdout != "" || !strings.Contains(stderr, "routinely do --help explains it") || strings.Contains(stderr, "strconv") {
				t.Errorf("exit code %d, %q, %s", code, stdout, stderr)
			}
		})
	}
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
	t.Run("wrap what is long between its words", func(t *testing.T) {
		_, stdout, _ := run(t, func(a *cli.App) error {
			return a.Show(1, cli.Fields{{"hint", strings.Repeat("word ", 10) + strings.Repeat("x", 70)}})
		})
		want := "hint         word word word word word word word word word\n             word\n             " + strings.Repeat("x", 70) + "\n"
		if diff := cmp.Diff(want, stdout); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestJobsThatWaitForTheLaneNameTheCommandThatSaysWhy(t *testing.T) {
	for _, state := range []routine.WaitingFor{routine.ForPark, routine.ForPause} {
		waiting := &routine.Waiting{For: state, Since: time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)}
		job := routine.Job{State: routine.Queued, Kind: "account", Code: "Overdue", Hint: "Pay.", Waiting: waiting}
		if got, want := cli.Outcome(job), fmt.Sprintf("the lane is %s, see routinely account show", state); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := cli.WaitingWord(waiting), fmt.Sprintf("for the lane, which is %s, since 2026-03-01 12:00:00", state); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestHelpFitsItsLines(t *testing.T) {
	var out strings.Builder
	a := &cli.App{Environ: []string{"COLUMNS=40"}, Streams: cli.Streams{Out: &out, Err: &out, In: strings.NewReader("")}}
	long := "One paragraph that the author\nbroke elsewhere, of some length.\n\n  word   what it means, which is rather long\nand goes on\n  other  short"
	if code := a.Run(t.Context(), []string{"do", "--help"}, &cobra.Command{Use: "do", Long: long, Run: func(*cobra.Command, []string) {}}); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	want := "One paragraph that the author broke\nelsewhere, of some length.\n\n  word   what it means, which is rather\n         long and goes on\n  other  short\n\nUsage:\n"
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %s", &out)
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 41 && !strings.Contains(line, "ROUTINELY_URL") { // a word of the address is longer
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
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
	missing := slices.DeleteFunc(fault.Kinds(), func(k fault.Kind) bool { return strings.Contains(out.String(), string(k)) })
	if len(missing) > 0 {
		t.Errorf("no exit code for %v", missing)
	}
}
