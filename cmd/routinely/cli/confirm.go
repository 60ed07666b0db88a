package cli

import (
	"context"

	"routinely/cmd/routinely/display"
)

// CanAsk refuses a command that has to ask and cannot, and says what a dry run would show.
func (a *App) CanAsk(what string) error {
	if display.IsTerminal(a.In) {
		return nil
	}
	return Usage("nobody can be asked: standard input is no terminal; give --yes, or --dry-run to see what would be %s", what)
}

// Confirm asks, and ends the command unless the answer is yes.
func (a *App) Confirm(ctx context.Context, question string) error {
	yes, err := display.Ask(ctx, a.In, a.Err, question)
	if err == nil && !yes {
		err = &Ending{Code: ExitInterrupted, Text: "not confirmed, nothing was done"}
	}
	return err
}
