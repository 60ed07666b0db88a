// Package callers is the commands that edit the document of callers, the value of ROUTINELY_AUTH. They work on a file and reach no service.
package callers

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/shared/auth"
	"routinely/shared/routine"
)

// verbs are the commands.
type verbs struct {
	*cli.App
	now func() time.Time
	// path is that of the document.
	path string
}

// callerName is what the commands call their argument.
const callerName = "name of a caller"

// Command returns the command callers.
func Command(app *cli.App, now func() time.Time) *cobra.Command {
	a := &verbs{App: app, now: now}
	noun := cli.Group("callers", "Say who may call: edit the document of ROUTINELY_AUTH", a.add(), a.list(), a.rotate(), a.revoke())
	noun.Long = `Edit the document of callers, which the function accept takes as ROUTINELY_AUTH, see SECURITY.md. Nothing changes for the function
before it is deployed with the new value:

  export ROUTINELY_AUTH="$(cat callers.json)"

The file can be read by its owner alone. It holds hashes of tokens, not tokens, but the secrets of webhooks that somebody has put there.`
	noun.PersistentFlags().StringVar(&a.path, "file", "callers.json", "the `file` of the document")
	return noun
}

// made is a token that was made; it is shown once.
type made struct {
	Name  string `json:"name"`
	Token string `json:"token,omitempty"`
	Hash  string `json:"hash,omitempty"`
}

// save saves the document and shows the token that was made, alone on standard output so that a script can take it.
func (a *verbs) save(d *document, m made, done string) error {
	size, err := d.save()
	if err != nil {
		return err
	}
	a.Note("%s. %s has %d of %d bytes; deploy it as ROUTINELY_AUTH.", done, d.path, size, maxDocument)
	if m.Token == "" {
		if a.JSON() {
			return a.WriteLine("", m)
		}
		return nil
	}
	a.Note("The token is shown this once, and kept nowhere:")
	return a.WriteLine(m.Token, m)
}

// wanted are the flags of add.
type wanted struct {
	scopes, names, suffixes, sites []string
	expires                        string
	perMinute                      int
}

func (a *verbs) add() *cobra.Command {
	var w wanted
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a caller, and show its token once", Args: cli.One(callerName),
		Long: `Add a caller to the document, which is made if it is missing. The token goes to standard output, alone, and is kept nowhere.

The caller "queue" stands for requests that other programs put on the queue. It gets no token; its limits are for those requests.`,
		Example: `  routinely callers add ops --scope submit,read,operate
  routinely callers add ci --scope submit --name-prefix pr- --record-suffix preview.example.com --site 54362329990032 \
    --expires 2026-12-31T00:00:00Z --per-minute 600`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(w.scopes) == 0 {
				return cli.Usage("say what caller %q may do, with --scope submit, read or operate", args[0])
			}
			limits, err := w.limits(a.now())
			if err != nil {
				return err
			}
			d, err := open(a.path, true)
			if err != nil {
				return err
			}
			c := caller{Name: args[0], RequestsPerMinute: w.perMinute, Limits: limits}
			for _, scope := range w.scopes {
				c.Scopes = append(c.Scopes, auth.Scope(scope))
			}
			m := made{Name: c.Name}
			if c.Name != routine.QueueCaller {
				m.Token, m.Hash = auth.NewToken()
				c.Tokens = []string{m.Hash}
			}
			d.callers = append(d.callers, c)
			return a.save(d, m, fmt.Sprintf("caller %q added", c.Name))
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&w.scopes, "scope", nil, "what the caller may do: `scope` submit, read or operate; repeatable")
	flags.StringSliceVar(&w.names, "name-prefix", nil, "the `text` that names of its routines must begin with; repeatable")
	flags.StringSliceVar(&w.suffixes, "record-suffix", nil, "the host `name` that its record names must be or lie below; repeatable")
	flags.StringSliceVar(&w.sites, "site", nil, "the `id` of a site that it may bind; repeatable")
	flags.StringVar(&w.expires, "expires", "", "the `time` at which it ends, such as 2026-12-31T00:00:00Z")
	flags.IntVar(&w.perMinute, "per-minute", 0, "the `number` of requests that it may send in a minute, at each instance of the function; 0 means any")
	return cmd
}

// limits are those of the flags.
func (w wanted) limits(now time.Time) (routine.Limits, error) {
	flags := map[string]string{"names": "--name-prefix", "recordSuffixes": "--record-suffix", "sites": "--site", "expiresAt": "--expires"}
	given := map[string]any{}
	for member, values := range map[string][]string{"names": w.names, "recordSuffixes": w.suffixes, "sites": w.sites} {
		if len(values) > 0 {
			given[member] = values
		}
	}
	if w.expires != "" {
		given["expiresAt"] = w.expires
	}
	text, err := json.Marshal(given)
	if err != nil {
		return routine.Limits{}, err
	}
	limits, err := routine.ParseLimits(string(text))
	var wrong *routine.Invalid
	if errors.As(err, &wrong) {
		var parts []string
		for _, p := range wrong.Problems {
			member, _, _ := strings.Cut(strings.TrimPrefix(p.Pointer, "/"), "/")
			parts = append(parts, flags[member]+": "+p.Detail)
		}
		return limits, cli.Usage("%s", strings.Join(parts, "; "))
	}
	if limits.Expired(now) {
		return limits, cli.Usage("--expires %s: that time is over", w.expires)
	}
	return limits, err
}

