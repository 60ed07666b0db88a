package requests_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"routinely/cmd/routinely/requests"
)

// FuzzRead asserts that of a file of any format every request is read or told to be wrong, with its line, or the whole file is
// refused; and that no request of a file is left out.
func FuzzRead(f *testing.F) {
	for format, texts := range map[requests.Format][]string{
		requests.JSON:   {good, "[" + good + ",\n" + also + "]", "[\n{]", "[1]x", "\ufeff[]"},
		requests.NDJSON: {good + "\n\r\n" + also, "{\n}"},
		requests.CSV:    {"name,siteId,recordName\none,1,a.example.com\n", "Name, HasAssets\n\"a\n\"\"b\",TRUE\n,\n", "name\n\"", "name,name", "\xff", "name;siteId\n\"a;1\nb;2;;\n", "name\tsiteId\n\ta\"\n"},
		"":              {"\xff\xfea", "name", " \n", "idempotencyKey,description\n\r,\r\n"},
	} {
		for _, text := range texts {
			f.Add(string(format), text)
		}
	}
	f.Fuzz(func(t *testing.T, format, text string) {
		items, err := requests.Read(strings.NewReader(text), requests.Format(format))
		if (err == nil) != (len(items) > 0) {
			t.Fatalf("%d items, %v", len(items), err)
		}
		if err != nil {
			return
		}
		if !slices.IsSortedFunc(items, func(a, b requests.Item) int { return a.Place.Number - b.Place.Number }) || items[0].Place.Number < 1 {
			t.Fatalf("lines %+v", items)
		}
		if last := items[len(items)-1].Place; last.Number > len(text) {
			t.Fatalf("%s", last)
		}
		for _, item := range items {
			if item.Invalid == nil && (item.Request.Name == "" || len(item.Request.Records) == 0) || item.Invalid != nil && len(item.Invalid.Problems) == 0 {
				t.Fatalf("item %+v", item)
			}
		}
		if !strings.HasPrefix(text, "\xff\xfe") && !strings.HasPrefix(text, "\xfe\xff") {
			wantAll(t, requests.Format(format), strings.TrimPrefix(text, "\ufeff"), len(items))
		}
	})
}

// wantAll counts the requests of a file in another way.
func wantAll(t *testing.T, format requests.Format, text string, got int) {
	t.Helper()
	want := got
	switch format {
	case requests.JSON:
		var all []json.RawMessage
		if want = 1; strings.HasPrefix(strings.TrimSpace(text), "[") && json.Unmarshal([]byte(text), &all) == nil {
			want = len(all)
		}
	case requests.NDJSON:
		want = 0
		for line := range strings.SplitSeq(text, "\n") {
			if strings.TrimSpace(line) != "" {
				want++
			}
		}
	case requests.CSV:
	}
	if got != want {
		t.Fatalf("%d items of %d", got, want)
	}
}
