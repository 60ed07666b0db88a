// Package console makes the functions' log lines readable for a person in a terminal.
package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Lines is a writer of whole log lines. JSON lines become one line of time, function, message and fields; the platform's
// notes about each invocation are left out; everything else stays as it is.
type Lines struct {
	to io.Writer
}

// NewLines returns a writer that shows what is written to it on to. Like to it is not safe for concurrent use.
func NewLines(to io.Writer) *Lines { return &Lines{to: to} }

// Write takes one or more whole lines.
func (l *Lines) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		if err := l.show(bytes.TrimRight(line, "\r\n")); err != nil {
			return 0, err
		}
	}
	return len(text), nil
}

func (l *Lines) show(line []byte) error {
	var fields map[string]any
	switch {
	case bytes.Contains(line, []byte("FC Invoke ")):
		return nil
	case json.Unmarshal(line, &fields) != nil || fields["msg"] == nil:
		_, err := fmt.Fprintf(l.to, "%s\n", line)
		return err
	}
	_, err := fmt.Fprintln(l.to, format(fields))
	return err
}

// order puts first what a reader looks for first; other fields follow by name.
var order = []string{"jobId", "outcome", "attempt", "delaySeconds", "name", "recordName", "routine", "record", "recordId", "step", "code", "error", "hint"}

// hidden are fields that the line shows in another place or that are of use to machines only.
var hidden = []string{"time", "level", "msg", "function", "requestId", "messageId", "kind", "esaRequestId"}

func format(fields map[string]any) string {
	var b strings.Builder
	at, err := time.Parse(time.RFC3339Nano, text(fields["time"]))
	if err == nil {
		b.WriteString(at.Local().Format("15:04:05.000 "))
	}
	fmt.Fprintf(&b, "%-9s %-7s %s", text(fields["function"]), text(fields["level"]), text(fields["msg"]))
	var rest []string
	for name := range fields {
		if !slices.Contains(order, name) && !slices.Contains(hidden, name) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	for _, name := range slices.Concat(order, rest) {
		if value := text(fields[name]); value != "" && name != "outcome" {
			fmt.Fprintf(&b, "  %s=%s", name, value)
		}
	}
	return b.String()
}

// text writes a value on one line; nil is empty.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return strings.Join(strings.Fields(v), " ")
	case float64:
		return fmt.Sprintf("%.16g", v)
	}
	return fmt.Sprint(value)
}
