package deadletters

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/fault"
)

// work is what can be done with dead letters.
type work struct {
	verb, short, long, examples, done, question string
	call                                        func(*client.Client, context.Context, api.Redrive) (api.WorkedOff, error)
}

var redriving = work{
	verb: "redrive", short: "Queue dead letters again", done: "redriven", question: "Redrive",
	long: `Queue dead letters again: those with the given ids, those that fit all of the filters, or --all. What dies after the command has begun is not
redriven with them. See with --dry-run first which would be. --set corrects the request of a single dead letter; with --dry-run it shows the
corrected request.`,
	examples: `  routinely dead-letters redrive 039b9339-ba36-59da-bb27-93ba244291bb --dry-run
  routinely dead-letters redrive 039b9339-ba36-59da-bb27-93ba244291bb --reason "the site is there now" --wait
  routinely dead-letters redrive 039b9339-ba36-59da-bb27-93ba244291bb --set siteId=54362329990032 --wait`,
	call: (*client.Client).Redrive,
}

var dropping = work{
	verb: "drop", short: "Leave dead letters undone for good", done: "dropped", question: "Drop",
	long: `Leave dead letters undone: those with the given ids, those that fit all of the filters, or --all. Their jobs are then dropped and cannot be
redriven. What dies after the command has begun is not dropped with them. See with --dry-run first which would be. What a job has made in ESA
stays, unless --undo asks for its deletion: of its routine, with its records, if no other job is about it, otherwise of its own records.`,
	examples: `  routinely dead-letters drop 039b9339-ba36-59da-bb27-93ba244291bb --dry-run
  routinely dead-letters drop 039b9339-ba36-59da-bb27-93ba244291bb --reason "ordered twice"
  routinely dead-letters drop 039b9339-ba36-59da-bb27-93ba244291bb --undo --wait`,
	call: (*client.Client).Drop,
}

// workingOff is one run of such a command.
type workingOff struct {
	verbs
	work
	filterFlags
	wanted api.Redrive
	set    []string
	yes    bool
	wait   bool
	undo   bool
	// leftovers are what an undo deletes.
	leftovers []leftover
	// correction is what set says, as JSON; nil if nothing is to be corrected.
	correction json.RawMessage
	// fixed is set if the time up to which letters died that are worked off was not given, but found by looking.
	fixed bool
}

func (a verbs) workOff(what work) *cobra.Command {
	w := &workingOff{verbs: a, work: what}
	cmd := &cobra.Command{
		Use: what.verb + " ID... | filters | --all", Short: what.short, Long: what.long, Example: what.examples, ValidArgsFunction: a.completeIDs(true),
		RunE: func(cmd *cobra.Command, args []string) error { return w.run(cmd.Context(), args) },
	}
	w.add(a, cmd)
	flags := cmd.Flags()
	flags.BoolVar(&w.wanted.All, "all", false, "all dead letters")
	flags.BoolVar(&w.wanted.DryRun, "dry-run", false, "only show which")
	flags.StringVar(&w.wanted.Reason, "reason", "", "`text` for the record, at most 200 bytes")
	flags.BoolVarP(&w.yes, "yes", "y", false, "do not ask")
	if what.verb == redriving.verb {
		flags.IntVar(&w.wanted.Limit, "limit", 0, "the `number` at most; all if it is left out")
		flags.StringArrayVar(&w.set, "set", nil, "correct the request of the one dead letter, as `member=value`; may be repeated")
		flags.BoolVar(&w.wait, "wait", false, "wait until the redriven jobs have ended; the exit code then tells how")
	} else {
		flags.BoolVar(&w.undo, "undo", false, "also delete in ESA what the jobs have made; wants ids")
		flags.BoolVar(&w.wait, "wait", false, "wait until that is deleted, or cannot be; the exit code then tells how; wants --undo")
	}
	outcomes().Flags(a.App, cmd)
	return cmd
}

// noteReal tells the command that does what a dry run has shown.
func (w *workingOff) noteReal() { w.Note("next: %s", cli.Again(w.cmd, "dry-run")) }

func (w *workingOff) run(ctx context.Context, ids []string) error {
	if err := w.choose(ids); err != nil {
		return err
	}
	c, err := w.Connect()
	if err != nil {
		return err
	}
	letters, found, err := w.look(ctx, c)
	if err != nil {
		return err
	}
	w.noteFound(found)
	if len(letters) == 0 {
		return nil
	}
	w.fix(letters)
	if w.undo {
		if err := w.findLeftovers(ctx, c, letters); err != nil {
			return err
		}
	}
	switch {
	case w.correction != nil:
		return w.correct(ctx, c, letters[0])
	case w.wanted.DryRun:
		err := outcomes().Show(w.App, wouldBe(letters))
		w.noteReal()
		return err
	}
	expected := found.Total
	if w.wanted.Limit > 0 {
		expected = min(expected, w.wanted.Limit)
	}
	if err := w.confirm(ctx, expected, found.Complete); err != nil {
		return err
	}
	return w.loop(ctx, c, expected)
}

