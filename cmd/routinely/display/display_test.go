package display_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/display"
)

func TestClean(t *testing.T) {
	for given, want := range map[string]string{
		"plain 中文 é": "plain 中文 é", "a\nb\tc": "a b c", "\x1b[2J\x07": `\u001b[2J\u0007`, "\r\x00": `\u000d\u0000`, "\u202eevil": `\u202eevil`,
		"a\xffb": "a\ufffdb",
	} {
		if got := display.Clean(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := display.Table(&out, []string{"a", "long"}, [][]string{{"1", strings.Repeat("word ", 20)}, {"2", ""}}); err != nil {
		t.Fatal(err)
	}
	want := `┌───┬──────────────────────────────────────────────────────────────────────────┐
│ a │ long                                                                     │
├───┼──────────────────────────────────────────────────────────────────────────┤
│ 1 │ word word word word word word word word word word word word word word    │
│   │ word word word word word word                                            │
│ 2 │                                                                          │
└───┴──────────────────────────────────────────────────────────────────────────┘
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPaint(t *testing.T) {
	for word, want := range map[string]string{"succeeded": "\x1b[32msucceeded\x1b[0m", "dead-lettered": "\x1b[31mdead-lettered\x1b[0m", "queued": "queued"} {
		if got := display.Paint(true).Word(word); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := display.Paint(false).Word(word); got != word {
			t.Errorf("without colours: got %q", got)
		}
	}
}

func TestAsk(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, " YES \r\n": true, "yes": true, "n\n": false, "\n": false, "": false, "yeah\n": false} {
		var out strings.Builder
		got, err := display.Ask(t.Context(), strings.NewReader(answer), &out, "Sure?")
		if got != want || err != nil || out.String() != "Sure? [y/N] " {
			t.Errorf("%q: got %t, %v, asked %q", answer, got, err, &out)
		}
	}
	t.Run("ends when it is called off", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		in, end := io.Pipe()
		defer end.Close()
		if _, err := display.Ask(ctx, in, io.Discard, "Sure?"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestProgressIsQuietWithoutATerminal(t *testing.T) {
	var out strings.Builder
	bar := display.NewProgress(&out, "ended", 3)
	bar.Set(2)
	bar.Close()
	bar.Close()
	if out.Len() > 0 || display.IsTerminal(&out) {
		t.Errorf("%q", &out)
	}
}
