package deadletters

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/cmd/routinely/display"
	"routinely/shared/api"
	"routinely/shared/fault"
)

// work is what can be done with dead letters.
type work struct {
	verb, short, done, question string
	call                        func(*client.Client, context.Context, api.Redrive) (api.WorkedOff, error)
	paced                       bool
}

var redriving = work{
	verb: "redrive", short: "Put dead letters back on the job queue", done: "redriven", question: "Redrive",
	call: (*client.Client).Redrive, paced: true,
}

var dropping = work{
	verb: "drop", short: "Delete dead letters for good", done: "deleted", question: "Delete for good",
	call: (*client.Client).Drop,
}

// workingOff is one run of such a command.
type workingOff struct {
	verbs
	work
	filterFlags
	wanted api.Redrive
	yes    bool
}

// handled is what became of one dead letter.
type handled struct {
	ID      string       `json:"id"`
	Status  string       `json:"status"`
	Problem *api.Problem `json:"problem,omitempty"`
}

func (a verbs) workOff(what work) *cobra.Command {
	w := &workingOff{verbs: a, work: what}
	cmd := &cobra.Command{
		Use: what.verb + " ID... | filters | --all", Short: what.short,
		Example: "  routinely dead-letters " + what.verb + " --code SiteParameterNotMatch --reason \"the site is there now\"",
		RunE:    func(cmd *cobra.Command, args []string) error { return w.run(cmd.Context(), args) },
	}
	flags := cmd.Flags()
	w.add(flags)
	flags.BoolVar(&w.wanted.All, "all", false, "all dead letters")
	flags.BoolVar(&w.wanted.DryRun, "dry-run", false, "only show which")
	flags.StringVar(&w.wanted.Reason, "reason", "", "`text` for the record, at most 200 bytes")
	flags.BoolVarP(&w.yes, "yes", "y", false, "do not ask")
	if what.paced {
		flags.IntVar(&w.wanted.Rate, "rate", 0, "the `number` a second at most; 0 means as fast as it goes")
		flags.IntVar(&w.wanted.Limit, "limit", 0, "the `number` at most; 0 means all")
	}
	return cmd
}

func (w *workingOff) run(ctx context.Context, ids []string) error {
	if err := w.choose(ids); err != nil {
		return err
	}
	c, err := w.Connect()
	if err != nil {
		return err
	}
	letters, found, err := c.DeadLetters(ctx, w.wanted.DeadLetterFilter, firstPage)
	if err != nil {
		return err
	}
	w.noteFound(found)
	if err := w.missing(letters); err != nil {
		return err
	}
	expected, most := found.Total, 0
	if w.wanted.Limit > 0 {
		expected = min(expected, w.wanted.Limit)
		most = w.wanted.Limit
	}
	if found.Complete {
		most = expected
	}
	switch {
	case w.wanted.DryRun:
		return w.letterTable(letters[:min(expected, len(letters))])
	case expected == 0 && found.Complete:
		return nil
	}
	if err := w.confirm(ctx, expected, found.Complete); err != nil {
		return err
	}
	return w.loop(ctx, c, expected, most)
}

// firstPage is how many dead letters are looked at before a question: the longest page.
const firstPage = 1000

// choose checks what the command line chooses.
func (w *workingOff) choose(ids []string) error {
	w.wanted.DeadLetterFilter = w.filter()
	w.wanted.IDs = append(w.wanted.IDs, ids...)
	filtered := !reflect.ValueOf(w.wanted.DeadLetterFilter).IsZero()
	switch {
	case filtered && w.wanted.All:
		return cli.Usage("--all and a choice of dead letters exclude each other")
	case !filtered && !w.wanted.All:
		return cli.Usage("choose dead letters by id or with a filter, or give --all")
	case w.wanted.Rate < 0 || w.wanted.Limit < 0:
		return cli.Usage("--rate and --limit cannot be negative")
	case !w.yes && !w.wanted.DryRun && !display.IsTerminal(w.In):
		return cli.Usage("nobody can be asked: standard input is no terminal; give --yes, or --dry-run to see what would be %s", w.done)
	}
	return nil
}