// choose checks what the command line chooses.
func (w *workingOff) choose(ids []string) (err error) {
	w.IDs = append(w.IDs, ids...)
	slices.Sort(w.IDs)
	w.IDs = slices.Compact(w.IDs)
	if w.wanted.DeadLetterFilter, err = w.filter(); err != nil {
		return err
	}
	others := w.wanted.DeadLetterFilter
	others.IDs = nil
	named, filtered := len(w.IDs) > 0, !reflect.ValueOf(others).IsZero()
	flags := w.cmd.Flags()
	switch {
	case flags.Changed("all") && !w.wanted.All:
		return cli.Usage("--all=false chooses nothing: leave it out")
	case named && filtered, (named || filtered) && w.wanted.All:
		return cli.Usage("ids, filters and --all exclude each other")
	case !named && !filtered && !w.wanted.All:
		return cli.Usage("choose dead letters by id or with a filter, or give --all")
	case w.undo && !named:
		return cli.Usage("--undo is about the dead letters of certain ids")
	case w.wait && w.verb == dropping.verb && !w.undo:
		return cli.Usage("--wait is about what --undo deletes")
	case flags.Changed("limit") && w.wanted.Limit < 1:
		return cli.Usage("--limit %d: want at least 1, or leave it out for all", w.wanted.Limit)
	case cli.CheckReason(w.wanted.Reason) != nil:
		return cli.CheckReason(w.wanted.Reason)
	case flags.Changed("set") && len(w.IDs) != 1:
		return cli.Usage("--set corrects one dead letter: give its id and no other choice")
	}
	if !w.yes && !w.wanted.DryRun {
		if err := w.CanAsk(w.done); err != nil {
			return err
		}
	}
	w.correction, err = members(w.set)
	return err
}

// look reads what a dry run shows, otherwise at least the dead letter that died last, and counts all.
func (w *workingOff) look(ctx context.Context, c *client.Client) (letters []api.DeadLetter, found api.Counts, err error) {
	if len(w.IDs) > 0 {
		letters, err = w.byID(ctx, c)
		return letters, count(letters), err
	}
	q := client.DeadLetterQuery{DeadLetterFilter: w.wanted.DeadLetterFilter}
	latest, found, err := c.CountDeadLetters(ctx, q)
	switch {
	case err != nil || latest == nil:
		return nil, found, err
	case w.wanted.DryRun:
		letters, _, err = list().Read(w.App, client.Window{Limit: w.wanted.Limit}, w.reader(ctx, c, q))
		return letters, found, err
	}
	return []api.DeadLetter{*latest}, found, nil
}

// byID reads the dead letters whose ids were given. One that is not there ends the command before anything is done: the id may be misspelt.
func (w *workingOff) byID(ctx context.Context, c *client.Client) (letters []api.DeadLetter, err error) {
	bar := w.Progress("looked up", len(w.IDs))
	defer bar.Close()
	for n, id := range w.IDs {
		bar.Set(n)
		letter, err := c.DeadLetter(ctx, id)
		if fault.HasKind(err, fault.NotFound) {
			return nil, &fault.Error{
				Kind: fault.NotFound, Code: "unknown-dead-letter", Message: fmt.Sprintf("no dead letter has the id %q; nothing was done", id),
				Hint: "Check the id: routinely jobs get " + id + " tells what became of the job.",
			}
		}
		if err != nil {
			return nil, err
		}
		letters = append(letters, letter)
	}
	slices.SortFunc(letters, func(a, b api.DeadLetter) int { return b.DeadAt.Compare(a.DeadAt) })
	return letters, nil
}

// count is what a list would say about dead letters.
func count(letters []api.DeadLetter) api.Counts {
	counts := api.Counts{Total: len(letters), Complete: true}
	for _, d := range letters {
		at := slices.IndexFunc(counts.Codes, func(c api.CodeCount) bool { return c.Kind == d.Kind && c.Code == d.Code })
		if at < 0 {
			at, counts.Codes = len(counts.Codes), append(counts.Codes, api.CodeCount{Kind: d.Kind, Code: d.Code})
		}
		counts.Codes[at].Count++
	}
	return counts
}

// fix bounds the choice by the death of the latest letter that was seen, so that what dies from now on is not worked off unseen. That time is
// the service's own: the clock of this machine may be wrong.
func (w *workingOff) fix(letters []api.DeadLetter) {
	if w.wanted.Until.IsZero() {
		w.wanted.Until, w.fixed = letters[0].DeadAt, true
		w.wanted.All = false
	}
}

