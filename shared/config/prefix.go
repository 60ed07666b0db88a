package config

import (
	"fmt"
	"strings"
)

// Prefix is the name of one deployment: everything that a deployment owns in the cloud is named from it, and nothing of it can be
// named apart, so that two deployments of one account cannot share a queue, a table, a function or a role by mistake.
type Prefix string

// DefaultPrefix names a deployment that is not told otherwise.
const DefaultPrefix Prefix = "routinely"

// The bounds leave room for the longest name made of a prefix: functions and roles may have 64 characters.
const (
	shortestPrefix = 2
	longestPrefix  = 20
)

// ParsePrefix checks a prefix: 2 to 20 lower-case letters, digits and hyphens, a letter first, no hyphen last. Queues, functions and
// roles allow hyphens and tables do not (they get underscores), and the deployment tool writes roles in lower case.
func ParsePrefix(text string) (Prefix, error) {
	allowed := func(i int, c byte) bool {
		switch {
		case c >= 'a' && c <= 'z':
			return true
		case c >= '0' && c <= '9':
			return i > 0
		}
		return c == '-' && i > 0 && i < len(text)-1
	}
	ok := len(text) >= shortestPrefix && len(text) <= longestPrefix
	for i := range len(text) {
		ok = ok && allowed(i, text[i])
	}
	if !ok {
		return "", fmt.Errorf("%q is not 2 to 20 lower-case letters, digits and hyphens, a letter first, no hyphen last", text)
	}
	return Prefix(text), nil
}

func (p *Prefix) declare(s *settings) {
	v := Variable{Name: "ROUTINELY_PREFIX", Default: string(DefaultPrefix), Doc: "Name of the deployment, of which the names of its queues, tables, functions and roles are made: 2 to 20 lower-case letters, digits and hyphens"}
	s.add("text", v, func(value string) (err error) {
		*p, err = ParsePrefix(value)
		return err
	})
}

// JobQueue is the queue of the jobs.
func (p Prefix) JobQueue() string { return string(p) + "-jobs" }

// DeadLetterQueue is the queue where the triggers put what they could not deliver.
func (p Prefix) DeadLetterQueue() string { return string(p) + "-jobs-dead" }

// CallbackQueue is the queue of the callbacks.
func (p Prefix) CallbackQueue() string { return string(p) + "-jobs-callbacks" }

// JobTable is the table of the jobs, which are forgotten after the retention.
func (p Prefix) JobTable() string { return p.table() + "_jobs" }

// StateTable is the table of what is never forgotten.
func (p Prefix) StateTable() string { return p.table() + "_state" }

// table is the prefix in a table's name, which may hold letters, digits and underscores (limits page of Tablestore).
func (p Prefix) table() string { return strings.ReplaceAll(string(p), "-", "_") }

// Function is the name of a function and of its role, and of a policy; called is its own name, such as accept.
func (p Prefix) Function(called string) string { return string(p) + "-" + called }