// missing refuses to go on if an id that was given is not there: it may be misspelt.
func (w *workingOff) missing(letters []api.DeadLetter) error {
	seen := map[string]bool{}
	for _, d := range letters {
		seen[d.ID] = true
	}
	for _, id := range w.wanted.IDs {
		if !seen[id] {
			return &fault.Error{
				Kind: fault.NotFound, Code: "unknown-dead-letter", Message: fmt.Sprintf("no dead letter %q fits", id),
				Hint: "Check the id. What another reader holds at this moment is not seen: ask again in a moment.",
			}
		}
	}
	return nil
}

func (w *workingOff) confirm(ctx context.Context, expected int, complete bool) error {
	if w.yes {
		return nil
	}
	count := cli.Plural(expected, "dead letter")
	if !complete && w.wanted.Limit == 0 {
		count = "at least " + count
	}
	yes, err := display.Ask(ctx, w.In, w.Err, w.question+" "+count+"?")
	if err == nil && !yes {
		err = &cli.Ending{Code: cli.ExitInterrupted, Text: "not confirmed, nothing was done"}
	}
	return err
}

const (
	// idleRounds is how many rounds that achieve nothing end the work, idlePause the time between two of them: what somebody
	// has just looked at comes back to the queue after a second.
	idleRounds = 3
	idlePause  = 1500 * time.Millisecond
)

// tally is what was achieved so far.
type tally struct {
	count   int
	handled []handled
	failed  map[string]*api.Problem
}

func (t *tally) add(did api.WorkedOff, status string) {
	t.count += did.Count
	for _, id := range did.IDs {
		delete(t.failed, id)
		t.handled = append(t.handled, handled{ID: id, Status: status})
	}
	for _, f := range did.Failed {
		t.failed[f.ID] = f.Problem
	}
}

// loop goes on while there is more, and shows what it has achieved. most is how many were announced; 0 means that nobody knows
// how many there are.
func (w *workingOff) loop(ctx context.Context, c *client.Client, expected, most int) error {
	bar := display.NewProgress(w.Err, w.done, expected)
	t := tally{failed: map[string]*api.Problem{}}
	err := w.rounds(ctx, c, most, &t, bar)
	bar.Close()
	return w.end(t, err)
}

// rounds calls accept until the work is done, or some rounds in a row achieved nothing. What was redriven can die again at
// once and must not be redriven for ever: no more are taken than were announced.
func (w *workingOff) rounds(ctx context.Context, c *client.Client, most int, t *tally, bar *display.Progress) error {
	for idle := 0; idle < idleRounds; {
		wanted := w.wanted
		if w.paced && most > 0 {
			wanted.Limit = most - t.count
		}
		did, err := w.call(c, ctx, wanted)
		if err != nil {
			return err
		}
		t.add(did, w.done)
		bar.Set(t.count)
		if most > 0 && t.count+len(t.failed) >= most || most == 0 && !did.More {
			return nil
		}
		if did.Count > 0 {
			idle = 0
			continue
		}
		idle++
		if err := client.Pause(ctx, idlePause); err != nil {
			return err
		}
	}
	return nil
}

// end shows what became of each dead letter.
func (w *workingOff) end(t tally, broken error) error {
	var failed []error
	for _, id := range slices.Sorted(maps.Keys(t.failed)) {
		t.handled = append(t.handled, handled{ID: id, Status: string(api.Failed), Problem: t.failed[id]})
		failed = append(failed, &fault.Error{Kind: fault.Internal, Code: t.failed[id].Code, Message: cli.Told(t.failed[id])})
	}
	err := cli.List(w.App, t.handled, []string{"id", "state", "detail"}, func(h handled) []string {
		return []string{h.ID, h.Status, cli.Told(h.Problem)}
	})
	if err != nil {
		return err
	}
	w.Note("%s %s", cli.Plural(t.count, "dead letter"), w.done)
	if broken != nil {
		return broken
	}
	return w.Several(t.count+len(failed), failed)
}