func (a *verbs) rotate() *cobra.Command {
	finish := false
	cmd := &cobra.Command{
		Use: "rotate NAME", Short: "Give a caller a second token, or end the rotation", Args: cli.One(callerName),
		Long: `Replace the token of a caller while it goes on working:

  1. routinely callers rotate NAME             adds a token and shows it once; the old one stays good
  2. deploy the document, and give the caller the new token
  3. routinely callers rotate NAME --finish    leaves the new one alone; deploy again`,
		RunE: func(_ *cobra.Command, args []string) error {
			d, c, err := a.find(args[0])
			if err != nil {
				return err
			}
			switch tokens := len(c.Tokens); {
			case tokens == 0:
				return cli.Usage("caller %q has no token", c.Name)
			case finish && tokens == 1:
				return cli.Usage("caller %q has one token alone: there is nothing to finish", c.Name)
			case finish:
				c.Tokens = c.Tokens[tokens-1:]
				return a.save(d, made{Name: c.Name, Hash: c.Tokens[0]}, fmt.Sprintf("caller %q keeps its newest token, %s", c.Name, short(c.Tokens[0])))
			case tokens > 1:
				return cli.Usage("caller %q has %d tokens: end the rotation first, with --finish, or revoke one with --token-hash", c.Name, tokens)
			}
			m := made{Name: c.Name}
			m.Token, m.Hash = auth.NewToken()
			c.Tokens = append(c.Tokens, m.Hash)
			return a.save(d, m, fmt.Sprintf("caller %q has a second token, %s", c.Name, short(m.Hash)))
		},
	}
	cmd.Flags().BoolVar(&finish, "finish", false, "leave the newest token alone")
	return cmd
}

func (a *verbs) revoke() *cobra.Command {
	hash := ""
	cmd := &cobra.Command{
		Use: "revoke NAME", Short: "Take a caller away, or one of its tokens", Args: cli.One(callerName),
		Long: `Take a caller out of the document, with all its tokens and secrets, or one of its tokens. It can call until the document is deployed. Jobs
that it has asked for go on.`,
		Example: `  routinely callers revoke ci
  routinely callers revoke ci --token-hash 1a2b3c4d`,
		RunE: func(_ *cobra.Command, args []string) error {
			d, c, err := a.find(args[0])
			if err != nil {
				return err
			}
			if hash != "" {
				return a.revokeToken(d, c, hash)
			}
			if len(d.callers) == 1 {
				return cli.Usage("caller %q is the last one, and accept does not start without callers: add another one first", c.Name)
			}
			d.callers = slices.DeleteFunc(d.callers, func(one caller) bool { return one.Name == args[0] })
			return a.save(d, made{Name: args[0]}, fmt.Sprintf("caller %q revoked", args[0]))
		},
	}
	cmd.Flags().StringVar(&hash, "token-hash", "", "only the token whose `hash` begins so, as list shows it")
	return cmd
}

// find opens the document, and finds a caller in it.
func (a *verbs) find(name string) (*document, *caller, error) {
	d, err := open(a.path, false)
	if err != nil {
		return nil, nil, err
	}
	c, err := d.find(name)
	return d, c, err
}

// minHash is how many digits of a hash are shown, and have to be given.
const minHash = 8

func (a *verbs) revokeToken(d *document, c *caller, hash string) error {
	digits := strings.ToLower(strings.TrimPrefix(hash, "sha256:"))
	fits := func(token string) bool { return strings.HasPrefix(strings.ToLower(token), "sha256:"+digits) }
	if len(digits) < minHash || !slices.ContainsFunc(c.Tokens, fits) {
		return cli.Usage("--token-hash %q: caller %q has no such token; give at least %d digits, as list shows them", hash, c.Name, minHash)
	}
	if len(c.Tokens) == 1 && len(c.WebhookSecrets)+len(c.GitHubSecrets) == 0 {
		return cli.Usage("that is all that caller %q is known by: revoke the caller, or rotate it first", c.Name)
	}
	c.Tokens = slices.DeleteFunc(c.Tokens, fits)
	return a.save(d, made{Name: c.Name}, fmt.Sprintf("token %s of caller %q revoked", short("sha256:"+digits), c.Name))
}

// short is the beginning of a hash, enough to tell it from others.
func short(hash string) string {
	digits := strings.TrimPrefix(hash, "sha256:")
	return digits[:min(len(digits), minHash)]
}
