package accept

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"routinely/shared/api"
	"routinely/shared/routine"
)

// query reads the parameters of an address and collects what is wrong with them, as routine.Decode does with a body.
type query struct {
	given    url.Values
	problems []routine.Problem
}

func readQuery(r *http.Request) *query { return &query{given: r.URL.Query()} }

// text takes a parameter; an absent one is empty. One that is given without a value is a mistake, such as an empty variable of a script: passed
// over, it would choose everything.
func (q *query) text(name string) string {
	if !q.given.Has(name) {
		return ""
	}
	value := q.given.Get(name)
	q.given.Del(name)
	if value == "" {
		q.wrong(name, "value", "is given without a value: leave it out")
	}
	return value
}

// maxWord is the longest text of a filter, in bytes.
const maxWord = 255

// maxCursor is a length that no cursor has, in bytes. The longest is one of dead letters, with an id of 255 bytes in it.
const maxCursor = 2048

// word takes a parameter that is a short text.
func (q *query) word(name string) string {
	text := q.text(name)
	q.check(name, checkWord(text))
	return text
}

// checkWord says what is wrong with a text that a filter compares; empty if nothing is.
func checkWord(text string) (detail string) {
	if strings.ContainsFunc(text, isControl) {
		return "holds a control character"
	}
	return tooManyBytes(text, maxWord)
}

// isControl reports whether the ledger does not keep a character as it is.
func isControl(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }

// short takes a parameter that is a text of at most so many bytes.
func (q *query) short(name string, most int) string {
	text := q.text(name)
	if detail := tooManyBytes(text, most); detail != "" {
		q.wrong(name, "value", detail)
		return ""
	}
	return text
}

// tooManyBytes says that a text is longer than it may be; empty if it is not.
func tooManyBytes(text string, most int) (detail string) {
	if len(text) <= most {
		return ""
	}
	return fmt.Sprintf("has %d bytes, at most %d are possible", len(text), most)
}

// name takes a parameter that is a routine's name.
func (q *query) name(name string) string {
	text := q.text(name)
	if text != "" {
		q.check(name, routine.CheckName(text))
	}
	return text
}

// recordName takes a parameter that is a host name, in any of its forms.
func (q *query) recordName(name string) string {
	text := q.text(name)
	if text == "" {
		return ""
	}
	normal, detail := routine.NormalizeRecordName(text)
	q.check(name, detail)
	return normal
}

// check adds a problem if there is one.
func (q *query) check(name, detail string) {
	if detail != "" {
		q.wrong(name, "value", detail)
	}
}

// number takes a parameter that is a whole number.
func (q *query) number(name string, otherwise, least, most int64) int64 {
	text := q.text(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most || text[0] == '+' {
		q.wrong(name, "value", fmt.Sprintf("%.40q is not a number from %d to %d", text, least, most))
	}
	return n
}

// time takes a parameter that is a time in RFC 3339.
func (q *query) time(name string) time.Time {
	text := q.text(name)
	if text == "" {
		return time.Time{}
	}
	at, ok := parseTime(text)
	if !ok {
		q.wrong(name, "value", fmt.Sprintf("%.40q is not a time such as 2026-01-15T06:28:17Z", text))
	}
	return at
}

// parseTime reads a time in RFC 3339. Package time also takes a comma for a point, and an hour of one digit. The time that Go's programs have
// for none is refused, in whatever zone: a filter by it would choose everything.
func parseTime(text string) (at time.Time, ok bool) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || strings.Contains(text, ",") || text[len("2006-01-02T15")] != ':' {
		return time.Time{}, false
	}
	year := at.UTC().Year()
	return at, !at.IsZero() && year >= 0 && year <= 9999
}

// id takes a parameter that is an id of ESA; 0 without one.
func (q *query) id(name string) int64 {
	text := q.text(name)
	if text == "" {
		return 0
	}
	id, p := routine.ParseID([]byte(strconv.Quote(text)))
	if p != nil {
		q.wrong(name, p.Code, p.Detail)
	}
	return id
}

// flag takes a parameter that is true or false.
func (q *query) flag(name string) bool { return choice(q, name, "true", "false") == "true" }

// choice takes a parameter that is one of the values.
func choice[T ~string](q *query, name string, values ...T) T {
	value := T(q.text(name))
	if value != "" && !slices.Contains(values, value) {
		q.wrong(name, "value", fmt.Sprintf("%.40q is not one of %q", value, values))
	}
	return value
}

// reason takes the reason of a drop.
func (q *query) reason() string {
	text := q.text("reason")
	if p, wrong := checkReason(text); wrong {
		q.problems = append(q.problems, p)
	}
	return text
}

// checkReason says what is wrong with a reason.
func checkReason(text string) (p routine.Problem, wrong bool) {
	detail := tooManyBytes(text, api.MaxReason)
	return routine.Problem{Pointer: "/reason", Code: "value", Detail: detail}, detail != ""
}

func (q *query) wrong(name, code, detail string) {
	q.problems = append(q.problems, routine.Problem{Pointer: routine.Pointer(name), Code: code, Detail: detail})
}

// maxQueryProblems is how many problems of an address are listed at most.
const maxQueryProblems = 50

// end says what was wrong, parameters that nobody took included.
func (q *query) end() error {
	for name := range q.given {
		q.wrong(name, "unknown-parameter", fmt.Sprintf("%.40q is not a parameter here", name))
	}
	if len(q.problems) == 0 {
		return nil
	}
	slices.SortFunc(q.problems, func(a, b routine.Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
	return problemParameter.about(q.problems[:min(len(q.problems), maxQueryProblems)]...)
}
