package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"routinely/queue"
)

// maxBody is the longest body read of everything but a batch. A job travels in one MNS message, so more could never be
// accepted.
const maxBody = queue.MaxMessageBytes

// isJSON reports whether a media type is JSON's or ends in its suffix (RFC 6839).
func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// readBody checks the headers that describe the body, and returns the body unless it is longer than limit. Media types beside
// JSON's are possible if they are in others.
func readBody(r *http.Request, limit int, others ...string) (body []byte, media string, err error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, "", problemMediaType.with(fmt.Sprintf("Content-Encoding %q: send the body as it is", encoding))
	}
	given := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(given)
	if err != nil || !isJSON(media) && !slices.Contains(others, media) {
		want := strings.Join(append([]string{"application/json"}, others...), " or ")
		return nil, "", problemMediaType.with(fmt.Sprintf("Content-Type %q: want %s", given, want))
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, "", problemMediaType.with(fmt.Sprintf("charset %q: JSON is UTF-8", charset))
	}
	body = visitOf(r.Context()).body
	if len(body) > limit {
		return nil, "", problemTooLarge.with(fmt.Sprintf("the body is longer than %d bytes", limit))
	}
	return body, media, nil
}

// readOptional reads a JSON body into a struct, if there is a body. Unknown fields are refused: a misspelt one would be
// taken for one left out.
func readOptional(r *http.Request, into any) error {
	if r.ContentLength == 0 {
		return nil
	}
	return readStrict(r, into)
}

// readStrict is readOptional for a body that must be there.
func readStrict(r *http.Request, into any) error {
	body, _, err := readBody(r, maxBody)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return problemMalformed.with(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return problemMalformed.with("there is something behind the object")
	}
	return nil
}
