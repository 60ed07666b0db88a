// Package cli is what the commands of routinely have in common: the global flags, results on standard output, everything else
// on standard error, and exit codes.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"routinely/cmd/routinely/client"
	"routinely/cmd/routinely/display"
	"routinely/shared/api"
	"routinely/shared/config"
	"routinely/shared/fault"
)

// Streams are the three of a process.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// App is one run of the command line tool.
type App struct {
	Streams
	// Environ is the environment, as NAME=value pairs.
	Environ []string

	// The global flags.
	url, token, output, color string
	timeout                   time.Duration
	// The flags of lists.
	columns []string
	quiet   bool

	// started is set once the flags and arguments are known to be right.
	started bool
	// bar is what shows how far a command is; nil while there is none.
	bar *display.Progress
	// closers end what was opened.
	closers []func()
}

const about = `routinely asks for Alibaba Cloud ESA edge routines, tells what became of the jobs, and works on dead letters.

Results go to standard output, everything else to standard error. A flag with an empty value is refused, so that an empty variable of a
script never chooses everything. "routinely help exit-codes" lists the exit codes.`

// Run carries out one command line and returns the exit code.
func (a *App) Run(ctx context.Context, args []string, commands ...*cobra.Command) int {
	root := a.root()
	root.AddCommand(commands...)
	root.AddCommand(a.version(), exitCodesTopic(), outputTopic())
	refuseStrangers(root)
	fitHelp(root, a.width())
	root.SetArgs(args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	cmd, err := root.ExecuteContextC(ctx)
	for _, end := range a.closers {
		end()
	}
	var known *fault.Error
	if err != nil && !a.started && !errors.As(err, &known) {
		err = &fault.Error{Kind: fault.Invalid, Message: oneLine(err), Hint: cmd.CommandPath() + " --help explains it."}
	}
	if err != nil {
		a.Explain(err)
	}
	return exitCode(err)
}

func (a *App) root() *cobra.Command {
	root := &cobra.Command{
		Use: "routinely", Short: "Ask for edge routines and follow them", Long: about, Version: versionOf().line(),
		SilenceUsage: true, SilenceErrors: true, PersistentPreRunE: a.start,
	}
	root.SetFlagErrorFunc(wrongFlag)
	root.SetVersionTemplate("{{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVar(&a.url, "url", "", "`address` of the function accept; default: ROUTINELY_URL, else "+defaultURL)
	flags.StringVar(&a.token, "token", "", "bearer `token`; better given as ROUTINELY_TOKEN, where other users do not see it")
	a.output, a.color = outputTable, "auto"
	addChoice(root, flags, &a.output, "output", "o", "`format` of the results, see routinely help output", outputTable, outputJSON, outputCSV)
	addChoice(root, flags, &a.color, "color", "", "`when` to colour tables, of which NO_COLOR means never", "auto", "always", "never")
	flags.DurationVar(&a.timeout, "timeout", 0, "longest `time` for everything, such as 90s or 10m; 0 means none")
	return root
}

const (
	defaultURL  = "http://127.0.0.1:18082"
	outputTable = "table"
	outputJSON  = "json"
	outputCSV   = "csv"
)

// JSON reports whether results are for programs.
func (a *App) JSON() bool { return a.output == outputJSON }

// width is how long a line on standard output may be, in characters.
func (a *App) width() int { return display.Width(a.Out, a.Variable("COLUMNS")) }

// Progress is a bar that stands for all calls while there is one.
type Progress struct {
	*display.Progress
	app *App
}

// Progress shows how far something is that can take longer than a second; total 0 means that nobody knows how much there is. Close must
// follow.
func (a *App) Progress(name string, total int) Progress {
	a.bar = display.NewProgress(a.Err, name, total)
	return Progress{a.bar, a}
}

// Close takes the bar away.
func (p Progress) Close() {
	p.Progress.Close()
	p.app.bar = nil
}

// calling shows that a call takes its time, unless a bar shows more.
func (a *App) calling() func() {
	if a.bar != nil {
		return func() {}
	}
	return display.NewProgress(a.Err, "waiting", 0).Close
}

// start checks the global flags. What fails before it is a mistake of the command line.
func (a *App) start(cmd *cobra.Command, _ []string) error {
	flags := cmd.Flags()
	list := flags.Lookup(columnsFlag) != nil
	if err := refuseEmpty(flags); err != nil {
		return err
	}
	switch {
	case a.timeout < 0:
		return fmt.Errorf("--timeout %s: want a time that is not negative", a.timeout)
	case a.output == outputCSV && !list:
		return fmt.Errorf("-o csv: %s shows no list; want table or json", cmd.CommandPath())
	case a.quiet && (flags.Changed("output") || len(a.columns) > 0):
		return errors.New("-q shows the ids alone: leave out -o and --columns")
	case a.JSON() && len(a.columns) > 0:
		return errors.New("--columns chooses the columns of tables and of -o csv; -o json has everything")
	}
	if a.timeout > 0 {
		ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
		a.closers = append(a.closers, cancel)
		cmd.SetContext(ctx)
	}
	a.started = true
	return nil
}

// refuseEmpty refuses a flag that is given with an empty value. A script writes that when a variable of its own is not set, and a filter that
// is then left out would choose everything.
func refuseEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(flag *pflag.Flag) {
		if value := strings.TrimSpace(flag.Value.String()); value == "" || value == "[]" {
			err = fmt.Errorf("--%s is empty: give it a value, or leave it out", flag.Name)
		}
	})
	return err
}

