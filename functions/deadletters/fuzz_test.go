package deadletters_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"routinely/shared/api"
	"routinely/shared/fault"
)

// FuzzCursor asserts that a list takes only cursors that a list can have given: the place of a letter, written in one way.
func FuzzCursor(f *testing.F) {
	s := newStage(f)
	for _, text := range []string{"2026-01-15T06:00:00Z job-1", "2026-01-15T06:00:00.5Z a b", "0001-01-01T00:00:00Z ", "today x", "2026-01-15T06:00:00Z", "2026-01-15T07:00:00+01:00 x"} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
	f.Add("%")
	f.Fuzz(func(t *testing.T, cursor string) {
		got, err := s.List(t.Context(), api.DeadLetterFilter{}, 1, cursor)
		if err != nil {
			if !fault.HasCode(err, "InvalidCursor") || !fault.HasKind(err, fault.Invalid) || len(err.Error()) > 700 {
				t.Fatalf("%q: %v", cursor, err)
			}
			return
		}
		if len(got.DeadLetters) > 0 || got.Next != "" || !got.Complete {
			t.Fatalf("%q: got %+v of no letters", cursor, got)
		}
		if cursor == "" {
			return
		}
		text, err := base64.RawURLEncoding.DecodeString(cursor)
		when, id, _ := strings.Cut(string(text), " ")
		at, broken := time.Parse(time.RFC3339Nano, when)
		if err != nil || broken != nil || cursor != base64.RawURLEncoding.EncodeToString([]byte(at.UTC().Format(time.RFC3339Nano)+" "+id)) {
			t.Fatalf("%q is not one that a list gives: %q, %v, %v", cursor, text, err, broken)
		}
	})
}
