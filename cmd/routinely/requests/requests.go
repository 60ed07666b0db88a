// Package requests reads routine requests from files: JSON, newline-delimited JSON and CSV. What is wrong with one request
// does not stop the others; it is kept beside it, with its line.
package requests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"routinely/shared/routine"
	"routinely/shared/strictjson"
)

// Format is how a file holds requests.
type Format string

// The formats.
const (
	// JSON is one object, or an array of objects.
	JSON Format = "json"
	// NDJSON has an object on each line. Empty lines are skipped.
	NDJSON Format = "ndjson"
	// CSV has a header with the names of fields, in any order.
	CSV Format = "csv"
)

// Formats are all there are.
func Formats() []Format { return []Format{JSON, NDJSON, CSV} }

// Unit is what places in a file count.
type Unit string

// The units: the items of a JSON array have a number, which people find more easily than a line of it.
const (
	Line     Unit = "line"
	ListItem Unit = "item"
)

// Place is where a request is in its file, counted from 1.
type Place struct {
	Unit   Unit
	Number int
}

// String is such as line 7.
func (p Place) String() string { return fmt.Sprintf("%s %d", p.Unit, p.Number) }

// Item is one request of a file.
type Item struct {
	// Place is where it begins.
	Place Place
	// Key is its idempotency key, empty if it has none.
	Key string
	// CodeFile is the file that has its code; empty if none is named. LoadCode reads it.
	CodeFile string
	// Request is valid and normalised, unless Invalid is set.
	Request routine.Request
	Invalid *routine.Invalid
}

// FormatOf tells the format by a file's name; empty if that says nothing.
func FormatOf(name string) Format {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		return JSON
	case ".ndjson", ".jsonl":
		return NDJSON
	case ".csv":
		return CSV
	}
	return ""
}

// Read reads all requests of a text in UTF-8, or in UTF-16 with a byte-order mark. An empty format is found out by looking. The error is about the whole file: it names the line, and
// nothing of the file can be used.
func Read(r io.Reader, format Format) ([]Item, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	text, encoding, err := decodeText(raw)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("there is no request in it")
	}
	if !bytes.Contains(text, newline) { // spreadsheets of old Macs write a carriage return alone
		text = bytes.ReplaceAll(text, []byte("\r"), newline)
	}
	if format == "" {
		if format = look(text); format == "" {
			return nil, fmt.Errorf("it looks neither like JSON nor like CSV: the first line names no field (%s) with a comma, a semicolon or a tab between them", strings.Join(columns, ", "))
		}
	}
	var items []Item
	switch format {
	case JSON:
		items, err = readJSON(text)
	case NDJSON:
		items = readLines(text)
	case CSV:
		items, err = readCSV(text, encoding)
	default:
		return nil, fmt.Errorf("format %q: want json, ndjson or csv", format)
	}
	if err == nil && len(items) == 0 {
		err = errors.New("there is no request in it")
	}
	return items, err
}

// look finds out the format of a text that is not empty.
func look(text []byte) Format {
	trimmed := bytes.TrimSpace(text)
	switch trimmed[0] {
	case '[':
		return JSON
	case '{':
		if first, _, more := bytes.Cut(trimmed, newline); more && json.Valid(first) {
			return NDJSON
		}
		return JSON
	}
	if _, _, fields := delimiterOf(text); fields > 0 {
		return CSV
	}
	return ""
}

var newline = []byte("\n")

// readJSON reads an object or an array.
func readJSON(text []byte) ([]Item, error) {
	if bytes.TrimSpace(text)[0] != '[' {
		if !json.Valid(text) {
			return nil, broken(text)
		}
		return []Item{decode(text, Place{ListItem, 1})}, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	_, _ = decoder.Token() // the bracket
	var items []Item
	for decoder.More() {
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, broken(text)
		}
		items = append(items, decode(value, Place{ListItem, len(items) + 1}))
	}
	if _, err := decoder.Token(); err != nil {
		return nil, broken(text)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: there is more behind the array", lineOf(text, decoder.InputOffset()))
	}
	return items, nil
}

func lineOf(text []byte, offset int64) int { return 1 + bytes.Count(text[:offset], newline) }

// broken says where a JSON text is wrong. It reads the text again as a whole, since the offsets of a decoder that has read values
// before count from somewhere else.
func broken(text []byte) error {
	var ignored json.RawMessage
	err := json.Unmarshal(text, &ignored)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return errors.New(strictjson.Check(text))
	}
	return fmt.Errorf("line %d: %s", lineOf(text, min(syntax.Offset, int64(len(bytes.TrimSpace(text))))), strictjson.Check(text))
}

func readLines(text []byte) []Item {
	var items []Item
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if line = bytes.TrimSpace(line); len(line) > 0 {
			items = append(items, decode(line, Place{Line, number}))
		}
	}
	return items
}

// decode reads one request, which may have a member for its key.
func decode(text []byte, at Place) Item {
	item := Item{Place: at}
	filed, err := routine.DecodeFiled(text)
	item.Request, item.Key, item.CodeFile = filed.Request, filed.Key, filed.CodeFile
	if err != nil && !errors.As(err, &item.Invalid) {
		item.Invalid = malformed(err)
	}
	return item
}

// maxKey is the longest idempotency key, in bytes.
const maxKey = 255

// CheckKey refuses a key that is too long or cannot be sent in a header.
func CheckKey(key string) error {
	if len(key) > maxKey {
		return fmt.Errorf("idempotency key: it has %d bytes, at most %d are possible", len(key), maxKey)
	}
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' {
			return errors.New("idempotency key: it holds characters other than printable ASCII")
		}
	}
	if strings.Contains(key, ",") {
		return errors.New("idempotency key: it holds a comma, by which repeated headers are joined")
	}
	return nil
}
