package cli

import "github.com/spf13/cobra"

const aboutOutput = `The forms of results, which -o chooses:

  table  for people. A table is as wide as the terminal, else as the variable COLUMNS says, else 80 characters: cells are wrapped, and
columns are left out in the order that the help of --columns tells. --columns a,b shows exactly those.
  json   for programs: one object a line, with everything. Characters that a terminal would obey are escaped, so the value stays the same.
  csv    for spreadsheets, of lists alone: a header, then a row for each, with commas, in UTF-8. A cell that begins with = + - @ or an
apostrophe gets an apostrophe before it, so that no spreadsheet takes it for a formula: read such values from json.

-q shows the ids of the jobs alone, or the names of the routines, one a line, for a shell:

  routinely dead-letters redrive $(routinely dead-letters list -q --code X)`

func outputTopic() *cobra.Command {
	return &cobra.Command{Use: "output", Short: "What -o, --columns and -q show", Long: aboutOutput}
}
