package requests

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"routinely/shared/routine"
)

// columns are the names a header may have; ESA's spelling is possible too.
var columns = []string{
	"name", "siteId", "recordName", "records", "description", "hasAssets", "ifExists", "expiresIn", "protected", "labels", "callbackUrl", "idempotencyKey",
	"codeFile", "environments", "codeDescription",
}

// fieldOf returns the field that a column stands for; empty if there is none.
func fieldOf(column string) string {
	if column == "" {
		return ""
	}
	field := strings.ToLower(column[:1]) + column[1:]
	if slices.Contains(columns, field) {
		return field
	}
	return ""
}

// delimiters are what spreadsheets write between cells, with what people call it.
var delimiters = []struct {
	sign   rune
	called string
}{{',', `","`}, {';', `";"`}, {'\t', "tabs"}}

// delimiterOf finds out what is between cells: that which makes the most fields of the first line that is not blank. fields is how many.
func delimiterOf(text []byte) (sign rune, called string, fields int) {
	var header string
	for line := range bytes.Lines(text) {
		if header = string(line); !isBlank(header) {
			break
		}
	}
	for _, d := range delimiters {
		found := 0
		for cell := range strings.SplitSeq(header, string(d.sign)) {
			if fieldOf(strings.Trim(cell, "\" \t\r\n")) != "" {
				found++
			}
		}
		if sign == 0 || found > fields {
			sign, called, fields = d.sign, d.called, found
		}
	}
	return sign, called, fields
}

// isBlank reports whether a line has nothing but white space and what may be between cells.
func isBlank(line string) bool { return strings.Trim(line, ",;\t \r\n\"") == "" }

// readCSV reads a table with a header (RFC 4180, with any line ends, and commas, semicolons or tabs between the cells). An empty cell is a field
// that is not given; blank rows and more delimiters behind the last cell, as spreadsheets leave them, mean nothing. A row with too few may have been cut off.
func readCSV(text []byte, encoding string) ([]Item, error) {
	sign, called, _ := delimiterOf(text)
	t := &table{rest: text, line: 1, delimiter: sign}
	t.open()
	header, line, err := t.next()
	if err == nil {
		header = withoutTail(header)
		err = checkHeader(header)
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: %w (read as %s with %s between the cells)", line, err, encoding, called)
	}
	var items []Item
	for {
		row, line, err := t.next()
		place := Place{Line, line}
		if errors.Is(err, io.EOF) {
			return items, nil
		}
		whole := withoutTail(row)
		if err == nil && (len(row) < len(header) || len(whole) > len(header)) {
			err = fmt.Errorf("the row has %d cells, the header %d, with %s between them", len(row), len(header), called)
		}
		var text []byte
		if err == nil {
			text, err = object(header, whole)
		}
		if err != nil {
			items = append(items, Item{Place: place, Invalid: malformed(err)})
			continue
		}
		items = append(items, decode(text, place))
	}
}

func malformed(err error) *routine.Invalid {
	return &routine.Invalid{Malformed: true, Problems: []routine.Problem{{Code: "syntax", Detail: err.Error()}}}
}

// withoutTail leaves out the empty cells at the end of a row.
func withoutTail(row []string) []string {
	for len(row) > 0 && strings.TrimSpace(row[len(row)-1]) == "" {
		row = row[:len(row)-1]
	}
	return row
}

// table reads rows.
type table struct {
	// rest is what reader reads, and line the number of its first line.
	rest      []byte
	line      int
	reader    *csv.Reader
	delimiter rune
}

func (t *table) open() {
	t.reader = csv.NewReader(bytes.NewReader(t.rest))
	t.reader.Comma, t.reader.FieldsPerRecord = t.delimiter, -1
	t.reader.TrimLeadingSpace = t.delimiter != '\t' // which is a space, too
}

// next returns the next row that is not blank, and its line. A wrong quote breaks its own line only: reading goes on behind it, although the quote
// may have taken in all that follows. The error is io.EOF at the end.
func (t *table) next() (row []string, line int, err error) {
	for {
		row, err = t.reader.Read()
		var broken *csv.ParseError
		switch {
		case errors.As(err, &broken):
			line = t.line + broken.StartLine - 1
			t.skip(broken.StartLine)
			return nil, line, quoteError(broken.Err)
		case err != nil:
			return nil, t.line, err
		case strings.TrimSpace(strings.Join(row, "")) != "":
			line, _ = t.reader.FieldPos(0)
			return row, t.line + line - 1, nil
		}
	}
}

// quoteError says what is wrong with a quote, which is all that a row can be wrong in by itself.
func quoteError(err error) error {
	if errors.Is(err, csv.ErrBareQuote) {
		return errors.New(`not CSV: a quote (") within a cell; write it twice, and the cell in quotes`)
	}
	return errors.New(`not CSV: a cell begins with a quote (") that does not end it`)
}

// skip goes on behind so many lines.
func (t *table) skip(lines int) {
	for range lines {
		_, t.rest, _ = bytes.Cut(t.rest, newline)
	}
	t.line += lines
	t.open()
}

// checkHeader trims the names of the columns, and refuses those that are no fields or are there twice.
func checkHeader(header []string) error {
	seen := map[string]bool{}
	for i, given := range header {
		header[i] = strings.TrimSpace(given)
		field := fieldOf(header[i])
		switch {
		case field == "":
			return fmt.Errorf("%q is not a field; those there are: %s", header[i], strings.Join(columns, ", "))
		case seen[field]:
			return fmt.Errorf("the column %q is there twice", header[i])
		}
		seen[field] = true
	}
	return nil
}

// object writes a row as JSON, so that the rules and their words are the same for all formats.
func object(header, row []string) ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, text := range row {
		if strings.TrimSpace(text) == "" {
			continue
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		value, err := Value(header[i], text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", header[i], err)
		}
		name, _ := json.Marshal(header[i])
		text, _ := json.Marshal(value)
		out.Write(append(append(name, ':'), text...))
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
