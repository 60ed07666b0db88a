package esaemu

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// params are a call's parameters. Reading them keeps the first thing that is wrong with them.
type params struct {
	// values are by name, wherever the client put them. Empty ones are absent: official clients send PageNumber= for a parameter that was
	// not set.
	values map[string]string
	// origin is the scheme and host under which the client reached the server.
	origin string
	err    error
}

func (p *params) refuse(code, format string, args ...any) {
	if p.err == nil {
		p.err = refusal(code, format, args...)
	}
}

// newName reads the name of a routine to be made. The rule is the console guide's; that the API has it too, and answers
// InvalidParameter, is taken for granted. Where a routine is only named, one that cannot be there does not exist.
func (p *params) newName() string {
	name := p.text("Name")
	if !validRoutineName(name) {
		p.refuse(codeInvalidParameter, "Name %q: want %s", name, routineNameRule)
	}
	return name
}

// routineNameRule is what validRoutineName asks for.
const routineNameRule = "2 to 41 lower-case letters, digits and hyphens, a letter first and no hyphen last"

func validRoutineName(name string) bool {
	const shortest, longest = 2, 41
	const letters, others = "abcdefghijklmnopqrstuvwxyz", "0123456789-"
	return len(name) >= shortest && len(name) <= longest && strings.Trim(name, letters+others) == "" &&
		strings.Contains(letters, name[:1]) && !strings.HasSuffix(name, "-")
}

// hostName reads a full host name in lower case, since DNS names that differ in case only are the same.
func (p *params) hostName(name string) string {
	value := p.text(name)
	if !validHostName(value) {
		p.refuse(codeInvalidParameter,
			"%s %q: want a full host name such as www.example.com, without wildcard, underscore or final dot", name, value)
	}
	return strings.ToLower(value)
}

func validHostName(name string) bool {
	labels := strings.Split(name, ".")
	return len(labels) >= 2 && len(name) <= 253 && !slices.ContainsFunc(labels, func(label string) bool {
		return !validLabel(label)
	})
}

// validLabel reports whether text can stand between the dots of a host name.
func validLabel(text string) bool {
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return text != "" && len(text) <= 63 && text[0] != '-' && text[len(text)-1] != '-'
}

// text reads a required parameter.
func (p *params) text(name string) string {
	if p.values[name] == "" {
		p.refuse(codeInvalidParameter, "%s is required", name)
	}
	return p.values[name]
}

// id reads a required 64-bit identifier.
func (p *params) id(name string) int64 {
	p.text(name)
	return p.number(name, 0, 1, math.MaxInt64)
}

// number reads an optional integer between low and high.
func (p *params) number(name string, absent, low, high int64) int64 {
	if p.values[name] == "" {
		return absent
	}
	n, err := strconv.ParseInt(p.values[name], 10, 64)
	if err != nil || n < low || n > high {
		p.refuse(codeInvalidParameter, "%s %q: want an integer from %d to %d", name, p.values[name], low, high)
	}
	return n
}

// oneOf reads an optional word; the first one is the default.
func (p *params) oneOf(name string, words ...string) string {
	value := cmp.Or(p.values[name], words[0])
	if !slices.Contains(words, value) {
		p.refuse(codeInvalidParameter, "%s %q: want one of %s", name, value, strings.Join(words, ", "))
	}
	return value
}

// paging is the part of a list to answer.
type paging struct {
	number, size int64
}

// page reads PageNumber and PageSize. A size over the cap counts as the cap: the page gives the range, and an official client
// asks for 50 where the cap is 20.
func (p *params) page(maxNumber, sizeCap int64) paging {
	return paging{p.number("PageNumber", 1, 1, maxNumber), min(p.number("PageSize", sizeCap, 1, math.MaxInt32), sizeCap)}
}

// answer is one page of all under the name field, beside the numbers every list has.
func (g paging) answer(field string, all []answer) answer {
	total := int64(len(all))
	from := min((g.number-1)*g.size, total)
	return answer{
		field: all[from:min(from+g.size, total)], "TotalCount": total, "PageNumber": g.number, "PageSize": g.size,
	}
}
