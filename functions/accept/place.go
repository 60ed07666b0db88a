package accept

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

// place is where a list, a redrive or a drop of dead letters goes on.
type place struct {
	// AsOf is when the first request came: what the set of dead letters is measured by on every page.
	AsOf time.Time `json:"asOf"`
	// Next is the ledger's own cursor; empty for the beginning.
	Next string `json:"next,omitempty"`
}

// cursor is the place as the client gets it. It is no secret, and a changed one leads nowhere else than a new request could.
func (p place) cursor() string {
	text, _ := json.Marshal(p) // a time in range and a text
	return base64.RawURLEncoding.EncodeToString(text)
}

// readPlace reads a cursor; without one the place is the beginning of what is there now.
func readPlace(cursor string, now time.Time) (p place, detail string) {
	if cursor == "" {
		return place{AsOf: now.UTC()}, ""
	}
	if detail := tooManyBytes(cursor, maxCursor); detail != "" {
		return place{}, detail
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || json.Unmarshal(text, &p) != nil || p.cursor() != cursor {
		return place{}, "is not one that was returned as next"
	}
	return p, ""
}

// place takes a parameter that is a cursor.
func (q *query) place(name string, now time.Time) place {
	p, detail := readPlace(q.text(name), now)
	q.check(name, detail)
	return p
}
