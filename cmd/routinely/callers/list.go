package callers

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/shared/auth"
	"routinely/shared/routine"
)

// seen is a caller without its secrets.
type seen struct {
	Name   string       `json:"name"`
	Scopes []auth.Scope `json:"scopes"`
	// Tokens are the beginnings of their hashes, the oldest first.
	Tokens            []string `json:"tokens,omitempty"`
	WebhookSecrets    int      `json:"webhookSecrets,omitempty"`
	GitHubSecrets     int      `json:"githubSecrets,omitempty"`
	RequestsPerMinute int      `json:"requestsPerMinute,omitempty"`
	DeleteOnClose     string   `json:"deleteOnClose,omitempty"`
	routine.Limits
}

// columns are those of the list of callers.
func (a *verbs) columns() cli.List[seen] {
	return cli.List[seen]{
		ID: func(c seen) string { return c.Name },
		Columns: []cli.Column[seen]{
			{Name: "name", Text: func(c seen) string { return c.Name }},
			{Name: "scopes", Text: func(c seen) string {
				scopes := make([]string, len(c.Scopes))
				for i, scope := range c.Scopes {
					scopes[i] = string(scope)
				}
				return strings.Join(scopes, " ")
			}},
			{Name: "tokens", Text: func(c seen) string { return strings.Join(c.Tokens, " ") }},
			{Name: "other", Turn: 1, Text: seen.others},
			{Name: "limits", Text: a.limitsOf},
		},
	}
}

func (a *verbs) list() *cobra.Command {
	shown := a.columns()
	cmd := &cobra.Command{
		Use: "list", Short: "List the callers with what they may, and no secret", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d, err := open(a.path, false)
			if err != nil {
				return err
			}
			var all []seen
			for _, c := range d.callers {
				one := seen{
					Name: c.Name, Scopes: c.Scopes, WebhookSecrets: len(c.WebhookSecrets), GitHubSecrets: len(c.GitHubSecrets),
					RequestsPerMinute: c.RequestsPerMinute, DeleteOnClose: c.DeleteOnClose, Limits: c.Limits,
				}
				for _, hash := range c.Tokens {
					one.Tokens = append(one.Tokens, short(hash))
				}
				all = append(all, one)
			}
			return shown.Show(a.App, all)
		},
	}
	shown.Flags(a.App, cmd)
	return cmd
}

// others tells how many secrets there are beside tokens.
func (c seen) others() string {
	var out []string
	if c.WebhookSecrets > 0 {
		out = append(out, cli.Plural(c.WebhookSecrets, "webhook secret"))
	}
	if c.GitHubSecrets > 0 {
		out = append(out, cli.Plural(c.GitHubSecrets, "GitHub secret"))
	}
	return strings.Join(out, ", ")
}

// limitsOf tells what limits a caller, in few words.
func (a *verbs) limitsOf(c seen) string {
	var out []string
	add := func(what string, values []string) {
		if len(values) > 0 {
			out = append(out, what+" "+strings.Join(values, " "))
		}
	}
	add("names", c.Names)
	add("records", c.RecordSuffixes)
	sites := make([]string, len(c.Sites))
	for i, id := range c.Sites {
		sites[i] = strconv.FormatInt(id, 10)
	}
	add("sites", sites)
	switch {
	case c.ExpiresAt.IsZero():
	case c.Expired(a.now()):
		out = append(out, "ended "+cli.Clock(c.ExpiresAt))
	default:
		out = append(out, "until "+cli.Clock(c.ExpiresAt))
	}
	if c.RequestsPerMinute > 0 {
		out = append(out, strconv.Itoa(c.RequestsPerMinute)+" a minute")
	}
	if c.DeleteOnClose != "" {
		out = append(out, "closed pull requests delete "+c.DeleteOnClose)
	}
	return strings.Join(out, "; ")
}
