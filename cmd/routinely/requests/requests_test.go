package requests_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/cmd/routinely/requests"
)

// shown is an item in a line: its place, key and name, or what is wrong.
func shown(items []requests.Item) []string {
	var out []string
	for _, item := range items {
		text := fmt.Sprintf("%d %q %s", item.Place.Number, item.Key, item.Request.Name)
		if item.Invalid != nil {
			text = fmt.Sprintf("%d %s", item.Place.Number, item.Invalid.Problems[0].Pointer+" "+item.Invalid.Problems[0].Code)
		}
		out = append(out, text)
	}
	return out
}

const (
	good = `{"name":"one","siteId":1,"recordName":"a.example.com"}`
	also = `{"Name":"two","SiteId":"2","RecordName":"b.example.com","idempotencyKey":"k"}`
)

// utf16Text is a text in UTF-16 with its byte-order mark.
func utf16Text(little bool, text string) string {
	var order binary.AppendByteOrder = binary.BigEndian
	if little {
		order = binary.LittleEndian
	}
	var out []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

func TestRead(t *testing.T) {
	for _, test := range []struct {
		name, text string
		format     requests.Format
		want       []string
	}{
		{"reads an object", good, "", []string{`1 "" one`}},
		{"reads an array, and counts its items", "\n[" + good + ",\n\n" + also + "]\n", "", []string{`1 "" one`, `2 "k" two`}},
		{"reads lines", good + "\n\r\n" + also + "\r\n", "", []string{`1 "" one`, `3 "k" two`}},
		{"reads a single line that is called lines", good, requests.NDJSON, []string{`1 "" one`}},
		{"leaves out a byte order mark", "\ufeff" + good, "", []string{`1 "" one`}},
		{"leaves out the byte order mark of a table", "\ufeffname,siteId,recordName\none,1,a.example.com\n", "", []string{`2 "" one`}},
		{"reads a table in any order", "IdempotencyKey, RecordName ,siteId,Name\r\nk, a.example.com,1,one\r\n", "", []string{`2 "k" one`}},
		{"reads a table with quotes", "name,siteId,recordName,description\n\"one\",\"1\",a.example.com,\"x\n\"\"y\"\", z\"\ntwo,2,b.example.com,\n", "", []string{`2 "" one`, `4 "" two`}},
		{"reads a table whose lines end with a carriage return alone", "name,siteId,recordName\rone,1,a.example.com\r\rtwo,2,b.example.com\r", "", []string{`2 "" one`, `4 "" two`}},
		{"skips empty rows of a table", "name,siteId,recordName\n,,\n\none,1,a.example.com\n , ,\n", "", []string{`4 "" one`}},
		{"skips blank rows before the header and rows of more delimiters", "\n,,,\nname,siteId,recordName\n,,,,,\n \r\none,1,a.example.com\n", "", []string{`6 "" one`}},
		{"takes delimiters behind the last cell for nothing", "name,siteId,recordName,,\none,1,a.example.com,,,\ntwo,2,b.example.com\n", "", []string{`2 "" one`, `3 "" two`}},
		{"reports a row that is too long", "name,siteId,recordName\none,1,a.example.com,x\ntwo,2,b.example.com\n", "", []string{`2  syntax`, `3 "" two`}},
		{"reads a table with semicolons", "name;siteId;recordName;description\none;1;a.example.com;x,y\n", "", []string{`2 "" one`}},
		{"reads a table with tabs and empty cells", "name\tdescription\tsiteId\trecordName\none\t\t1\ta.example.com\n", "", []string{`2 "" one`}},
		{"lets a quote in a cell break only its line", "name,siteId,recordName\na\"b,1,a.example.com\none,1,a.example.com\n\"t\"wo,2,b\ntwo,2,b.example.com\n", "", []string{`2  syntax`, `3 "" one`, `4  syntax`, `5 "" two`}},
		{"lets a quote that does not end break only its line", "name,siteId,recordName\n\"one,1,a.example.com\ntwo,2,b.example.com\nthree,3,c.example.com\n", "", []string{`2  syntax`, `3 "" two`, `4 "" three`}},
		{"lets a quote that ends in a later cell break only its line", "name,siteId,recordName\n\"one,1,a.example.com\n\"two\",2,b.example.com\n", "", []string{`2  syntax`, `3 "" two`}},
		{"reads UTF-16, little end first", utf16Text(true, "name;siteId;recordName;description\r\none;1;a.example.com;漢😀\r\n"), "", []string{`2 "" one`}},
		{"reads UTF-16, big end first", utf16Text(false, good), "", []string{`1 "" one`}},
		{"reports a row that is too short", "name,siteId,recordName\none,1\ntwo,2,b.example.com\n", "", []string{`2  syntax`, `3 "" two`}},
		{"names a cell by its column", "name,siteId,RecordName,HasAssets\none,1,a.example.com,maybe\n", "", []string{`2 /HasAssets type`}},
		{"takes the truth values of spreadsheets", "name,siteId,recordName,hasAssets\none,1,a.example.com,TRUE\n", "", []string{`2 "" one`}},
		{"keeps what is wrong with one line beside it", "{\"name\":\n" + good, requests.NDJSON, []string{`1  syntax`, `2 "" one`}},
		{"keeps repeated members for the rules to refuse", `[{"name":"a","name":"b","siteId":1,"recordName":"a.example.com"}]`, "", []string{`1 /name duplicate`}},
		{"keeps what is no object", `[7]`, "", []string{`1  syntax`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			items, err := requests.Read(strings.NewReader(test.text), test.format)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, shown(items)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for _, test := range []struct {
		name, text string
		format     requests.Format
		want       string
	}{
		{"nothing", " \n", "", "there is no request in it"},
		{"an empty array", "[]", "", "there is no request in it"},
		{"a header without rows", "name,siteId,recordName\n", "", "there is no request in it"},
		{"what is nothing known", "hello, world", "", "neither like JSON nor like CSV"},
		{"UTF-16 with half a character", "\xff\xfea\x00b", "", "ends within a character"},
		{"UTF-16 with half a pair", "\xff\xfe\x3d\xd8a\x00", "", "a surrogate stands alone"},
		{"UTF-16 without a byte-order mark", "n\x00a\x00", "", "line 1: the text holds the character NUL (it may be UTF-16"},
		{"a table in Latin-1", "name,siteId,recordName\none,1,\xe9.example.com\n", "", "line 2: the text is neither UTF-8 nor UTF-16 with a byte-order mark (it may be GBK or Latin-1)"},
		{"an array in GBK", "[\n{\"name\": \"\xba\xba\"}]", "", "line 2: the text is neither UTF-8"},
		{"an unknown column", "name,siteid\n", requests.CSV, `line 1: "siteid" is not a field`},
		{"an unknown column, and names what the file was taken for", utf16Text(true, "name;siteid\n"), requests.CSV, `(read as UTF-16 with ";" between the cells)`},
		{"another sign between the cells", "name|siteId\n", requests.CSV, `line 1: "name|siteId" is not a field`},
		{"an empty column", "name,,siteId\n", requests.CSV, `line 1: "" is not a field`},
		{"a column that is there twice", "name,Name\n", requests.CSV, `line 1: the column "Name" is there twice`},
		{"a quote in the header", "name,\"siteId\n", requests.CSV, "line 1: not CSV"},
		{"an array that does not end", "[" + good + ",\n", "", "line 1: not JSON: the text ends too early"},
		{"an array with a broken object", "[\n{]", "", "line 2: not JSON"},
		{"a broken object behind others and empty lines", "[" + good + ",\n\n\n" + good + ",\n{\n\"name\"}]", "", "line 6: not JSON"},
		{"more behind an array", "[" + good + "]\n[]", "", "line 2: there is more behind the array"},
		{"a broken object", "{\n\"name\": }", "", "line 2: not JSON"},
		{"a format that there is not", good, "xml", `format "xml"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			items, err := requests.Read(strings.NewReader(test.text), test.format)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v, want %q", shown(items), err, test.want)
			}
		})
	}
	t.Run("what cannot be read", func(t *testing.T) {
		broken := errors.New("broken")
		if _, err := requests.Read(failing{broken}, ""); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	})
	t.Run("never breaks", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			text := rapid.StringMatching(`[\[\]{}",;:\ta-e\n0 ]{0,40}`).Draw(t, "text")
			format := rapid.SampledFrom([]requests.Format{"", requests.JSON, requests.NDJSON, requests.CSV}).Draw(t, "format")
			items, err := requests.Read(strings.NewReader(text), format)
			for _, item := range items {
				if item.Place.Number < 1 || item.Place.Number > len(text) || item.Invalid == nil {
					t.Fatalf("item %+v of %q", item, text)
				}
			}
			if err == nil && len(items) == 0 {
				t.Fatalf("%q holds neither a request nor a mistake", text)
			}
		})
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]requests.Format{
		"a.json": requests.JSON, "a.ndjson": requests.NDJSON, "a.JSONL": requests.NDJSON, "dir/a.CSV": requests.CSV, "a.txt": "", "a": "",
	} {
		if got := requests.FormatOf(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for key, want := range map[string]bool{
		"": true, "a b~": true, strings.Repeat("k", 255): true, strings.Repeat("k", 256): false, "a\nb": false, "é": false, "\x7f": false,
	} {
		if got := requests.CheckKey(key) == nil; got != want {
			t.Errorf("%.10q: %t, want %t", key, got, want)
		}
	}
}

func TestCells(t *testing.T) {
	for _, test := range []struct {
		name, header, cell, want string
	}{
		{"takes host names with spaces between them, each with a site or without", "records", "a.example.com  b.example.com@7 ", `{"name":"one","records":[{"recordName":"a.example.com"},{"siteId":7,"recordName":"b.example.com"}]}`},
		{"takes labels with semicolons between them", "labels", "\"team=web; env=a=b;\"", `{"name":"one","siteId":1,"recordName":"c.example.com","labels":{"env":"a=b","team":"web"}}`},
		{"takes a time to live", "expiresIn", "7d", `{"name":"one","siteId":1,"recordName":"c.example.com","expiresIn":"168h"}`},
		{"takes protected as spreadsheets write it", "Protected", "TRUE", `{"name":"one","siteId":1,"recordName":"c.example.com","protected":true}`},
		{"refuses a label without a value", "labels", "team", `labels: "team" is not a label such as team=web`},
		{"refuses a label that is there twice", "labels", "a=b;a=c", "labels: the label a is given more than once"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := "name,siteId,recordName," + test.header + "\none,1,c.example.com," + test.cell + "\n"
			if test.header == "records" {
				text = "name,records\none," + test.cell + "\n"
			}
			items, err := requests.Read(strings.NewReader(text), requests.CSV)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := json.Marshal(items[0].Request)
			if items[0].Invalid != nil {
				got = []byte(items[0].Invalid.Problems[0].Detail)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
