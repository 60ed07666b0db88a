package demo

import (
	"fmt"
	"strings"
	"time"
)

// report is the end of a demo: what became of each line, with what to do about those that were not carried out, and the checks.
func (d *demo) report(list []check) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%3s  %-40s %8s  %s\n", "#", "request", "attempts", "what became of it")
	ends := map[string]int{}
	for _, l := range d.lines {
		attempts, todo := "", l.answer.detail
		if l.job != nil {
			todo = l.job.Hint
			attempts = fmt.Sprint(l.job.Attempt)
		}
		end := l.end()
		ends[end]++
		fmt.Fprintf(&b, "%3d  %-40s %8s  %s\n", l.number, l.Case, attempts, l.became())
		if todo != "" && (end == "refused" || end == deadLettered) {
			fmt.Fprintf(&b, "     %s\n", todo)
		}
	}
	fmt.Fprintf(&b, "\n%d requests: %d created, %d adopted, %d renewed, %d deleted, %d superseded, %d dead-lettered, %d refused, %d lost; %d jobs in %.1f s\n\nChecks\n",
		len(d.lines), ends["created"], ends["adopted"], ends["renewed"], ends["deleted"], ends[superseded], ends[deadLettered], ends["refused"], ends["lost"],
		countJobs(d.lines), time.Since(d.began).Seconds())
	for _, c := range list {
		verdict, note := "ok    ", ""
		if len(c.problems) > 0 {
			verdict = "FAILED"
		}
		if c.note != "" {
			note = " (" + c.note + ")"
		}
		fmt.Fprintf(&b, "  %s  %s%s\n", verdict, c.name, note)
		for _, problem := range c.problems {
			fmt.Fprintf(&b, "            %s\n", problem)
		}
	}
	return b.String()
}

// end is the line's word in the summary.
func (l *line) end() string {
	became := l.became()
	switch first, _, _ := strings.Cut(became, " "); {
	case first == "refused" || first == deadLettered || first == superseded:
		return first
	case became == "routine adopted, record adopted":
		return "adopted"
	case strings.HasSuffix(became, "deleted") || strings.HasSuffix(became, "absent"):
		return "deleted"
	case became == "routine renewed":
		return "renewed"
	case first == "routine":
		return "created"
	}
	return "lost"
}

// failed is how many checks failed.
func failed(list []check) (n int) {
	for _, c := range list {
		if len(c.problems) > 0 {
			n++
		}
	}
	return n
}
