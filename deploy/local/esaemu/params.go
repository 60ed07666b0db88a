package esaemu

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// params are a call's parameters by name, wherever the client put them. Empty values are absent: official clients send
// PageNumber= for a parameter that was not set.
type params map[string]string

// newName reads the name of a routine to be made. The rule is the console guide's; that the API has it too, and answers
// InvalidParameter, is taken for granted. Where a routine is only named, one that cannot be there does not exist.
func (p params) newName() (string, error) {
	name, err := p.text("Name")
	if err == nil && !validRoutineName(name) {
		err = refusal(codeInvalidParameter, "Name %q: want %s", name, routineNameRule)
	}
	return name, err
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
func (p params) hostName(name string) (string, error) {
	value, err := p.text(name)
	if err != nil {
		return "", err
	}
	if !validHostName(value) {
		return "", refusal(codeInvalidParameter,
			"%s %q: want a full host name such as www.example.com, without wildcard, underscore or final dot", name, value)
	}
	return strings.ToLower(value), nil
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

func (p params) text(name string) (string, error) {
	if p[name] == "" {
		return "", refusal(codeInvalidParameter, "%s is required", name)
	}
	return p[name], nil
}

// id reads a required 64-bit identifier.
func (p params) id(name string) (int64, error) {
	if _, err := p.text(name); err != nil {
		return 0, err
	}
	return p.number(name, 0, 1, math.MaxInt64)
}

// number reads an optional integer between low and high.
func (p params) number(name string, absent, low, high int64) (int64, error) {
	if p[name] == "" {
		return absent, nil
	}
	n, err := strconv.ParseInt(p[name], 10, 64)
	if err != nil || n < low || n > high {
		return 0, refusal(codeInvalidParameter, "%s %q: want an integer from %d to %d", name, p[name], low, high)
	}
	return n, nil
}

func (p params) boolean(name string) (bool, error) {
	value, err := p.oneOf(name, "false", "true")
	return value == "true", err
}

// oneOf reads an optional word; the first one is the default.
func (p params) oneOf(name string, words ...string) (string, error) {
	value := cmp.Or(p[name], words[0])
	for _, word := range words {
		if value == word {
			return value, nil
		}
	}
	return "", refusal(codeInvalidParameter, "%s %q: want one of %s", name, value, strings.Join(words, ", "))
}

// paging is the part of a list to answer.
type paging struct {
	number, size int64
}

// page reads PageNumber and PageSize. A size over the cap counts as the cap: the page gives the range, and an official client
// asks for 50 where the cap is 20.
func (p params) page(maxNumber, sizeCap int64) (paging, error) {
	number, err := p.number("PageNumber", 1, 1, maxNumber)
	if err != nil {
		return paging{}, err
	}
	size, err := p.number("PageSize", sizeCap, 1, math.MaxInt32)
	if err != nil {
		return paging{}, err
	}
	return paging{number, min(size, sizeCap)}, nil
}

// answer is one page of all under the name field, beside the numbers every list has.
func (g paging) answer(field string, all []answer) answer {
	total := int64(len(all))
	from := min((g.number-1)*g.size, total)
	return answer{
		field: all[from:min(from+g.size, total)], "TotalCount": total, "PageNumber": g.number, "PageSize": g.size,
	}
}
