package accept

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"routinely/shared/routine"
)

// query reads the parameters of an address and collects what is wrong with them, as routine.Decode does with a body.
type query struct {
	given    url.Values
	problems []routine.Problem
}

func readQuery(r *http.Request) *query { return &query{given: r.URL.Query()} }

// text takes a parameter; an absent one is empty.
func (q *query) text(name string) string {
	value := q.given.Get(name)
	q.given.Del(name)
	return value
}

// number takes a parameter that is a whole number.
func (q *query) number(name string, otherwise, least, most int64) int64 {
	text := q.text(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		q.wrong(name, "value", fmt.Sprintf("%.40q is not a number from %d to %d", text, least, most))
	}
	return n
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

func (q *query) wrong(name, code, detail string) {
	q.problems = append(q.problems, routine.Problem{Pointer: "/" + name, Code: code, Detail: detail})
}

// maxQueryProblems bounds what is told of an address; somebody who sends a thousand unknown parameters needs no list of them.
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
	q.problems = q.problems[:min(len(q.problems), maxQueryProblems)]
	p := problemParameter.with(q.problems[0].Detail)
	p.Errors = q.problems
	return p
}
