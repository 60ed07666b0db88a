package routines

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// version is a version of a routine's code, as the command versions shows it.
type version struct {
	CodeVersion string `json:"codeVersion"`
	SHA256      string `json:"sha256,omitempty"`
	// Live are the environments in which it answers, and Previous those to which a rollback brings it back.
	Live     []string `json:"live,omitempty"`
	Previous []string `json:"previous,omitempty"`
	JobID    string   `json:"jobId,omitempty"`
}

// versionsOf lists the versions that are known of, those made latest first.
func versionsOf(r api.Routine) []version {
	var out []version
	at := func(number string) *version {
		for i := range out {
			if out[i].CodeVersion == number {
				return &out[i]
			}
		}
		out = append(out, version{CodeVersion: number})
		return &out[len(out)-1]
	}
	for _, own := range slices.Backward(r.Versions) {
		v := at(own.CodeVersion)
		v.SHA256, v.JobID = own.SHA256, own.JobID
	}
	for _, c := range r.Code {
		v := at(c.CodeVersion)
		v.Live = append(v.Live, string(c.Environment))
		if c.Previous != "" {
			before := at(c.Previous)
			before.Previous = append(before.Previous, string(c.Environment))
		}
	}
	return out
}

// shownSum is how many digits of a hash a table shows.
const shownSum = 12

func (a verbs) versions() *cobra.Command {
	shown := cli.List[version]{
		ID: func(v version) string { return v.CodeVersion }, IDs: "numbers of the versions",
		Columns: []cli.Column[version]{
			{Name: "version", Text: func(v version) string { return v.CodeVersion }},
			{Name: "live", Text: func(v version) string { return strings.Join(v.Live, " ") }},
			{Name: "previous", Text: func(v version) string { return strings.Join(v.Previous, " ") }},
			{Name: "job", Turn: 1, Text: func(v version) string { return v.JobID }},
			{Name: "sha256", Turn: 2, Text: func(v version) string { return v.SHA256[:min(len(v.SHA256), shownSum)] }},
		},
	}
	cmd := &cobra.Command{
		Use: "versions NAME", Short: "List the versions of a routine's code", Args: cli.One(routineName),
		Long: `List the versions of a routine's code that Routinely has made and that are still there, those made latest first, and those that answer. One
without a job was made by somebody else.`,
		ValidArgsFunction: a.completeNames(false),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			r, err := c.Routine(ctx, args[0])
			if err != nil {
				return err
			}
			return shown.Show(a.App, versionsOf(r))
		}),
	}
	shown.Flags(a.App, cmd)
	return cmd
}

func (a verbs) rollback() *cobra.Command {
	var f following
	var wanted api.Rollback
	cmd := &cobra.Command{
		Use: "rollback NAME", Short: "Let an earlier version of the code run again", Args: cli.One(routineName),
		Long: `Let an earlier version of a routine's code run again: the one that was live before, or another by its number. Only the routine's owner may do
that, or a token with the scope operate. A second rollback to the previous version takes the first one back.`,
		Example:           "  routinely routines rollback shop --wait\n  routinely routines rollback shop --to 1766591259026072336 --environment production",
		ValidArgsFunction: a.completeNames(false),
		RunE: a.Call(func(ctx context.Context, c *client.Client, args []string) error {
			if _, problems := wanted.Request(args[0]); len(problems) > 0 {
				return cli.Usage("--%s: %s", cmp.Or(map[string]string{"/to": "to"}[problems[0].Pointer], "environment"), problems[0].Detail)
			}
			if err := f.checkKey(false); err != nil {
				return err
			}
			wanted.CallbackURL = f.callbackURL
			job, err := c.Rollback(ctx, args[0], f.jobKey(), wanted)
			if err != nil {
				return err
			}
			return a.one(ctx, c, f, job)
		}),
	}
	cmd.Flags().StringVar(&wanted.To, "to", routine.Previous, "the `version` to go back to, by its number")
	cmd.Flags().StringArrayVar(&wanted.Environments, "environment", nil, "where, `staging` or production; may be repeated; default: both")
	_ = cmd.RegisterFlagCompletionFunc("environment", cobra.FixedCompletions([]string{"staging", "production"}, cobra.ShellCompDirectiveNoFileComp))
	f.add(a, cmd)
	return cmd
}
