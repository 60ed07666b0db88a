package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/display"
)

// List is how many things of one kind are shown: as a table, as CSV, as an object a line, or by their ids alone.
type List[T any] struct {
	// Columns are all there are, in their order.
	Columns []Column[T]
	// ID is what -q shows; empty of a thing that has none.
	ID func(T) string
	// IDs is what the help calls that; empty means the ids of the jobs.
	IDs string
}

// Column is one column of a list.
type Column[T any] struct {
	Name string
	// Least and Turn say how narrow the column may become and when it is left out: see display.Column.
	Least, Turn int
	// OnWish is set of a column that is shown only if --columns names it.
	OnWish bool
	Text   func(T) string
}

// The flags of a command that shows a list.
const (
	columnsFlag = "columns"
	quietFlag   = "quiet"
)

// Flags gives a command that shows the list its flags.
func (l List[T]) Flags(a *App, cmd *cobra.Command) {
	usage := "only those `columns`, with commas between them, of " + andOr(l.names(true), "and") + leaving(l.inTurn())
	cmd.Flags().Var(&names{into: &a.columns, known: l.names(true)}, columnsFlag, usage)
	cmd.Flags().BoolVarP(&a.quiet, quietFlag, "q", false, "only the "+cmp.Or(l.IDs, "ids of the jobs")+", one a line")
	_ = cmd.RegisterFlagCompletionFunc(columnsFlag, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndex(typed, ",")+1]
		given := strings.Split(before, ",")
		var out []string
		for _, name := range l.names(true) {
			if !slices.Contains(given, name) {
				out = append(out, before+name)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

// leaving says in which order columns are left out.
func leaving(inTurn []string) string {
	if len(inTurn) == 0 {
		return ""
	}
	return "; where a table has no room it leaves out first " + strings.Join(inTurn, ", then ")
}

func (l List[T]) names(onWish bool) (names []string) {
	for _, column := range l.Columns {
		if onWish || !column.OnWish {
			names = append(names, column.Name)
		}
	}
	return names
}

// inTurn are the names of the columns that a table leaves out, the first to go first.
func (l List[T]) inTurn() (names []string) {
	columns := slices.DeleteFunc(slices.Clone(l.Columns), func(c Column[T]) bool { return c.Turn == 0 || c.OnWish })
	slices.SortStableFunc(columns, func(a, b Column[T]) int { return a.Turn - b.Turn })
	return List[T]{Columns: columns}.names(true)
}

// chosen are the columns to show. Those that were asked for are never left out.
func (l List[T]) chosen(a *App) (columns []Column[T]) {
	if len(a.columns) == 0 {
		return slices.DeleteFunc(slices.Clone(l.Columns), func(c Column[T]) bool { return c.OnWish })
	}
	for _, name := range a.columns {
		at := slices.IndexFunc(l.Columns, func(c Column[T]) bool { return c.Name == name })
		column := l.Columns[at]
		column.Turn = 0
		columns = append(columns, column)
	}
	return columns
}

// Show writes the things.
func (l List[T]) Show(a *App, things []T) error {
	switch {
	case a.quiet:
		return l.showIDs(a, things)
	case a.JSON():
		for _, thing := range things {
			if err := a.writeJSON(thing); err != nil {
				return err
			}
		}
		return nil
	}
	columns := l.chosen(a)
	rows := make([][]string, len(things))
	for i, thing := range things {
		for _, column := range columns {
			rows[i] = append(rows[i], a.Fit(column.Name, column.Text(thing)))
		}
	}
	if a.output == outputCSV {
		return display.CSV(a.Out, List[T]{Columns: columns}.names(true), rows)
	}
	shown := make([]display.Column, len(columns))
	for i, column := range columns {
		shown[i] = display.Column{Name: column.Name, Least: column.Least, Turn: column.Turn}
	}
	leftOut, err := display.Table(a.Out, shown, rows, a.width())
	if len(leftOut) > 0 {
		a.Note("no room for %s: --columns chooses, -o csv and -o json show all", andOr(leftOut, "and"))
	}
	return err
}

// showIDs writes each id once: there can be several things to say of one.
func (l List[T]) showIDs(a *App, things []T) error {
	seen := map[string]bool{}
	for _, thing := range things {
		if id := l.ID(thing); id != "" && !seen[id] {
			seen[id] = true
			if _, err := fmt.Fprintln(a.Out, display.Clean(id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Table reports whether results are shown in tables.
func (a *App) Table() bool { return a.output == outputTable && !a.quiet }

// AsList reports whether one thing is to be shown as a list of one: as CSV, by its id, or in columns.
func (a *App) AsList() bool { return a.quiet || a.output == outputCSV || len(a.columns) > 0 }

// names is a flag that takes names with commas between them, each once.
type names struct {
	into  *[]string
	known []string
}

// String is what was given.
func (n *names) String() string {
	if n.into == nil { // pflag asks a zero value what is the default
		return ""
	}
	return strings.Join(*n.into, ",")
}

// Type is what help calls the value.
func (n *names) Type() string { return "names" }

// Set takes the value of the flag.
func (n *names) Set(text string) error {
	*n.into = nil
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if name == "" && strings.TrimSpace(text) == "" {
			return nil // told as an empty flag
		}
		at := slices.IndexFunc(n.known, func(known string) bool { return strings.EqualFold(known, name) })
		switch {
		case at < 0:
			return fmt.Errorf("there is no %q; want some of %s, with commas between them", name, andOr(n.known, "and"))
		case slices.Contains(*n.into, n.known[at]):
			return fmt.Errorf("%q is there twice", name)
		}
		*n.into = append(*n.into, n.known[at])
	}
	return nil
}
