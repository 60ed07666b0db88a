package mnsemu

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxPage is the largest page of a list, and its size when the caller does not say.
const maxPage = 1000

// page returns the names a list call asks for, in order, and the marker of the page after it, empty at the end.
func page[T any](r *request, all map[string]T) (names []string, next string, err error) {
	header := r.http.Header
	limit := maxPage
	if text := header.Get("X-Mns-Ret-Number"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxPage {
			return nil, "", outOfRange("x-mns-ret-number", 1, maxPage, "")
		}
	}
	from, err := base64.RawURLEncoding.DecodeString(header.Get("X-Mns-Marker"))
	if err != nil {
		return nil, "", invalidArgument("The value of x-mns-marker was not returned by a list call.")
	}
	prefix := header.Get("X-Mns-Prefix")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name < string(from) || !strings.HasPrefix(name, prefix) {
			continue
		}
		if len(names) == limit {
			return names, base64.RawURLEncoding.EncodeToString([]byte(name)), nil
		}
		names = append(names, name)
	}
	return names, "", nil
}

// withMeta says whether a list call asks for attributes.
func withMeta(r *request) bool {
	return strings.EqualFold(r.http.Header.Get("X-Mns-With-Meta"), "true")
}

// describeNext leaves the marker out at the end: the Python SDK fails on an empty element in a list.
func describeNext(d *document, next string) {
	if next != "" {
		d.text("NextMarker", next)
	}
}
