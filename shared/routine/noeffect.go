package routine

import (
	"fmt"
	"strings"
)

// NoEffectNote says which members of a request had no effect because the routine is not owned: what only an owner gives. It is empty if all had theirs.
func NoEffectNote(req Request, ownership Ownership) string {
	if ownership == Owned || req.Action != Create {
		return ""
	}
	var members []string
	for _, m := range []struct {
		name  string
		given bool
	}{{"expiresIn", req.ExpiresIn != 0}, {"protected", req.Protected != nil}, {"labels", req.Labels != nil}} {
		if m.given {
			members = append(members, m.name)
		}
	}
	if len(members) == 0 {
		return ""
	}
	return fmt.Sprintf("Without effect: %s. The routine is %s; an operator can claim it (routinely routines claim %s), then submit again.",
		strings.Join(members, ", "), ownership, req.Name)
}
