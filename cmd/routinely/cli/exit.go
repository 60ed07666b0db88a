package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/client"
	"routinely/shared/fault"
)

// The exit codes. Those that stand for kinds of fault are in the table below.
const (
	ExitInternal    = 1
	ExitInvalid     = 2
	ExitConflict    = 4
	ExitUnavailable = 6
	ExitJobsFailed  = 7
	ExitTimeout     = 8
	ExitPartly      = 9
	ExitInterrupted = 130
)

// exitCodes is the whole table. A code without kinds stands for an end that is no fault.
var exitCodes = []struct {
	code    int
	kinds   []fault.Kind
	meaning string
}{
	{0, nil, "all well"},
	{ExitInternal, []fault.Kind{fault.Internal}, "unclassified error"},
	{ExitInvalid, []fault.Kind{fault.Invalid}, "the command line or the input is wrong"},
	{3, []fault.Kind{fault.NotFound}, "something that was asked for does not exist"},
	{ExitConflict, []fault.Kind{fault.Conflict, fault.Account, fault.Quota}, "it conflicts with the state of things, or somebody must put something in order first"},
	{5, []fault.Kind{fault.Unauthenticated, fault.Denied}, "the caller is not known, or may not do this"},
	{ExitUnavailable, []fault.Kind{fault.Unavailable, fault.Throttled, fault.Locked}, "the service could not be reached or had no capacity, also after retries"},
	{ExitJobsFailed, nil, "all jobs have ended, but not all of them well: one was dead-lettered, cancelled, dropped or superseded"},
	{ExitTimeout, nil, "the time of --timeout is over"},
	{ExitPartly, nil, "a part of it was done, and a part refused or failed; or the jobs have succeeded, and a host name was not yet seen serving"},
	{ExitInterrupted, nil, "interrupted by Ctrl-C, or not confirmed"},
}

// Ending is an end of a command that is neither success nor a fault.
type Ending struct {
	Code int
	Text string
	// Next is the command to go on with; empty if there is none.
	Next string
}

// Error is the text.
func (e *Ending) Error() string { return e.Text }

func exitCode(err error) int {
	var end *Ending
	var failed *fault.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &end):
		return end.Code
	case errors.As(err, &failed):
		return kindCode(fault.From(err).Kind)
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		return ExitTimeout
	}
	return ExitInternal
}

func kindCode(kind fault.Kind) int {
	for _, row := range exitCodes {
		if slices.Contains(row.kinds, kind) {
			return row.code
		}
	}
	return ExitInternal
}

func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("The exit codes of routinely:\n\n")
	for _, row := range exitCodes {
		kinds := make([]string, len(row.kinds))
		for i, kind := range row.kinds {
			kinds[i] = string(kind)
		}
		fmt.Fprintf(&b, "  %3d  %s", row.code, row.meaning)
		if len(kinds) > 0 {
			fmt.Fprintf(&b, " (%s)", strings.Join(kinds, ", "))
		}
		b.WriteByte('\n')
	}
	b.WriteString("\nThe words in brackets are the kinds of fault that problems, dead letters and logs name.")
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: b.String()}
}

// oneLine is an error in short.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// Explain writes what failed, with its code and request id, each mistake in the input, and what to do next.
func (a *App) Explain(err error) {
	switch {
	case errors.Is(err, context.Canceled):
		a.Note("routinely: interrupted")
		return
	case errors.Is(err, context.DeadlineExceeded):
		a.Note("routinely: the time of --timeout %s is over", a.timeout)
		return
	}
	a.Note("routinely: %s", oneLine(err))
	var refused *client.Refusal
	if errors.As(err, &refused) {
		for _, p := range refused.Errors {
			a.Note("  %s", Pointed(p))
		}
		if refused.More != "" {
			a.Note("  see %s", refused.More)
		}
	}
	var end *Ending
	if errors.As(err, &end) && end.Next != "" {
		a.Note("next: %s", end.Next)
	}
	var failed *fault.Error
	if !errors.As(err, &failed) {
		return
	}
	if failed.Hint != "" {
		a.Note("  %s", failed.Hint)
	}
	if failed.RetryAfter > 0 {
		a.Note("  try again in %s", pause(failed.RetryAfter))
	}
}
