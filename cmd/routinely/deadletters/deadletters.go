// Package deadletters is the commands about dead letters.
package deadletters

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// verbs are the commands.
type verbs struct{ *cli.App }

// Command returns the command dead-letters.
func Command(app *cli.App) *cobra.Command {
	a := verbs{app}
	return cli.Group("dead-letters", "List, explain, redrive and drop dead letters",
		a.list(), a.show(), a.workOff(redriving), a.workOff(dropping))
}

// filterFlags are the flags that choose dead letters.
type filterFlags struct {
	api.DeadLetterFilter
	step, origin, since, until string
	cmd                        *cobra.Command
}

func (f *filterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.IDs, "id", nil, "only these `ids`")
	flags.StringVar(&f.Kind, "kind", "", "only those of this `kind` of fault, such as not-found")
	flags.StringVar(&f.Code, "code", "", "only those with this `code`, such as SiteParameterNotMatch")
	flags.StringVar(&f.step, "step", "", "only those that failed at this `step`, such as CreateRoutine")
	flags.StringVar(&f.origin, "origin", "", "only those that the `worker` gave up, or that the trigger could not deliver")
	flags.StringVar(&f.Name, "name", "", "only those about the routine of this `name`")
	flags.StringVar(&f.RecordName, "record", "", "only those about this host `name`")
	flags.Int64Var(&f.SiteID, "site-id", 0, "only those about the site of this `id`")
	flags.StringVar(&f.Caller, "caller", "", "only those that this `caller` asked for")
	flags.StringVar(&f.KeyPrefix, "key-prefix", "", "only those whose idempotency key begins with this `text`")
	flags.StringVar(&f.since, "since", "", "only those that died at this `time` or later, such as 2026-11-30T08:00:00Z")
	flags.StringVar(&f.until, "until", "", "only those that died at this `time` or earlier")
	f.cmd = cmd
}

// filter is what the flags choose.
func (f *filterFlags) filter() (out api.DeadLetterFilter, err error) {
	switch {
	case f.cmd.Flags().Changed("site-id") && f.SiteID == 0:
		return out, cli.Usage("--site-id 0: want the id of a site")
	case slices.ContainsFunc(f.IDs, func(id string) bool { return strings.TrimSpace(id) == "" }):
		return out, cli.Usage("an id is empty")
	}
	out = f.DeadLetterFilter
	out.Step, out.Origin = routine.Step(f.step), api.Origin(f.origin)
	for _, bound := range []struct {
		flag, text string
		into       *time.Time
	}{{"since", f.since, &out.Since}, {"until", f.until, &out.Until}} {
		if bound.text == "" {
			continue
		}
		if *bound.into, err = time.Parse(time.RFC3339, bound.text); err != nil {
			return out, cli.Usage("--%s %q: want a time such as 2026-11-30T08:00:00Z", bound.flag, bound.text)
		}
	}
	return out, nil
}

func (a verbs) list() *cobra.Command {
	var f filterFlags
	limit, expiring := cli.DefaultLimit, false
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, the latest first", Args: cobra.NoArgs,
		Example: "  routinely dead-letters list --code SiteParameterNotMatch",
		RunE: a.Call(func(ctx context.Context, c *client.Client, _ []string) error {
			if limit < 0 {
				return cli.Usage("--limit %d: want a number of dead letters, or 0 for all", limit)
			}
			wanted, err := f.filter()
			if err != nil {
				return err
			}
			letters, counts, err := c.DeadLetters(ctx, client.DeadLetterQuery{DeadLetterFilter: wanted, Expiring: expiring, Limit: limit, Count: true})
			if err != nil {
				return err
			}
			a.noteFound(counts)
			return a.letterTable(letters)
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&expiring, "expiring", false, "only those that will be forgotten within seven days")
	cmd.Flags().IntVar(&limit, "limit", limit, "the `number` of dead letters at most; 0 means all")
	return cmd
}

// noteFound sums up a list of dead letters.
func (a verbs) noteFound(found api.Counts) {
	parts := make([]string, len(found.Codes))
	for i, c := range found.Codes {
		parts[i] = fmt.Sprintf("%d %s", c.Count, strings.TrimSpace(c.Kind+" "+c.Code))
	}
	text := cli.Plural(found.Total, "dead letter")
	if !found.Complete {
		text = "more than " + text
	}
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	a.Note("%s", text)
}

func (a verbs) letterTable(letters []api.DeadLetter) error {
	header := []string{"job", "name", "record", "died", "why"}
	return cli.List(a.App, letters, header, func(d api.DeadLetter) []string {
		name, record := "", ""
		if d.Request != nil {
			name, record = d.Request.Name, d.Request.RecordName
		}
		return []string{d.ID, name, record, cli.Clock(d.DeadAt), strings.TrimSpace(d.Kind + " " + d.Code)}
	})
}

func (a verbs) show() *cobra.Command {
	received := false
	cmd := &cobra.Command{
		Use: "show ID", Short: "Explain a dead letter: what happened and what to do", Args: cobra.ExactArgs(1),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			letter, err := c.DeadLetter(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showLetter(letter, received)
		}),
	}
	cmd.Flags().BoolVar(&received, "received", false, "also show the message as it was received; -o json always does")
	return cmd
}

func (a verbs) showLetter(d api.DeadLetter, received bool) error {
	f := cli.Fields{
		{"job", d.ID},
		{"code", strings.TrimSpace(d.Kind + " " + d.Code)},
		{"happened", cli.WithID(d.Message, d.RequestID)},
		{"to do", d.Hint},
		{"given up", d.Reason},
		{"step", string(d.Step)},
		{"origin", string(d.Origin)},
		{"died", cli.Clock(d.DeadAt)},
	}
	for _, p := range d.Problems {
		f = append(f, [2]string{"wrong", cli.Pointed(p)})
	}
	if d.Request != nil {
		f = append(f, cli.Fields{{"name", d.Request.Name}, {"record", d.Request.RecordName}, {"site", cli.Number(d.Request.SiteID)}}...)
	}
	if d.Callback != nil {
		f = append(f, [2]string{"callback", cli.CallbackWord(d.Callback)})
	}
	f = append(f, cli.Fields{
		{"caller", d.Caller}, {"key", d.Key}, {"accepted", cli.Clock(d.AcceptedAt)}, {"attempt", cli.Number(d.Attempt)}, {"progress", progress(d.Progress)},
	}...)
	f = append(f, cli.Left(d.Left)...)
	f = append(f, cli.Attempts(d.Attempts)...)
	f = append(f, cli.Redrives(d.Redrives)...)
	if d.Received != nil && received {
		f = append(f, cli.Fields{{"message id", d.Received.MessageID}, {"received", fmt.Sprintf("as %s: %s", d.Received.Encoding, d.Received.Body)}}...)
	}
	f = append(f, [2]string{"next", cli.NextCommand(d.ID, d.Request != nil && len(d.Problems) == 0)})
	return a.Show(d, f)
}

// progress tells how far the steps of a job came.
func progress(p routine.Progress) string {
	var parts []string
	if p.Routine != "" {
		parts = append(parts, "routine "+string(p.Routine))
	}
	if p.RoutineRecreated {
		parts = append(parts, "routine created anew")
	}
	if p.Look != nil {
		parts = append(parts, "a call for the routine may have taken effect")
	}
	if p.RecordUnknown {
		parts = append(parts, "a call for the record may have taken effect")
	}
	return strings.Join(parts, ", ")
}
