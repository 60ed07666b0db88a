package display

import (
	"encoding/csv"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Column is one column of a table.
type Column struct {
	Name string
	// Least is how narrow wrapping may make the column before others are left out, in characters; 0 means that its cells are never wrapped.
	Least int
	// Turn orders the columns that are left out where the line is too short for all: 1 is the first to go; 0 stays.
	Turn int
}

// The frame of a table in characters: one before it, and one beside each column with a space on both sides.
const (
	frame       = 1
	framedExtra = 3
)

// narrowest is how far a column is wrapped that must stay although the line is too short, in characters.
const narrowest = 4

// Table writes rows under a header, on lines of at most width characters, and returns the names of the columns that had no room. Cells are
// shown as they are: see Clean. A column without anything in it is left out.
func Table(to io.Writer, columns []Column, rows [][]string, width int) (leftOut []string, err error) {
	natural := naturalWidths(columns, rows)
	chosen, leftOut := choose(columns, natural, width)
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	header := make([]string, len(columns))
	for i, column := range columns {
		header[i] = column.Name
	}
	t.AppendHeader(cells(header, chosen))
	var configs []table.ColumnConfig
	for at, width := range share(columns, natural, chosen, width) {
		configs = append(configs, table.ColumnConfig{Number: at + 1, WidthMax: width, WidthMaxEnforcer: wrap})
	}
	t.SetColumnConfigs(configs)
	for _, row := range rows {
		t.AppendRow(cells(row, chosen))
	}
	_, err = io.WriteString(to, t.Render()+"\n")
	return leftOut, err
}

// wrap wraps a cell. The library counts a character that is two wide as one where a line ends.
func wrap(cell string, width int) string {
	wrapped := text.WrapSoft(cell, width)
	if text.LongestLineLen(wrapped) > width {
		return text.WrapSoft(cell, width-1)
	}
	return wrapped
}

func cells(list []string, chosen []int) table.Row {
	row := make(table.Row, len(chosen))
	for i, at := range chosen {
		row[i] = list[at]
	}
	return row
}

// naturalWidths are those at which nothing is wrapped; 0 of a column that holds nothing.
func naturalWidths(columns []Column, rows [][]string) []int {
	widths := make([]int, len(columns))
	for i, column := range columns {
		for _, row := range rows {
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(row[i]))
		}
		if widths[i] > 0 || len(rows) == 0 {
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(column.Name))
		}
	}
	return widths
}

// least is how narrow a column may become.
func (c Column) least(natural int) int {
	if c.Least == 0 {
		return natural
	}
	return min(natural, max(c.Least, text.StringWidthWithoutEscSequences(c.Name)))
}

// choose returns the columns that hold something and have room, and the names of those that have none.
func choose(columns []Column, natural []int, width int) (chosen []int, leftOut []string) {
	need := frame
	for i, column := range columns {
		if natural[i] > 0 {
			chosen = append(chosen, i)
			need += column.least(natural[i]) + framedExtra
		}
	}
	inTurn := slices.Clone(chosen)
	slices.SortStableFunc(inTurn, func(a, b int) int { return columns[a].Turn - columns[b].Turn })
	for _, at := range inTurn {
		if need > width && columns[at].Turn > 0 {
			need -= columns[at].least(natural[at]) + framedExtra
			chosen = slices.DeleteFunc(chosen, func(other int) bool { return other == at })
			leftOut = append(leftOut, columns[at].Name)
		}
	}
	return chosen, leftOut
}

// share gives each chosen column the least it needs. What is left goes to those that are whole with it, first to the one that lacks least, so
// that names stay in one piece beside prose; the rest of it goes to the narrowest.
func share(columns []Column, natural, chosen []int, width int) []int {
	widths := make([]int, len(chosen))
	order := make([]int, len(chosen))
	left := width - frame
	for i, at := range chosen {
		widths[i], order[i] = columns[at].least(natural[at]), i
		left -= widths[i] + framedExtra
	}
	left += squeeze(columns, chosen, widths, -left)
	lacks := func(i int) int { return natural[chosen[i]] - widths[i] }
	slices.SortStableFunc(order, func(a, b int) int { return lacks(a) - lacks(b) })
	for _, i := range order {
		if lack := lacks(i); lack <= left {
			widths[i] += lack
			left -= lack
		}
	}
	order = slices.DeleteFunc(order, func(i int) bool { return lacks(i) == 0 })
	for ; left > 0 && len(order) > 0; left-- {
		widths[slices.MinFunc(order, func(a, b int) int { return widths[a] - widths[b] })]++
	}
	return widths
}

// squeeze takes what is missing from the widest of the columns that can be wrapped, down to their names and narrowest, and returns how much it took.
func squeeze(columns []Column, chosen, widths []int, missing int) (taken int) {
	spare := func(i int) int {
		column := columns[chosen[i]]
		if column.Least == 0 {
			return 0
		}
		return widths[i] - max(narrowest, text.StringWidthWithoutEscSequences(column.Name))
	}
	for ; taken < missing; taken++ {
		widest := -1
		for i := range chosen {
			if spare(i) > 0 && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return taken
}

// CSV writes rows under a header (RFC 4180). A cell that a spreadsheet would take for a formula gets an apostrophe before it, which
// spreadsheets show as text (https://owasp.org/www-community/attacks/CSV_Injection).
func CSV(to io.Writer, header []string, rows [][]string) error {
	w := csv.NewWriter(to)
	_ = w.Write(header) // Error reports it
	for _, row := range rows {
		safe := make([]string, len(row))
		for i, cell := range row {
			safe[i] = unformula(cell)
		}
		_ = w.Write(safe)
	}
	w.Flush()
	return w.Error()
}

func unformula(cell string) string {
	if strings.HasPrefix(cell, "'") || strings.IndexAny(strings.TrimSpace(cell), "=+-@＝＋－＠") == 0 {
		return "'" + cell
	}
	return cell
}
