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
	"routinely/shared/fault"
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
	since, until string
	cmd          *cobra.Command
}

func (f *filterFlags) add(a verbs, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.IDs, "id", nil, "only these `ids`")
	cli.Choice(cmd, (*fault.Kind)(&f.Kind), "kind", "only those of this `kind` of fault", fault.Kinds()...)
	flags.StringVar(&f.Code, "code", "", "only those with this `code`, such as SiteParameterNotMatch")
	_ = cmd.RegisterFlagCompletionFunc("code", a.completeCodes())
	cli.Choice(cmd, &f.Step, "step", "only those that failed at this `step`", routine.Steps()...)
	cli.Choice(cmd, &f.Origin, "origin", "only those that this `side` gave up", api.Worker, api.Trigger)
	flags.StringVar(&f.Name, "name", "", "only those about the routine of this `name`")
	flags.StringVar(&f.RecordName, "record", "", "only those about this host `name`, in any of its forms")
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

// why is the kind and the code that a job died of.
func why(d api.DeadLetter) string { return strings.TrimSpace(d.Kind + " " + d.Code) }

// list is how dead letters are shown.
func list() cli.List[api.DeadLetter] {
	type column = cli.Column[api.DeadLetter]
	of := func(get func(routine.Request) string) func(api.DeadLetter) string {
		return func(d api.DeadLetter) string {
			if d.Request == nil {
				return ""
			}
			return get(*d.Request)
		}
	}
	return cli.List[api.DeadLetter]{
		ID: func(d api.DeadLetter) string { return d.ID },
		Columns: []column{
			{Name: "job", Text: func(d api.DeadLetter) string { return d.ID }},
			{Name: "name", Least: 12, Turn: 3, Text: of(func(r routine.Request) string { return r.Name })},
			{Name: "record", Least: 16, Turn: 1, Text: of(cli.HostNames)},
			{Name: "died", Turn: 2, Text: func(d api.DeadLetter) string { return cli.Clock(d.DeadAt) }},
			{Name: "why", Least: 21, Text: why},
			{Name: "to do", Least: 24, OnWish: true, Text: func(d api.DeadLetter) string { return d.Hint }},
			{Name: "site", OnWish: true, Text: of(cli.Sites)},
			{Name: "caller", Least: 12, OnWish: true, Text: func(d api.DeadLetter) string { return d.Caller }},
			{Name: "key", Least: 12, OnWish: true, Text: func(d api.DeadLetter) string { return d.Key }},
			{Name: "step", OnWish: true, Text: func(d api.DeadLetter) string { return string(d.Step) }},
		},
	}
}

func (a verbs) list() *cobra.Command {
	var f filterFlags
	var w client.Window
	var q client.DeadLetterQuery
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, the latest first", Args: cobra.NoArgs,
		Example: "  routinely dead-letters list\n  routinely dead-letters list --code SiteParameterNotMatch --since 2026-11-30T08:00:00Z -o csv",
	}
	cmd.RunE = a.Call(func(ctx context.Context, c *client.Client, _ []string) (err error) {
		if q.DeadLetterFilter, err = f.filter(); err != nil {
			return err
		}
		if w.Cursor == "" {
			_, counts, err := c.CountDeadLetters(ctx, q)
			if err != nil {
				return err
			}
			a.noteFound(counts)
		}
		return list().ShowPart(a.App, cmd, w, a.reader(ctx, c, q))
	})
	f.add(a, cmd)
	cmd.Flags().BoolVar(&q.Expiring, "expiring", false, "only those that will be forgotten within seven days")
	list().PartFlags(a.App, cmd, &w)
	return cmd
}

// reader reads parts of a list.
func (a verbs) reader(ctx context.Context, c *client.Client, q client.DeadLetterQuery) func(client.Window) ([]api.DeadLetter, string, error) {
	return func(w client.Window) ([]api.DeadLetter, string, error) { return c.DeadLetters(ctx, q, w) }
}

// completeIDs completes the ids of the latest dead letters.
func (a verbs) completeIDs(many bool) cobra.CompletionFunc {
	const latest = 20
	return a.Complete(many, func(ctx context.Context, c *client.Client) (found [][2]string, err error) {
		letters, _, err := c.DeadLetters(ctx, client.DeadLetterQuery{}, client.Window{Limit: latest})
		for _, d := range letters {
			found = append(found, [2]string{d.ID, d.Kind + " " + d.Code})
		}
		return found, err
	})
}

// completeCodes completes the codes that dead letters have.
func (a verbs) completeCodes() cobra.CompletionFunc {
	return a.Complete(true, func(ctx context.Context, c *client.Client) (found [][2]string, err error) {
		_, counts, err := c.CountDeadLetters(ctx, client.DeadLetterQuery{})
		for _, one := range counts.Codes {
			found = append(found, [2]string{one.Code, cli.Plural(one.Count, "dead letter")})
		}
		return found, err
	})
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

func (a verbs) show() *cobra.Command {
	received := false
	cmd := &cobra.Command{
		Use: "show ID", Short: "Explain a dead letter: what happened and what to do", Args: cli.One("job id"), ValidArgsFunction: a.completeIDs(false),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			letter, err := c.DeadLetter(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showLetter(letter, received)
		}),
	}
	cmd.Flags().BoolVar(&received, "received", false, "also show the message as it was received, which needs the scope operate; -o json always does")
	return cmd
}

func (a verbs) showLetter(d api.DeadLetter, received bool) error {
	f := cli.Fields{
		{"job", d.ID},
		{"claims job", d.ClaimsJob}, // which nothing proves
		{"code", why(d)},
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
		f = append(f, cli.Fields{{"name", d.Request.Name}, {"record", cli.HostNames(*d.Request)}, {"site", cli.Sites(*d.Request)}}...)
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
	if err := a.Show(d, f); err != nil {
		return err
	}
	a.NoteNext(d.ID, d.Request != nil && len(d.Problems) == 0, d.Left)
	return nil
}

// progress tells how far the steps of a job came.
func progress(p routine.Progress) string {
	var parts []string
	if p.Routine != "" {
		parts = append(parts, "routine "+string(p.Routine))
	}
	if p.RoutineRecreated {
		parts = append(parts, "routine created again")
	}
	if p.Look != nil {
		parts = append(parts, "a call for the routine may have taken effect")
	}
	if p.RecordUnknown {
		parts = append(parts, "a call for the record may have taken effect")
	}
	return strings.Join(parts, ", ")
}
