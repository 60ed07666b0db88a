package config

import "fmt"

// Deletion says what a deployment deletes in ESA. It has no default: whoever deploys has to choose.
type Deletion string

// What a deployment deletes.
const (
	// DeleteNever: nothing.
	DeleteNever Deletion = "never"
	// DeleteRequested: what somebody asks to have deleted.
	DeleteRequested Deletion = "requested"
	// DeleteExpiredToo: that, and routines whose time is over.
	DeleteExpiredToo Deletion = "expired-too"
)

const deletionChoices = "never (nothing), requested (what somebody asks to have deleted) or expired-too (that, and routines whose time is over)"

// MayDelete reports whether the deployment deletes what it is asked to delete.
func (d Deletion) MayDelete() bool { return d == DeleteRequested || d == DeleteExpiredToo }

// MayExpire reports whether the deployment deletes routines whose time is over.
func (d Deletion) MayExpire() bool { return d == DeleteExpiredToo }

func (d *Deletion) declare(s *settings) { d.declareAs(s, true) }

// declareOptional is declare where the deletion may be left out; it is then empty.
func (d *Deletion) declareOptional(s *settings) { d.declareAs(s, false) }

func (d *Deletion) declareAs(s *settings, required bool) {
	v := Variable{Name: "ROUTINELY_DELETE", Required: required, Doc: "What is deleted in ESA: " + deletionChoices}
	s.add("text", v, func(value string) error {
		switch *d = Deletion(value); *d {
		case DeleteNever, DeleteRequested, DeleteExpiredToo:
			return nil
		}
		return fmt.Errorf("%q is not one of %s", value, deletionChoices)
	})
}
