package demo

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/vbauerster/mpb/v8/cwriter"

	"routinely/deploy/local/faults"
)

// report writes the end of a demo: tables and checks.
type report struct {
	to     io.Writer
	colour bool
}

// isTerminal reports whether somebody watches.
func isTerminal(to io.Writer) bool {
	file, ok := to.(interface{ Fd() uintptr })
	return ok && cwriter.IsTerminal(int(file.Fd()))
}

func (r report) paint(colour text.Color, s string) string {
	if !r.colour {
		return s
	}
	return colour.EscapeSeq() + s + text.Reset.EscapeSeq()
}

func (r report) write(o *outcome, list []check, took time.Duration) error {
	parts := []string{
		r.requests(o), givenUp(o), summary(o, took), calls(o), injected(o), r.checks(list),
	}
	_, err := io.WriteString(r.to, "\n"+strings.Join(parts, "\n\n")+"\n")
	return err
}

func newTable(title string, header ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.SetTitle("%s", title)
	t.AppendHeader(header)
	return t
}

// requests is what became of each line.
func (r report) requests(o *outcome) string {
	t := newTable("Requests", "#", "request", "job", "attempts", "what became of it")
	for i, row := range o.rows {
		job, attempts := short(row.jobID), ""
		if row.job != nil {
			job = short(row.job.ID)
			if row.job.Attempt > 0 {
				attempts = fmt.Sprint(row.job.Attempt)
			}
		}
		t.AppendRow(table.Row{i + 1, row.Case, job, attempts, r.paint(row.colour(), row.inShort())})
	}
	return t.Render()
}

func (r *row) colour() text.Color {
	switch {
	case r.code != "":
		return text.FgYellow
	case r.job != nil && r.job.State == succeeded:
		return text.FgGreen
	}
	return text.FgRed
}

func (r *row) dead() bool { return r.job != nil && r.job.State == deadLettered }

// inShort is what became of the row; the table after this one says why.
func (r *row) inShort() string {
	if r.dead() {
		return deadLettered + ": " + r.job.Code
	}
	return r.became()
}

// givenUp is why lines were not carried out and what to do about it.
func givenUp(o *outcome) string {
	t := newTable("Not carried out", "#", "why", "what to do")
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 3, WidthMax: 72, WidthMaxEnforcer: text.WrapSoft}})
	for i, row := range o.rows {
		switch {
		case row.code != "":
			t.AppendRow(table.Row{i + 1, row.code, row.detail})
		case row.dead():
			t.AppendRow(table.Row{i + 1, strings.TrimSpace(row.job.Kind + " " + row.job.Code + "\n" + row.job.Step), row.job.Hint})
		}
	}
	return t.Render()
}

func summary(o *outcome, took time.Duration) string {
	counts := map[string]int{}
	for _, row := range o.rows {
		counts[row.end()]++
	}
	t := newTable("Summary", "", "requests")
	for _, end := range []string{"created", "adopted", deadLettered, "refused", "lost"} {
		t.AppendRow(table.Row{end, counts[end]})
	}
	t.AppendFooter(table.Row{fmt.Sprintf("%d jobs in %.1f s", countJobs(o.lines), took.Seconds()), len(o.rows)})
	t.Style().Format.Footer = text.FormatDefault
	return t.Render()
}

// end is the row's line in the summary: what exists now, by whom it was made.
func (r *row) end() string {
	switch {
	case r.code != "":
		return "refused"
	case r.dead():
		return deadLettered
	case r.job == nil || r.job.Result == nil:
		return "lost"
	case r.job.Result.Routine == "created" || r.job.Result.Record == "created":
		return "created"
	}
	return "adopted"
}

// calls are the calls that ESA got, by action and answer.
func calls(o *outcome) string {
	type kind struct{ action, answer string }
	counts := map[kind]int{}
	for _, call := range o.calls {
		counts[kind{call.Action, answer(call)}]++
	}
	kinds := make([]kind, 0, len(counts))
	for k := range counts {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b kind) int {
		return cmp.Or(strings.Compare(a.action, b.action), strings.Compare(a.answer, b.answer))
	})
	t := newTable("ESA calls", "action", "answer", "calls")
	for _, k := range kinds {
		t.AppendRow(table.Row{k.action, k.answer, counts[k]})
	}
	t.AppendFooter(table.Row{"all", "", len(o.calls)})
	t.Style().Format.Footer = text.FormatDefault
	return t.Render()
}

// answer is what the caller saw of a call.
func answer(call faults.Record) string {
	switch {
	case call.Fault != "" && call.Status == 0:
		return fmt.Sprintf("injected: %s", call.Fault)
	case call.Fault != "":
		return strings.TrimSpace(fmt.Sprintf("injected: %s %d %s", call.Fault, call.Status, call.Code))
	}
	return cmp.Or(call.Code, fmt.Sprint(call.Status))
}

// injected are the faults, planned and struck.
func injected(o *outcome) string {
	t := newTable("Faults injected", "action", "fault", "planned", "struck")
	planned, struck := map[[2]string]int{}, map[[2]string]int{}
	var order [][2]string
	for _, f := range o.faults {
		key := [2]string{f.action, f.name}
		if planned[key] == 0 {
			order = append(order, key)
		}
		planned[key] += f.times
		struck[key] += f.times - f.left
	}
	for _, key := range order {
		t.AppendRow(table.Row{key[0], key[1], planned[key], struck[key]})
	}
	return t.Render()
}

func (r report) checks(list []check) string {
	var b strings.Builder
	b.WriteString("Checks")
	for _, c := range list {
		verdict := r.paint(text.FgGreen, "ok    ")
		if len(c.problems) > 0 {
			verdict = r.paint(text.FgRed, "FAILED")
		}
		fmt.Fprintf(&b, "\n  %s  %s", verdict, c.name)
		if c.note != "" {
			fmt.Fprintf(&b, " (%s)", c.note)
		}
		for _, problem := range c.problems {
			fmt.Fprintf(&b, "\n            %s", problem)
		}
	}
	return b.String()
}

// failed is how many checks failed.
func failed(list []check) int {
	n := 0
	for _, c := range list {
		if len(c.problems) > 0 {
			n++
		}
	}
	return n
}
