// Package display shows things to people: tables, colours, progress and questions. What comes from elsewhere is shown
// without the characters that command a terminal.
package display

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/vbauerster/mpb/v8/cwriter"
)

// IsTerminal reports whether a person is at the other end.
func IsTerminal(stream any) bool {
	file, ok := stream.(interface{ Fd() uintptr })
	return ok && cwriter.IsTerminal(int(file.Fd()))
}

// Paint is whether colours are wanted.
type Paint bool

// Word colours a state or a verdict by whether it is good news.
func (p Paint) Word(word string) string {
	colour, known := map[string]text.Color{
		"succeeded": text.FgGreen, "accepted": text.FgGreen, "redriven": text.FgGreen, "valid": text.FgGreen,
		"dead-lettered": text.FgRed, "rejected": text.FgRed, "failed": text.FgRed,
		"cancelled": text.FgYellow, "duplicate": text.FgYellow, "unanswered": text.FgYellow, "dropped": text.FgYellow,
	}[word]
	if !known || !bool(p) {
		return word
	}
	return colour.EscapeSeq() + word + text.Reset.EscapeSeq()
}

// maxCell is how wide the last column of a table may be; longer text is wrapped.
const maxCell = 72

// Table writes rows under a header. Cells are shown as they are: see Clean.
func Table(to io.Writer, header []string, rows [][]string) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(cells(header))
	t.SetColumnConfigs([]table.ColumnConfig{{Number: len(header), WidthMax: maxCell, WidthMaxEnforcer: text.WrapSoft}})
	for _, row := range rows {
		t.AppendRow(cells(row))
	}
	_, err := io.WriteString(to, t.Render()+"\n")
	return err
}

func cells(list []string) table.Row {
	row := make(table.Row, len(list))
	for i, cell := range list {
		row[i] = cell
	}
	return row
}

// Clean makes text of unknown origin fit for a terminal: one line, control characters written out.
func Clean(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// Ask puts a question and reports whether the answer is yes. It ends early with the error of ctx.
func Ask(ctx context.Context, in io.Reader, out io.Writer, question string) (yes bool, err error) {
	if _, err := fmt.Fprintf(out, "%s [y/N] ", question); err != nil {
		return false, err
	}
	line := make(chan string, 1)
	// Nothing ends a read from a terminal; after ctx is done the process ends anyway.
	go func() {
		text, _ := bufio.NewReader(in).ReadString('\n')
		line <- text
	}()
	select {
	case text := <-line:
		answer := strings.ToLower(strings.TrimSpace(text))
		return answer == "y" || answer == "yes", nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
