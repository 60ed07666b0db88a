package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/display"
)

// fitHelp makes the help of a command, and of those below it, as wide as the lines it is shown on.
func fitHelp(cmd *cobra.Command, width int) {
	cmd.SetUsageTemplate(strings.NewReplacer(
		".FlagUsages |", fmt.Sprintf(".FlagUsagesWrapped %d |", width),
		`Use "{{.CommandPath}} [command] --help" for more information about a command.`, `"{{.CommandPath}} [command] --help" explains a command.`,
	).Replace(cmd.UsageTemplate()))
	fitTexts(cmd, width)
}

func fitTexts(cmd *cobra.Command, width int) {
	cmd.Long = fold(cmd.Long, width)
	for _, below := range cmd.Commands() {
		fitTexts(below, width)
	}
}

// fold breaks the paragraphs of a text into lines of a width. A line that begins with spaces is one of a list: it begins a line of its own, and
// what follows of it stands behind its second word group, which two spaces set off.
func fold(text string, width int) string {
	var out []string
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		var lines []string
		for _, entry := range entries(paragraph) {
			indent := strings.Repeat(" ", hang(entry))
			for i, line := range display.Wrap(entry[len(indent):], width-len(indent)) {
				before := indent
				if i == 0 {
					before = entry[:len(indent)]
				}
				lines = append(lines, before+line)
			}
		}
		out = append(out, strings.Join(lines, "\n"))
	}
	return strings.Join(out, "\n\n")
}

// entries joins the lines of a paragraph that belong together.
func entries(paragraph string) (list []string) {
	for line := range strings.SplitSeq(paragraph, "\n") {
		if len(list) == 0 || strings.HasPrefix(line, " ") {
			list = append(list, line)
			continue
		}
		list[len(list)-1] += " " + line
	}
	return list
}

// hang is where the text of an entry of a list begins; 0 of a line that is none.
func hang(entry string) int {
	word := strings.TrimLeft(entry, " ")
	before := len(entry) - len(word)
	name, rest, found := strings.Cut(word, "  ")
	if before == 0 || !found {
		return before
	}
	return before + len(name) + len("  ") + len(rest) - len(strings.TrimLeft(rest, " "))
}