// Variable returns the value of an environment variable, empty if it is not set.
func (a *App) Variable(name string) string {
	for _, pair := range slices.Backward(a.Environ) {
		if value, found := strings.CutPrefix(pair, name+"="); found {
			return value
		}
	}
	return ""
}

// Connect returns the client that flags and environment describe.
func (a *App) Connect() (*client.Client, error) {
	return a.connect(a.bearer(), a.told())
}

// ConnectWithoutToken returns a client of the same address that does not say who asks.
func (a *App) ConnectWithoutToken() (*client.Client, error) { return a.connect("", a.told()) }

// bearer is the token that flags and environment say; empty if there is none.
func (a *App) bearer() config.Secret {
	return config.Secret(cmp.Or(a.token, a.Variable("ROUTINELY_TOKEN")))
}

// told is how a client tells people of its calls.
func (a *App) told() client.Config {
	return client.Config{Calling: a.calling, Repeating: func(err error, after time.Duration) {
		a.Note("%s: retrying in %s", oneLine(err), after.Round(100*time.Millisecond))
	}}
}

// connect returns a client with a token, which may be empty. told is how the client tells people of its calls.
func (a *App) connect(token config.Secret, told client.Config) (*client.Client, error) {
	c, err := client.New(client.Config{
		URL: cmp.Or(a.url, a.Variable("ROUTINELY_URL"), defaultURL), Token: token,
		Agent: Agent(), Calling: told.Calling, Repeating: told.Repeating,
	})
	if err != nil {
		return nil, Usage("%s", err)
	}
	a.closers = append(a.closers, c.Close)
	return c, nil
}

// Agent is the User-Agent of this tool's requests.
func Agent() string {
	return fmt.Sprintf("routinely/%s (%s; %s)", versionOf().Version, runtime.GOOS, runtime.GOARCH)
}

// Call makes what a command runs of a function that talks to accept.
func (a *App) Call(do func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.Connect()
		if err != nil {
			return err
		}
		return do(cmd.Context(), c, args)
	}
}

// Note writes a line for people. That nobody can see it is no reason to fail.
func (a *App) Note(format string, args ...any) {
	to := a.Err
	if a.bar != nil {
		to = a.bar
	}
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		_, _ = fmt.Fprintln(to, display.Clean(line))
	}
}

// paint is whether colours are wanted: of tables alone.
func (a *App) paint() display.Paint {
	switch {
	case a.output != outputTable || a.color == "never":
		return false
	case a.color == "always":
		return true
	}
	return display.Paint(a.Variable("NO_COLOR") == "" && display.IsTerminal(a.Out))
}

// CheckReason refuses a text of --reason that accept would refuse as too long.
func CheckReason(reason string) error {
	if len(reason) > api.MaxReason {
		return Usage("--reason has %d bytes, at most %d are possible", len(reason), api.MaxReason)
	}
	return nil
}

// Usage is a mistake of the command line or in the input.
func Usage(format string, args ...any) error {
	return &fault.Error{Kind: fault.Invalid, Message: fmt.Sprintf(format, args...)}
}

// Group is a noun, whose verbs are commands.
func Group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	noun := &cobra.Command{Use: use, Short: short, RunE: verbOrHelp}
	noun.SuggestionsMinimumDistance = 2
	noun.AddCommand(verbs...)
	return noun
}

// verbOrHelp explains a noun, and refuses a verb that it does not have.
func verbOrHelp(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	text := fmt.Sprintf("there is no %q in %s", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return Usage("%s", text)
}

// refuseStrangers makes mistakes of what cobra's own commands pass over: help about a command that there is not, completion for such a shell.
func refuseStrangers(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			cmd.RunE = verbOrHelp
		case "help":
			cmd.PreRunE = func(_ *cobra.Command, args []string) error {
				if about, rest, err := root.Find(args); err != nil || len(rest) > 0 || about == nil {
					return Usage("there is no help about %q", strings.Join(args, " "))
				}
				return nil
			}
		}
	}
}
