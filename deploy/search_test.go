package deploy_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// entry is a log entry of Simple Log Service as Function Compute writes it: the function's name, and its line as the JSON field message.
type entry map[string]any

// entryOf is the entry of a line that a function of a deployment wrote.
func entryOf(prefix string, line map[string]any) entry {
	out := entry{"functionName": fmt.Sprintf("%s-%v", prefix, line["function"])}
	for name, value := range line {
		out["message."+name] = value
	}
	return out
}

// search is a search statement: the part of the syntax that the alerts and the dashboard use.
//
//	search = both { "or" both } ; both = one { "and" one } ; one = "(" search ")" | field ":" text | field (">" | ">=" | "<" | "<=") number
type search struct {
	words []string
	err   error
	// fields are those that were named: fields of text are true.
	fields map[string]bool
}

type matcher func(entry) bool

var searchWord = regexp.MustCompile(`"[^"]*"|[A-Za-z][A-Za-z.]*|[0-9]+|>=|<=|[():<>]|\S`)

// parseSearch reads a search statement and returns what it matches and the fields that it names.
func parseSearch(text string) (matcher, map[string]bool, error) {
	s := &search{words: searchWord.FindAllString(text, -1), fields: map[string]bool{}}
	m := s.any()
	if len(s.words) > 0 {
		s.fail("nothing is expected before " + s.words[0])
	}
	return m, s.fields, s.err
}

func (s *search) fail(text string) {
	if s.err == nil {
		s.err = fmt.Errorf("search: %s", text)
	}
}

func (s *search) next() (first string) {
	if len(s.words) > 0 {
		first, s.words = s.words[0], s.words[1:]
	}
	return first
}

// take takes a word if it is the next one.
func (s *search) take(want string) bool {
	found := len(s.words) > 0 && s.words[0] == want
	if found {
		s.next()
	}
	return found
}

func (s *search) any() matcher {
	all := []matcher{s.both()}
	for s.take("or") {
		all = append(all, s.both())
	}
	return func(e entry) bool {
		for _, m := range all {
			if m(e) {
				return true
			}
		}
		return false
	}
}

func (s *search) both() matcher {
	all := []matcher{s.one()}
	for s.take("and") {
		all = append(all, s.one())
	}
	return func(e entry) bool {
		for _, m := range all {
			if !m(e) {
				return false
			}
		}
		return true
	}
}

func (s *search) one() matcher {
	if s.take("(") {
		m := s.any()
		if !s.take(")") {
			s.fail("a parenthesis is left open")
		}
		return m
	}
	field, operator, value := s.next(), s.next(), s.next()
	if !regexp.MustCompile(`^[a-z][A-Za-z.]*$`).MatchString(field) {
		s.fail("no field: " + field)
	}
	s.fields[field] = operator == ":"
	if operator == ":" {
		if len(value) < 3 || value[0] != '"' {
			s.fail(field + ": the text must be in quotes: " + value)
		}
		return func(e entry) bool { return e[field] != nil && fmt.Sprint(e[field]) == strings.Trim(value, `"`) }
	}
	than, err := strconv.ParseFloat(value, 64)
	if err != nil {
		s.fail(field + ": no number: " + value)
	}
	holds := comparison(operator)
	if holds == nil {
		s.fail("no operator: " + operator)
		return func(entry) bool { return false }
	}
	return func(e entry) bool {
		number, ok := e[field].(float64)
		return ok && holds(number, than)
	}
}

// comparison is what an operator says of two numbers; nil for none that is known.
func comparison(operator string) func(a, b float64) bool {
	return map[string]func(a, b float64) bool{
		">": func(a, b float64) bool { return a > b }, ">=": func(a, b float64) bool { return a >= b },
		"<": func(a, b float64) bool { return a < b }, "<=": func(a, b float64) bool { return a <= b },
	}[operator]
}

func TestSearch(t *testing.T) {
	e := entryOf("p", map[string]any{"function": "accept", "event": "job.ended", "attempt": 6.0, "state": "dead-lettered"})
	for text, want := range map[string]bool{
		`functionName: "p-accept"`:                                                     true,
		`functionName: "p-accept" and message.attempt > 5`:                             true,
		`message.attempt > 6`:                                                          false,
		`message.attempt >= 6 and message.attempt <= 6`:                                true,
		`message.state: "dead" or message.event: "job.ended"`:                          true,
		`(message.state: "dead" or message.event: "job.ended") and message.missing< 1`: false,
		`message.missing: "<nil>"`:                                                     false,
	} {
		m, _, err := parseSearch(text)
		if err != nil || m(e) != want {
			t.Errorf("%s: want %t, %v", text, want, err)
		}
	}
	for _, text := range []string{"", "message.a", `message.a: b`, `message.a > "5"`, `(message.a > 5`, `message.a > 5)`, `message.a = 5`, `* and message.a > 5`, `message.a > 5 not message.b > 5`} {
		if _, _, err := parseSearch(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
