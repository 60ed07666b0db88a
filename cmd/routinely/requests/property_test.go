package requests_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/cmd/routinely/requests"
	"routinely/shared/routine"
)

// anyItem draws a request that a table can hold: its cells are trimmed, and an empty one is a field that is not given.
func anyItem(t *rapid.T) requests.Item {
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.TrimSpace(rapid.StringOf(rapid.RuneFrom([]rune("aé漢,;\"'\n\t \\<\u2028"))).Draw(t, "text"))
	}).Filter(func(s string) bool { return s != "" })
	return requests.Item{
		Key: rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[!-~]{1,12}`)).Draw(t, "key"),
		Request: routine.Request{
			Name: rapid.StringMatching(`[a-z][a-z0-9]{1,8}`).Draw(t, "name"), SiteID: rapid.Int64Min(1).Draw(t, "siteId"),
			RecordName:  rapid.StringMatching(`[a-z0-9]{1,8}\.example\.com`).Draw(t, "record"),
			Description: rapid.Ptr(text, true).Draw(t, "description"), HasAssets: rapid.Ptr(rapid.Bool(), true).Draw(t, "hasAssets"),
			IfExists: rapid.SampledFrom([]routine.IfExists{"", routine.Fail}).Draw(t, "ifExists"),
		},
	}
}

func object(t *rapid.T, item requests.Item) string {
	text, err := json.Marshal(struct {
		routine.Request
		Key string `json:"idempotencyKey,omitempty"`
	}{item.Request, item.Key})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// spread writes an object on one line or on several.
func spread(t *rapid.T, text string) string {
	var out bytes.Buffer
	if rapid.Bool().Draw(t, "on one line") || json.Indent(&out, []byte(text), "", " ") != nil {
		return text
	}
	return out.String()
}

// gap draws white space that means nothing between two requests.
func gap(t *rapid.T) string { return rapid.StringMatching(`[ \t\r\n]{0,5}`).Draw(t, "gap") }

// array writes an array, and the number of each item.
func array(t *rapid.T, items []requests.Item) (text string, places []requests.Place) {
	text = gap(t) + "["
	for i, item := range items {
		if i > 0 {
			text += gap(t) + ","
		}
		text += gap(t)
		places = append(places, requests.Place{Unit: requests.ListItem, Number: i + 1})
		text += spread(t, object(t, item))
	}
	return text + gap(t) + "]" + gap(t), places
}

// lineOf is where a text goes on.
func lineOf(text string) requests.Place {
	return requests.Place{Unit: requests.Line, Number: 1 + strings.Count(text, "\n")}
}

func newlineDelimited(t *rapid.T, items []requests.Item) (text string, places []requests.Place) {
	for _, item := range items {
		text += gap(t)
		places = append(places, lineOf(text))
		text += object(t, item) + "\n"
	}
	return text, places
}

// table writes a table with its columns in any order and any of the two spellings, any delimiter, and more of them behind the last cell.
func table(t *rapid.T, items []requests.Item) (text string, places []requests.Place) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Comma = rapid.SampledFrom([]rune{',', ';', '\t'}).Draw(t, "delimiter")
	columns := rapid.Permutation([]string{"name", "SiteId", "recordName", "Description", "hasAssets", "IfExists", "idempotencyKey"}).Draw(t, "columns")
	row := func(cells map[string]string) {
		record := make([]string, 0, len(columns))
		for _, column := range columns {
			record = append(record, cells[column])
		}
		for range rapid.IntRange(0, 2).Draw(t, "delimiters behind") {
			record = append(record, "")
		}
		if err := w.Write(record); err != nil {
			t.Fatal(err)
		}
		w.Flush()
	}
	row(map[string]string{
		"name": "name", "SiteId": "SiteId", "recordName": "recordName", "Description": "Description", "hasAssets": "hasAssets",
		"IfExists": "IfExists", "idempotencyKey": "idempotencyKey",
	})
	for _, item := range items {
		r := item.Request
		cells := map[string]string{
			"name": r.Name, "SiteId": strconv.FormatInt(r.SiteID, 10), "recordName": r.RecordName, "IfExists": string(r.IfExists),
			"idempotencyKey": item.Key,
		}
		if r.Description != nil {
			cells["Description"] = *r.Description
		}
		if r.HasAssets != nil {
			cells["hasAssets"] = rapid.SampledFrom([]func(string) string{strings.ToLower, strings.ToUpper}).Draw(t, "case")(strconv.FormatBool(*r.HasAssets))
		}
		places = append(places, lineOf(out.String()))
		row(cells)
	}
	return out.String(), places
}

func TestReadProperties(t *testing.T) {
	for name, write := range map[requests.Format]func(*rapid.T, []requests.Item) (string, []requests.Place){
		requests.JSON: array, requests.NDJSON: newlineDelimited, requests.CSV: table,
	} {
		t.Run("reads requests as they were written, with their lines: "+string(name), rapid.MakeCheck(func(t *rapid.T) {
			want := rapid.SliceOfN(rapid.Custom(anyItem), 1, 3).Draw(t, "items")
			text, places := write(t, want)
			for i := range want {
				want[i].Place = places[i]
			}
			format := name
			if (name != requests.NDJSON || len(want) > 1) && rapid.Bool().Draw(t, "found out") {
				format = ""
			}
			written := rapid.SampledFrom([]string{text, "\ufeff" + text, utf16Text(true, text), utf16Text(false, text)}).Draw(t, "encoding")
			got, err := requests.Read(strings.NewReader(written), format)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Fatalf("%q: %v, -want +got:\n%s", text, err, diff)
			}
		}))
	}
}
