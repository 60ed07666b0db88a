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
			IfExists: rapid.SampledFrom([]routine.IfExists{"", routine.Adopt, routine.Fail}).Draw(t, "ifExists"),
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

// array writes an array, and where each request begins.
func array(t *rapid.T, items []requests.Item) (text string, lines []int) {
	text = gap(t) + "["
	for i, item := range items {
		if i > 0 {
			text += gap(t) + ","
		}
		text += gap(t)
		lines = append(lines, 1+strings.Count(text, "\n"))
		text += spread(t, object(t, item))
	}
	return text + gap(t) + "]" + gap(t), lines
}

func newlineDelimited(t *rapid.T, items []requests.Item) (text string, lines []int) {
	for _, item := range items {
		text += gap(t)
		lines = append(lines, 1+strings.Count(text, "\n"))
		text += object(t, item) + "\n"
	}
	return text, lines
}

// table writes a table with its columns in any order and any of the two spellings.
func table(t *rapid.T, items []requests.Item) (text string, lines []int) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	columns := rapid.Permutation([]string{"name", "SiteId", "recordName", "Description", "hasAssets", "IfExists", "idempotencyKey"}).Draw(t, "columns")
	row := func(cells map[string]string) {
		record := make([]string, 0, len(columns))
		for _, column := range columns {
			record = append(record, cells[column])
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
		lines = append(lines, 1+strings.Count(out.String(), "\n"))
		row(cells)
	}
	return out.String(), lines
}

func TestReadProperties(t *testing.T) {
	for name, write := range map[requests.Format]func(*rapid.T, []requests.Item) (string, []int){
		requests.JSON: array, requests.NDJSON: newlineDelimited, requests.CSV: table,
	} {
		t.Run("reads requests as they were written, with their lines: "+string(name), rapid.MakeCheck(func(t *rapid.T) {
			want := rapid.SliceOfN(rapid.Custom(anyItem), 1, 3).Draw(t, "items")
			text, lines := write(t, want)
			for i := range want {
				want[i].Line = lines[i]
			}
			format := name
			if (name != requests.NDJSON || len(want) > 1) && rapid.Bool().Draw(t, "found out") {
				format = ""
			}
			got, err := requests.Read(strings.NewReader(rapid.SampledFrom([]string{"", "\ufeff"}).Draw(t, "mark")+text), format)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Fatalf("%q: %v, -want +got:\n%s", text, err, diff)
			}
		}))
	}
}
