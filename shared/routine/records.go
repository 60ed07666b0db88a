package routine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"routinely/shared/strictjson"
)

// allRecords reads the host names: the list records, or the one that siteId and recordName are.
func (d *decoder) allRecords() []Record {
	given, value := d.take("records")
	if value == nil {
		return []Record{{SiteID: d.siteID(), RecordName: d.recordName()}}
	}
	for _, name := range []string{"siteId", "recordName"} {
		if at, one := d.take(name); one != nil {
			d.add(at, codeValue, "is given beside records: leave one of the two out")
		}
	}
	if value[0] != '[' {
		d.add(given, codeType, "must be a list of objects with recordName and, if wanted, siteId")
		return nil
	}
	items := slices.Collect(strictjson.Elements(value))
	if len(items) == 0 || len(items) > MaxRecords {
		d.add(given, codeValue, fmt.Sprintf("must have 1 to %d records, not %d", MaxRecords, len(items)))
		return nil
	}
	records := make([]Record, 0, len(items))
	seen := map[string]int{}
	for i, item := range items {
		at := "/" + strconv.Itoa(i)
		record := d.record(given, at, item)
		if first, again := seen[record.RecordName]; again && record.RecordName != "" {
			d.addBelow(given, at+"/recordName", codeDuplicate, fmt.Sprintf("%q is there before, as records/%d", clip(record.RecordName), first))
		} else {
			seen[record.RecordName] = i
		}
		records = append(records, record)
	}
	return records
}

// record reads one element of records, which stands at a pointer below the member.
func (d *decoder) record(member, at string, text json.RawMessage) Record {
	if text[0] != '{' {
		d.addBelow(member, at, codeType, "must be an object with recordName and, if wanted, siteId")
		return Record{}
	}
	fields, err := split(text)
	if err != nil {
		for _, p := range problemsOf(err) {
			d.addBelow(member, at+p.Pointer, p.Code, p.Detail)
		}
		return Record{}
	}
	one := decoder{fields: fields}
	record := Record{SiteID: one.siteID(), RecordName: one.recordName()}
	one.unknown("a record")
	for _, p := range one.problems {
		d.addBelow(member, at+p.Pointer, p.Code, p.Detail)
	}
	return record
}

// expiresIn reads how long the routine is to live.
func (d *decoder) expiresIn() Span {
	given := d.text("expiresIn")
	if given == nil {
		return 0
	}
	span, detail := ParseSpan(*given)
	if detail != "" {
		d.add(d.fields["expiresIn"].given, codeValue, detail)
	}
	return span
}

// labels reads the pairs by which lists can be filtered.
func (d *decoder) labels() map[string]string {
	given, value := d.take("labels")
	if value == nil {
		return nil
	}
	var labels map[string]string
	if value[0] != '{' || json.Unmarshal(value, &labels) != nil {
		d.add(given, codeType, "must be an object whose values are strings")
		return nil
	}
	object := strictjson.Read(value, func(name string) (string, bool) { return name, true })
	for _, name := range object.Repeated {
		d.addBelow(given, Pointer(name), codeDuplicate, fmt.Sprintf("%q is given more than once", clip(name)))
	}
	if len(labels) > MaxLabels {
		d.add(given, codeValue, fmt.Sprintf("has %d labels, at most %d are possible", len(labels), MaxLabels))
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if detail := CheckLabel(key, labels[key]); detail != "" {
			d.addBelow(given, Pointer(key), codeValue, detail)
		}
	}
	if len(labels) == 0 {
		return nil // the same as none
	}
	return labels
}

// CheckLabel says what is wrong with a label; empty if nothing is. A key has 1 to MaxLabelKey letters, digits and the characters . _ / -, a value 1 to
// MaxLabelValue bytes without control characters.
func CheckLabel(key, value string) (detail string) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-"
	switch {
	case key == "" || len(key) > MaxLabelKey || strings.Trim(key, letters) != "":
		return fmt.Sprintf("the key %q: want 1 to %d letters, digits and the characters . _ / -", clip(key), MaxLabelKey)
	case value == "" || len(value) > MaxLabelValue || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Sprintf("the value of %s: want 1 to %d bytes without control characters", key, MaxLabelValue)
	}
	return ""
}
