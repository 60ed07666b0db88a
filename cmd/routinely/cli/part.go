package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"routinely/cmd/routinely/client"
	"routinely/cmd/routinely/display"
	"routinely/shared/routine"
)

// defaultLimit is how many things a list shows unless it is told otherwise.
const defaultLimit = 50

// PartFlags gives a command that shows a list the flags that choose a part of it, and those of the list itself.
func (l List[T]) PartFlags(a *App, cmd *cobra.Command, w *client.Window) {
	flags := cmd.Flags()
	flags.IntVar(&w.Limit, "limit", defaultLimit, "the `number` of lines at most; 0 means all")
	flags.StringVar(&w.Cursor, "cursor", "", "go on at this `place`, as the part before it said")
	l.Flags(a, cmd)
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if w.Limit < 0 {
			return Usage("--limit %d: want a number of lines, or 0 for all", w.Limit)
		}
		return nil
	}
}

// reader reads a part of a list. next is the cursor of what follows.
type reader[T any] func(w client.Window) (things []T, next string, err error)

// Read reads a part of the list, and shows how far it is.
func (l List[T]) Read(a *App, w client.Window, read reader[T]) (things []T, next string, err error) {
	bar := a.Progress("read", 0)
	defer bar.Close()
	w.Seen = bar.Set
	return read(w)
}

// lookAhead is how many things are read behind a part, to say how many there are.
const lookAhead = 100

// ShowPart reads and shows a part of the list, and tells how many things follow it, with the command that shows them.
func (l List[T]) ShowPart(a *App, cmd *cobra.Command, w client.Window, read reader[T]) error {
	things, next, err := l.Read(a, w, read)
	if err != nil {
		return err
	}
	if err := l.Show(a, things); err != nil || next == "" {
		return err
	}
	rest, further, err := l.Read(a, client.Window{Limit: lookAhead, Cursor: next}, read)
	if err != nil || len(rest) == 0 {
		return err
	}
	more := fmt.Sprint(len(rest))
	if further != "" {
		more = "more than " + more
	}
	a.Note("%d shown, %s to come", len(things), more)
	a.Note("next: %s", Again(cmd, "cursor", "--cursor", next))
	return nil
}

// Again is the command line that was given, without one of its flags and with more words. The token is left out.
func Again(cmd *cobra.Command, without string, more ...string) string {
	words := strings.Fields(cmd.CommandPath())
	for _, arg := range cmd.Flags().Args() {
		words = append(words, Word(arg))
	}
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if flag.Name == without || flag.Name == "token" {
			return
		}
		many, isMany := flag.Value.(pflag.SliceValue)
		if !isMany {
			words = append(words, "--"+flag.Name+assigned(flag))
			return
		}
		for _, one := range many.GetSlice() {
			words = append(words, "--"+flag.Name, Word(one))
		}
	})
	for _, word := range more {
		words = append(words, Word(word))
	}
	return strings.Join(words, " ")
}

// assigned is what a flag has behind its name.
func assigned(flag *pflag.Flag) string {
	if flag.Value.Type() == "bool" {
		return strings.TrimSuffix("="+flag.Value.String(), "=true")
	}
	return " " + Word(flag.Value.String())
}

// Word quotes a word for a shell if it needs that.
func Word(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:+@%,=", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Wait waits for jobs to end, shows how many have, and tells ended of each.
func (a *App) Wait(ctx context.Context, c *client.Client, ids []string, ended func(routine.Job)) error {
	bar := a.Progress("ended", len(ids))
	defer bar.Close()
	count := 0
	err := c.Wait(ctx, ids, func(job routine.Job) {
		ended(job)
		count++
		bar.Set(count)
	})
	bar.Close()
	if Stopped(err) && len(ids) > 1 {
		a.Note("%d of %d jobs have not ended; they go on, look with: routinely jobs list --state queued", len(ids)-count, len(ids))
	}
	return err
}

// completionTime bounds how long a shell waits for completions that accept knows.
const completionTime = time.Second

// Complete makes a completion of what accept tells: values, each with words about it. Whatever fails completes nothing. many is whether there may
// be several arguments.
func (a *App) Complete(many bool, find func(context.Context, *client.Client) ([][2]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const nothing = cobra.ShellCompDirectiveNoFileComp
		if !many && len(args) > 0 {
			return nil, nothing
		}
		c, err := a.connect(a.bearer(), client.Config{})
		if err != nil {
			return nil, nothing
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		found, err := find(ctx, c)
		if err != nil {
			return nil, nothing
		}
		var out []string
		for _, one := range found {
			if !slices.Contains(args, one[0]) {
				out = append(out, display.Clean(one[0])+"\t"+display.Clean(one[1]))
			}
		}
		return out, nothing
	}
}
