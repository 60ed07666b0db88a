package display_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jedib0t/go-pretty/v6/text"
	"pgregory.net/rapid"

	"routinely/cmd/routinely/display"
)

func TestClean(t *testing.T) {
	for given, want := range map[string]string{
		"plain 中文 é": "plain 中文 é", "a\nb\tc": "a b c", "\x1b[2J\x07": `\u001b[2J\u0007`, "\r\x00": `\u000d\u0000`, "\u202eevil": `\u202eevil`,
		"a\xffb": "a\ufffdb", "\u0085\u009b": `\u0085\u009b`, "a\u2028b\u2066\u200f": `a\u2028b\u2066\u200f`, "\U000e0041😀": `\udb40\udc41😀`,
	} {
		if got := display.Clean(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	columns := []display.Column{{Name: "id"}, {Name: "long", Least: 8}, {Name: "empty"}, {Name: "last", Turn: 1}, {Name: "first", Least: 10, Turn: 2}}
	rows := [][]string{{"1", strings.Repeat("word ", 5), "", "seventeen letters", "x"}, {"2", "", "", "", strings.Repeat("y", 20)}}
	for _, test := range []struct {
		name    string
		width   int
		leftOut []string
		want    string
	}{
		{"shows everything where it has room, but for a column without anything", 90, nil, `┌────┬───────────────────────────┬───────────────────┬──────────────────────┐
│ id │ long                      │ last              │ first                │
├────┼───────────────────────────┼───────────────────┼──────────────────────┤
│ 1  │ word word word word word  │ seventeen letters │ x                    │
│ 2  │                           │                   │ yyyyyyyyyyyyyyyyyyyy │
└────┴───────────────────────────┴───────────────────┴──────────────────────┘
`},
		{"wraps cells before it leaves out a column", 51, nil, `┌────┬───────────┬───────────────────┬────────────┐
│ id │ long      │ last              │ first      │
├────┼───────────┼───────────────────┼────────────┤
│ 1  │ word word │ seventeen letters │ x          │
│    │ word word │                   │            │
│    │ word      │                   │            │
│ 2  │           │                   │ yyyyyyyyyy │
│    │           │                   │ yyyyyyyyyy │
└────┴───────────┴───────────────────┴────────────┘
`},
		{"leaves out columns in their turn", 30, []string{"last"}, `┌────┬──────────┬────────────┐
│ id │ long     │ first      │
├────┼──────────┼────────────┤
│ 1  │ word     │ x          │
│    │ word     │            │
│    │ word     │            │
│    │ word     │            │
│    │ word     │            │
│ 2  │          │ yyyyyyyyyy │
│    │          │ yyyyyyyyyy │
└────┴──────────┴────────────┘
`},
		{"wraps columns that have no turn more narrowly before it is too long", 15, []string{"last", "first"}, `┌────┬────────┐
│ id │ long   │
├────┼────────┤
│ 1  │ word   │
│    │ word   │
│    │ word   │
│    │ word   │
│    │ word   │
│ 2  │        │
└────┴────────┘
`},
		{"keeps columns that have no turn", 10, []string{"last", "first"}, `┌────┬──────┐
│ id │ long │
├────┼──────┤
│ 1  │ word │
│    │ word │
│    │ word │
│    │ word │
│    │ word │
│ 2  │      │
└────┴──────┘
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			leftOut, err := display.Table(&out, columns, rows, test.width)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, out.String()) + cmp.Diff(test.leftOut, leftOut); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTableKeepsToItsWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.StringOf(rapid.RuneFrom([]rune("ab 漢-.")))
		columns := []display.Column{{Name: "a", Least: 4}, {Name: "b", Least: 8, Turn: 2}, {Name: "c", Turn: 1}}
		rows := rapid.SliceOfN(rapid.SliceOfN(cell, 3, 3), 1, 4).Draw(t, "rows")
		width := rapid.IntRange(20, 100).Draw(t, "width")
		var out strings.Builder
		if _, err := display.Table(&out, columns, rows, width); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if got := text.StringWidthWithoutEscSequences(strings.TrimSuffix(line, "\n")); got > width {
				t.Fatalf("%d of %d characters: %s", got, width, line)
			}
		}
	})
}

func TestCSV(t *testing.T) {
	var out strings.Builder
	row := []string{"=1+1", "+1", "-1", "@a", " =1", "'x", "＝1", "a=1", "", `say "x", y`}
	if err := display.CSV(&out, []string{"a"}, [][]string{row}); err != nil {
		t.Fatal(err)
	}
	want := "a\n'=1+1,'+1,'-1,'@a,' =1,''x,'＝1,a=1,,\"say \"\"x\"\", y\"\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWidth(t *testing.T) {
	for columns, want := range map[string]int{"120": 120, "": 80, "0": 80, "-5": 80, "wide": 80} {
		if got := display.Width(&strings.Builder{}, columns); got != want {
			t.Errorf("COLUMNS=%s: got %d, want %d", columns, got, want)
		}
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