func (w *workingOff) confirm(ctx context.Context, expected int, complete bool) error {
	if w.yes {
		return nil
	}
	count := cli.Plural(expected, "dead letter")
	if !complete && w.wanted.Limit == 0 {
		count = "more than " + count
	}
	return w.Confirm(ctx, w.question+" "+count+"?")
}

// loop goes on while there is more, and shows what it has achieved.
func (w *workingOff) loop(ctx context.Context, c *client.Client, expected int) error {
	bar := w.Progress(w.done, expected)
	t := newTally()
	err := w.rounds(ctx, c, t, bar)
	bar.Close()
	if err != nil {
		defer w.noteRest(t)
	} else {
		err = w.undoAll(ctx, c, t)
	}
	return w.end(ctx, c, t, err)
}

// chunk is how many ids one call has at most: those of a drop are part of the address.
const chunk = 100

// rounds calls accept until the work is done.
func (w *workingOff) rounds(ctx context.Context, c *client.Client, t *tally, bar cli.Progress) error {
	if len(w.IDs) == 0 {
		return w.follow(ctx, c, w.wanted, t, bar)
	}
	for ids := range slices.Chunk(w.IDs, chunk) {
		wanted := w.wanted
		wanted.IDs = ids
		if err := w.follow(ctx, c, wanted, t, bar); err != nil {
			return err
		}
	}
	return nil
}

// follow calls accept until it has no more of one choice, or the limit is reached.
func (w *workingOff) follow(ctx context.Context, c *client.Client, wanted api.Redrive, t *tally, bar cli.Progress) error {
	for {
		if w.wanted.Limit > 0 {
			if wanted.Limit = w.wanted.Limit - t.count; wanted.Limit <= 0 {
				return nil
			}
		}
		did, err := w.call(c, ctx, wanted)
		if err != nil {
			return err
		}
		t.add(did, w.done)
		bar.Set(t.count)
		switch {
		case !did.More:
			return nil
		case did.Next == wanted.Cursor:
			return &cli.Ending{Code: cli.ExitPartly, Text: "the service got no further, and says that there is more"}
		}
		wanted.Cursor = did.Next
	}
}

// noteRest says how to go on after an interruption.
func (w *workingOff) noteRest(t *tally) {
	switch {
	case len(w.IDs) > 0:
		rest := slices.DeleteFunc(slices.Clone(w.IDs), t.has)
		w.Note("next: routinely dead-letters %s %s", w.verb, strings.Join(rest, " "))
	case w.fixed:
		w.Note("  the rest are dead letters still; to go on, give the same command with --until %s", w.wanted.Until.UTC().Format(time.RFC3339Nano))
	default:
		w.Note("  the rest are dead letters still; to go on, give the same command again")
	}
}

// end waits for what was redriven, or for what undoes it, if that is wanted, and shows what became of each dead letter.
func (w *workingOff) end(ctx context.Context, c *client.Client, t *tally, broken error) error {
	failed := t.failures()
	if w.wait && broken == nil {
		begun := t.handled
		if w.undo {
			begun = t.undone
		}
		broken = await(ctx, w.App, c, begun)
	}
	if err := outcomes().Show(w.App, append(t.handled, t.undone...)); err != nil {
		return err
	}
	w.Note("%s %s", cli.Plural(t.count, "dead letter"), w.done)
	if unlisted := t.count + len(failed) - len(t.handled); unlisted > 0 {
		w.Note("%d of them are not listed one by one, and were not waited for", unlisted)
	}
	switch {
	case broken != nil:
		return broken
	case len(failed) > 0:
		return w.Several(t.count+len(failed), failed)
	}
	return w.judge(t)
}

// judge tells how to go on, and makes an exit code of how the jobs have ended.
func (w *workingOff) judge(t *tally) error {
	if dead := t.dead(); len(dead) > 0 {
		end := &cli.Ending{Code: cli.ExitJobsFailed, Text: "not all jobs have succeeded", Next: "routinely dead-letters list"}
		if len(dead) == 1 {
			end.Next = "routinely dead-letters show " + cli.Word(dead[0].ID)
		}
		return end
	}
	switch {
	case w.wait:
	case len(t.undone) == 1:
		w.Note("next: routinely jobs get %s --wait", cli.Word(t.undone[0].ID))
	case len(t.undone) > 1:
		w.Note("next: routinely jobs list --state queued")
	case w.verb != redriving.verb || t.count == 0:
	case len(t.handled) == 1:
		w.Note("next: routinely jobs get %s --wait", cli.Word(t.handled[0].ID))
	default:
		w.Note("next: routinely jobs list --state queued")
	}
	return nil
}
