package sim

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// forged is a log line as somebody would like to have it in a function's log.
const forged = `{"level":"error","msg":"forged"}`

// Hostile returns texts that have broken logs and terminals, each under a name that says how.
func Hostile() map[string]string {
	return map[string]string{
		"line breaks":              "x\n" + forged + "\r\n" + forged + "\r",
		"the end of a string":      `x","msg":"forged","x":"`,
		"colours of a terminal":    "x\x1b[2K\x1b[1A\x1b[31m" + forged,
		"control characters":       "x\x00\x07\x08\x0b\x0c" + forged,
		"separators of JavaScript": "x\u2028" + forged + "\u2029",
		"what JSON leaves alone":   "x\x7f\u0085\u009b2K\u202e\u2066\u200d\ufeff\U000e0001" + forged,
		"bytes that are not UTF-8": "x\xff\xfe\xc0\xaf\xed\xa0\x80" + forged,
	}
}

// Quote writes a text as a string of JSON; bytes that are not UTF-8 become replacement characters.
func Quote(text string) string {
	out, _ := json.Marshal(text) // a string always marshals
	return string(out)
}

// CheckLog checks that each line of a log is one JSON object that has none but the fields named, a message that Hostile did not
// bring, and nothing that a reader of lines could take for an end.
func CheckLog(t testing.TB, log []byte, fields []string) {
	t.Helper()
	if len(log) > 0 && !bytes.HasSuffix(log, []byte("}\n")) {
		t.Errorf("the log ends in the middle of a line: %q", log)
	}
	for line := range bytes.Lines(log) {
		var found map[string]any
		if err := json.Unmarshal(line, &found); err != nil {
			t.Errorf("not a line of JSON: %v: %q", err, line)
			continue
		}
		for name := range found {
			if !slices.Contains(fields, name) {
				t.Errorf("field %q is not the function's: %q", name, line)
			}
		}
		// A field that is given twice is seen by none but who counts.
		if msg, ok := found["msg"].(string); !ok || strings.Contains(msg, "forged") || bytes.Count(line, []byte(`"msg":`)) != 1 {
			t.Errorf("a forged message: %q", line)
		}
		unclean := func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }
		if text := bytes.TrimSuffix(line, []byte("\n")); !utf8.Valid(text) || bytes.ContainsFunc(text, unclean) {
			t.Errorf("a line with what others may take for its end: %q", line)
		}
	}
}
