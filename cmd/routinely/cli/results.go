package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"routinely/cmd/routinely/display"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Fields are what is to be seen of one thing, by name. Empty ones are left out.
type Fields [][2]string

// nameWidth is the width of the names before the values of a thing.
const nameWidth = 13

// Show writes one thing: an object, or its fields for people.
func (a *App) Show(object any, f Fields) error {
	if a.JSON() {
		return a.writeJSON(object)
	}
	var b strings.Builder
	for _, pair := range f {
		name := pair[0]
		for _, line := range display.Wrap(a.Fit(name, pair[1]), a.width()-nameWidth) {
			fmt.Fprintf(&b, "%-*s%s\n", nameWidth, name, line)
			name = ""
		}
	}
	_, err := io.WriteString(a.Out, b.String())
	return err
}

// writeJSON writes an object on a line.
func (a *App) writeJSON(object any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object); err != nil {
		return err
	}
	_, err := a.Out.Write(display.CleanJSON(b.Bytes()))
	return err
}

// WriteLine writes a text for people, which may have several lines, or an object.
func (a *App) WriteLine(text string, object any) error {
	if a.JSON() {
		return a.writeJSON(object)
	}
	for line := range strings.SplitSeq(text, "\n") {
		if _, err := fmt.Fprintln(a.Out, display.Clean(line)); err != nil {
			return err
		}
	}
	return nil
}

// WriteRow writes the values of fields on one line for people, or an object.
func (a *App) WriteRow(object any, f Fields) error {
	if a.JSON() {
		return a.writeJSON(object)
	}
	cells := make([]string, len(f))
	for i, pair := range f {
		cells[i] = a.Fit(pair[0], pair[1])
	}
	_, err := fmt.Fprintln(a.Out, strings.Join(cells, "  "))
	return err
}

// Fit makes a value fit for a terminal, and colours states of jobs and of the lane.
func (a *App) Fit(name, value string) string {
	value = display.Clean(value)
	if name == "state" || name == "lane" {
		return a.paint().Word(value)
	}
	return value
}

// Clock is a moment as people read it; the zero time is empty.
func Clock(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Local().Format(time.DateTime)
}

// Number is a count; 0 is empty.
func Number[N int | int64](n N) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(int64(n), 10)
}

// Pointed is a mistake with its place.
func Pointed(p routine.Problem) string {
	return strings.TrimPrefix(p.Pointer+": "+p.Detail, ": ")
}

// Told is a problem in short.
func Told(p *api.Problem) string {
	if p == nil {
		return ""
	}
	if len(p.Errors) == 0 {
		return strings.TrimSuffix(p.Code+": "+p.Detail, ": ")
	}
	parts := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		parts[i] = Pointed(e)
	}
	return p.Code + ": " + strings.Join(parts, "; ")
}

// AccountShow is the command that tells why the lane does not run.
const AccountShow = "routinely account show"

// LaneStopped reports whether a job waits for the account's lane, which is parked or paused.
func LaneStopped(w *routine.Waiting) bool {
	return w != nil && (w.For == routine.ForPark || w.For == routine.ForPause)
}

// WaitingWord tells what a job waits for; nil is empty.
func WaitingWord(w *routine.Waiting) string {
	if w == nil {
		return ""
	}
	text := fmt.Sprintf("for %s, since %s", w.For, Clock(w.Since))
	if LaneStopped(w) {
		text = fmt.Sprintf("for the lane, which is %s, since %s", w.For, Clock(w.Since))
	}
	if !w.Until.IsZero() {
		text += ", until " + Clock(w.Until)
	}
	return text
}

// CallbackWord tells what became of a callback; nil is empty.
func CallbackWord(c *routine.CallbackStatus) string {
	switch {
	case c == nil:
		return ""
	case c.State != routine.CallbackFailed:
		return c.State
	case c.LastStatus == 0:
		return fmt.Sprintf("%s after %s, without an answer at last", c.State, Plural(c.Attempts, "attempt"))
	}
	return fmt.Sprintf("%s after %s, the last answer was %d", c.State, Plural(c.Attempts, "attempt"), c.LastStatus)
}

// NoteNext tells what to type about a dead letter with what it has left in ESA. Of one that holds no request nothing can be redriven.
func (a *App) NoteNext(id string, request bool, left []routine.Left) {
	if !request {
		a.Note("next: routinely dead-letters drop %s --dry-run", id)
		return
	}
	a.Note("next: routinely dead-letters redrive %s", id)
	a.Note("with --set member=value it is corrected first; routinely dead-letters drop leaves it undone")
	if slices.ContainsFunc(left, func(l routine.Left) bool { return l.Outcome == routine.Created }) {
		a.Note("and with --undo deletes what it has made in ESA")
	}
}

// Redrives shows redrives, a line for each.
func Redrives(list []routine.Redrive) Fields {
	f := make(Fields, len(list))
	for i, r := range list {
		text := fmt.Sprintf("%s  %s  %s", Clock(r.At), r.By, r.Reason)
		if r.Was != nil {
			text += fmt.Sprintf("  corrected, before: %s, %s, site %s", r.Was.Name, HostNames(*r.Was), Sites(*r.Was))
		}
		f[i] = [2]string{fmt.Sprintf("redrive %d", r.Number), strings.TrimSpace(text)}
	}
	return f
}

// Several explains what has failed of actions on several things, and sums it up.
func (a *App) Several(all int, failed []error) error {
	switch {
	case len(failed) == 0:
		return nil
	case all == 1:
		return failed[0]
	}
	for _, err := range failed {
		a.Explain(err)
	}
	end := &Ending{Code: ExitPartly, Text: fmt.Sprintf("%d of %d failed", len(failed), all)}
	if len(failed) == all {
		end.Code = exitCode(failed[0])
	}
	return end
}

// Stopped reports whether an error is an interrupt, or the end of the time of --timeout.
func Stopped(err error) bool {
	var failed *fault.Error
	return err != nil && !errors.As(err, &failed)
}

// Plural counts things.
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// pause is how long to wait, in minutes if it is more than one.
func pause(d time.Duration) string {
	if d <= time.Minute {
		return Plural(int(math.Ceil(d.Seconds())), "second")
	}
	return Plural(int(math.Ceil(d.Minutes())), "minute")
}

// Attempts shows failed tries, a line for each.
func Attempts(list []routine.Attempt) Fields {
	f := make(Fields, len(list))
	for i, try := range list {
		name := fmt.Sprintf("attempt %d", try.Number)
		if try.Redriven > 0 {
			name = fmt.Sprintf("  %d.%d", try.Redriven, try.Number)
		}
		f[i] = [2]string{name, fmt.Sprintf("%s  %s %s  %s", Clock(try.At), try.Kind, try.Code, WithID(try.Message, try.RequestID))}
	}
	return f
}

// WithID adds the id of the cloud's answer to a message that does not name it.
func WithID(message, id string) string {
	if strings.Contains(message, id) {
		return message
	}
	return message + " (request id " + id + ")"
}
