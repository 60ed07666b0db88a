// Package display shows things to people: tables, colours, progress and questions. What comes from elsewhere is shown
// without the characters that command a terminal.
package display

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/vbauerster/mpb/v8/cwriter"
)

// IsTerminal reports whether a person is at the other end.
func IsTerminal(stream any) bool {
	file, ok := stream.(interface{ Fd() uintptr })
	return ok && cwriter.IsTerminal(int(file.Fd()))
}

// usualWidth is that of a terminal since the VT100.
const usualWidth = 80

// Width is how many characters a line of a stream holds: on a terminal what it says, otherwise what the variable COLUMNS says, otherwise 80.
func Width(stream any, columns string) int {
	if IsTerminal(stream) {
		if width, _, err := cwriter.GetSize(int(stream.(interface{ Fd() uintptr }).Fd())); err == nil && width > 0 {
			return width
		}
	}
	if width, err := strconv.Atoi(columns); err == nil && width > 0 {
		return width
	}
	return usualWidth
}

// Paint is whether colours are wanted.
type Paint bool

// Word colours a state or a verdict by whether it is good news.
func (p Paint) Word(word string) string {
	colour, known := map[string]text.Color{
		"succeeded": text.FgGreen, "accepted": text.FgGreen, "redriven": text.FgGreen, "valid": text.FgGreen,
		"dead-lettered": text.FgRed, "rejected": text.FgRed, "failed": text.FgRed,
		"running": text.FgGreen, "parked": text.FgRed, "paused": text.FgYellow,
		"cancelled": text.FgYellow, "duplicate": text.FgYellow, "unanswered": text.FgYellow, "dropped": text.FgYellow, "superseded": text.FgYellow,
		"live": text.FgGreen, "expiring": text.FgYellow, "deleting": text.FgYellow,
	}[word]
	if !known || !bool(p) {
		return word
	}
	return colour.EscapeSeq() + word + text.Reset.EscapeSeq()
}

// Clean makes text of unknown origin fit for a terminal: one line, with the characters written out that command it, hide, or turn the
// direction of writing.
func Clean(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		default:
			writeSafe(&b, r)
		}
	}
	return b.String()
}

// CleanJSON writes out the same characters in a JSON text, which keeps its value: outside of its strings it has none of them but the ends of
// its lines.
func CleanJSON(object []byte) []byte {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(string(object), "\uFFFD") {
		if r == '\n' {
			b.WriteByte('\n')
			continue
		}
		writeSafe(&b, r)
	}
	return []byte(b.String())
}

// writeSafe writes a character as it is if it can only be seen, otherwise as JSON escapes it (RFC 8259 section 7).
func writeSafe(b *strings.Builder, r rune) {
	high, low := utf16.EncodeRune(r)
	switch {
	case unicode.IsPrint(r):
		b.WriteRune(r)
	case high != unicode.ReplacementChar:
		fmt.Fprintf(b, `\u%04x\u%04x`, high, low)
	default:
		fmt.Fprintf(b, `\u%04x`, r)
	}
}

// Wrap breaks a text into lines of a width between its words. A word that is longer has a line of its own: the name or the command that it is
// can then be copied.
func Wrap(s string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(s) {
		last := len(lines) - 1
		if last >= 0 && text.StringWidthWithoutEscSequences(lines[last]+" "+word) <= width {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
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
