package routine_test

import (
	"testing"

	"routinely/shared/routine"
)

func TestNoEffectNote(t *testing.T) {
	off := false
	all := routine.Request{Name: "shop", ExpiresIn: 1, Protected: &off, Labels: map[string]string{}}
	for _, test := range []struct {
		name      string
		req       routine.Request
		ownership routine.Ownership
		want      string
	}{
		{"of a routine that is owned", all, routine.Owned, ""},
		{"of a request without them", routine.Request{Name: "shop"}, routine.AdoptedThing, ""},
		{"of another action", routine.Request{Action: routine.Renew, Name: "shop", ExpiresIn: 1}, routine.AdoptedThing, ""},
		{
			"of one member",
			routine.Request{Name: "shop", ExpiresIn: 1},
			routine.AdoptedThing,
			"Without effect: expiresIn. The routine is adopted; an operator can claim it (routinely routines claim shop), then submit again.",
		},
		{
			"of all members", all, routine.Unproven,
			"Without effect: expiresIn, protected, labels. The routine is unproven; an operator can claim it (routinely routines claim shop), then submit again.",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := routine.NoEffectNote(test.req, test.ownership); got != test.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
