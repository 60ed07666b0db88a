package requests_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/cmd/routinely/client"
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
			Name:        rapid.StringMatching(`[a-z][a-z0-9]{1,8}`).Draw(t, "name"),
			Records:     rapid.SliceOfNDistinct(rapid.Custom(anyRecord), 1, 3, func(r routine.Record) string { return r.RecordName }).Draw(t, "records"),
			Description: rapid.Ptr(text, true).Draw(t, "description"), HasAssets: rapid.Ptr(rapid.Bool(), true).Draw(t, "hasAssets"),
			IfExists:  rapid.SampledFrom([]routine.IfExists{"", routine.Fail, routine.Update}).Draw(t, "ifExists"),
			ExpiresIn: routine.Span(rapid.IntRange(0, 100).Draw(t, "minutes")) * routine.Span(time.Minute),
			Protected: rapid.Ptr(rapid.Bool(), true).Draw(t, "protected"), Labels: anyLabels(t),
		},
	}
}

// anyRecord draws a host name, with the id of its site or without.
func anyRecord(t *rapid.T) routine.Record {
	return routine.Record{
		SiteID: rapid.Int64Min(0).Draw(t, "siteId"), RecordName: rapid.StringMatching(`[a-z0-9]{1,8}\.example\.com`).Draw(t, "record"),
	}
}

// anyLabels draws labels; nil if there are none.
func anyLabels(t *rapid.T) map[string]string {
	labels := rapid.MapOfN(rapid.StringMatching(`[a-z]{1,3}`), rapid.StringMatching(`[a-z=:]{1,3}`), 0, 2).Draw(t, "labels")
	if len(labels) == 0 {
		return nil
	}
	return labels
}

func object(t *rapid.T, item requests.Item) string {
	text, err := json.Marshal(client.Keyed{Request: item.Request, Key: item.Key})
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
	columns := rapid.Permutation([]string{
		"name", "SiteId", "recordName", "records", "Description", "hasAssets", "IfExists", "expiresIn", "Protected", "labels", "idempotencyKey",
	}).Draw(t, "columns")
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
	header := map[string]string{}
	for _, column := range columns {
		header[column] = column
	}
	row(header)
	for _, item := range items {
		r := item.Request
		cells := map[string]string{"name": r.Name, "IfExists": string(r.IfExists), "idempotencyKey": item.Key, "labels": cellOf(r.Labels)}
		writeRecords(t, cells, r.Records)
		if r.ExpiresIn != 0 {
			cells["expiresIn"] = r.ExpiresIn.String()
		}
		if r.Protected != nil {
			cells["Protected"] = strconv.FormatBool(*r.Protected)
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

// cellOf writes labels.
func cellOf(labels map[string]string) string {
	var pairs []string
	for key, value := range labels {
		pairs = append(pairs, key+"="+value)
	}
	return strings.Join(pairs, " ; ")
}

// writeRecords writes one host name in a cell of its own or as one of several.
func writeRecords(t *rapid.T, cells map[string]string, records []routine.Record) {
	if len(records) == 1 && rapid.Bool().Draw(t, "in a cell of its own") {
		cells["recordName"] = records[0].RecordName
		if id := records[0].SiteID; id != 0 {
			cells["SiteId"] = strconv.FormatInt(id, 10)
		}
		return
	}
	var texts []string
	for _, r := range records {
		text := r.RecordName
		if r.SiteID != 0 {
			text += "@" + strconv.FormatInt(r.SiteID, 10)
		}
		texts = append(texts, text)
	}
	cells["records"] = strings.Join(texts, "  ")
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
