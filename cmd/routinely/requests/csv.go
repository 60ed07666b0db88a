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
	"unicode/utf8"

	"routinely/shared/routine"
)

// columns are the names a header may have; ESA's spelling is possible too.
var columns = []string{"name", "siteId", "recordName", "description", "hasAssets", "ifExists", "callbackUrl", "idempotencyKey"}

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

// readCSV reads a table with a header (RFC 4180, with any line ends). An empty cell is a field that is not given; rows of
// empty cells, as spreadsheets leave them, are skipped.
func readCSV(text []byte) ([]Item, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("line %d: the text is not UTF-8", firstForeign(text))
	}
	reader := csv.NewReader(bytes.NewReader(text))
	reader.TrimLeadingSpace = true
	header, err := reader.Read()
	if err != nil {
		return nil, tableError(err)
	}
	if err := checkHeader(header); err != nil {
		return nil, err
	}
	var items []Item
	for {
		row, err := reader.Read()
		switch {
		case errors.Is(err, io.EOF):
			return items, nil
		case errors.Is(err, csv.ErrFieldCount):
			line, _ := reader.FieldPos(0)
			items = append(items, Item{Line: line, Invalid: &routine.Invalid{Malformed: true, Problems: []routine.Problem{{
				Code: "syntax", Detail: fmt.Sprintf("the row has %d cells, the header %d", len(row), len(header)),
			}}}})
		case err != nil:
			return nil, tableError(err)
		case strings.TrimSpace(strings.Join(row, "")) != "":
			line, _ := reader.FieldPos(0)
			items = append(items, decode(object(header, row), line))
		}
	}
}

func firstForeign(text []byte) int {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if !utf8.Valid(line) {
			break
		}
	}
	return number
}

func tableError(err error) error {
	var broken *csv.ParseError
	if errors.As(err, &broken) {
		return fmt.Errorf("line %d: not CSV: %w", broken.StartLine, broken.Err)
	}
	return fmt.Errorf("not CSV: %w", err)
}

// checkHeader trims the names of the columns, and refuses those that are no fields or are there twice.
func checkHeader(header []string) error {
	seen := map[string]bool{}
	for i, given := range header {
		header[i] = strings.TrimSpace(given)
		field := fieldOf(header[i])
		switch {
		case field == "":
			return fmt.Errorf("line 1: %q is not a field; those there are: %s", header[i], strings.Join(columns, ", "))
		case seen[field]:
			return fmt.Errorf("line 1: the column %q is there twice", header[i])
		}
		seen[field] = true
	}
	return nil
}

// object writes a row as JSON, so that the rules and their words are the same for all formats. A truth value may be in the
// capitals that spreadsheets write.
func object(header, row []string) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, column := range header {
		cell := strings.TrimSpace(row[i])
		if cell == "" {
			continue
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		name, _ := json.Marshal(column)
		value, _ := json.Marshal(cell)
		if lower := strings.ToLower(cell); fieldOf(column) == "hasAssets" && (lower == "true" || lower == "false") {
			value = []byte(lower)
		}
		out.Write(append(append(name, ':'), value...))
	}
	out.WriteByte('}')
	return out.Bytes()
}
