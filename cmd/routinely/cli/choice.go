package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// choice is a flag whose value is one of a few words, in any case.
type choice struct {
	into   func(string)
	given  string
	values []string
}

// Choice gives a command a flag whose value is one of a few words. They complete in the shell.
func Choice[T ~string](cmd *cobra.Command, into *T, name, usage string, values ...T) {
	addChoice(cmd, cmd.Flags(), into, name, "", usage, values...)
}

func addChoice[T ~string](cmd *cobra.Command, flags *pflag.FlagSet, into *T, name, short, usage string, values ...T) {
	words := make([]string, len(values))
	for i, value := range values {
		words[i] = string(value)
	}
	c := &choice{given: string(*into), values: words, into: func(value string) { *into = T(value) }}
	flags.VarP(c, name, short, usage+": "+andOr(words, "or"))
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// AlsoCalled gives a flag of a command another name, which the help does not tell.
func AlsoCalled(cmd *cobra.Command, other, flag string) {
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == other {
			name = flag
		}
		return pflag.NormalizedName(name)
	})
}

// String is what was given.
func (c *choice) String() string { return c.given }

// Type is what help calls the value.
func (c *choice) Type() string { return "word" }

// Set takes the value of the flag.
func (c *choice) Set(text string) error {
	text = strings.TrimSpace(text)
	at := slices.IndexFunc(c.values, func(value string) bool { return strings.EqualFold(value, text) })
	if at < 0 && text != "" { // an empty one is told of as every empty flag is
		return errors.New("want " + andOr(c.values, "or"))
	}
	c.given = text
	if at >= 0 {
		c.given = c.values[at]
	}
	c.into(c.given)
	return nil
}

// andOr lists words as people do.
func andOr(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	end := len(words) - 1
	return strings.Join(words[:end], ", ") + " " + last + " " + words[end]
}

// wrongFlag says what is wrong with a flag without the names of Go's functions.
func wrongFlag(_ *cobra.Command, err error) error {
	var bad *pflag.InvalidValueError
	if !errors.As(err, &bad) {
		return err
	}
	want := fmt.Sprint(errors.Unwrap(bad))
	switch bad.GetFlag().Value.Type() {
	case "int", "int64":
		want = "want a whole number"
	case "bool":
		want = "want true or false"
	case "duration":
		want = "want a time such as 90s or 10m"
	}
	return fmt.Errorf("--%s %q: %s", bad.GetFlag().Name, bad.GetValue(), want)
}

// One wants one argument, which is called what in the error.
func One(what string) cobra.PositionalArgs {
	return cobra.MatchAll(AtMostOne(what), Some(what))
}

// AtMostOne wants one argument or none.
func AtMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return nil
		case 1:
			return Some(what)(cmd, args)
		}
		return fmt.Errorf("%s takes one %s, not %d", cmd.CommandPath(), what, len(args))
	}
}

// Some wants at least one argument, and none that is empty, as a variable of a script is that was not set.
func Some(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s wants a %s", cmd.CommandPath(), what)
		}
		if slices.ContainsFunc(args, func(arg string) bool { return strings.TrimSpace(arg) == "" }) {
			return fmt.Errorf("%s wants a %s: the one given is empty", cmd.CommandPath(), what)
		}
		return nil
	}
}
