package accept

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// hideURLs replaces the queries of callback URLs in a received message by stars, whatever the message is: a request that breaks the rules, an
// event with JSON in the strings of JSON, or either in Base64. It takes a backslash more or less, and what escapes write, for the same.
func hideURLs(body string) string {
	const character = `(?:[^"\\]|\\+u[0-9a-f]{4}|\\+/)` // of a string in JSON, and what is left of it in a string in a string
	url := regexp.MustCompile(`(?i)(url\\*"\s*:\s*\\*"` + character + `*?)(?:\?|\\+u003f)` + character + `*`)
	mask := func(text string) string { return url.ReplaceAllString(text, "${1}?***") }
	if decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(body)); err == nil {
		if hidden := mask(string(decoded)); hidden != string(decoded) {
			return base64.StdEncoding.EncodeToString([]byte(hidden))
		}
		return body
	}
	return mask(body)
}
