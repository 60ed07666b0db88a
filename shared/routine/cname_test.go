package routine_test

import (
	"testing"

	"routinely/shared/routine"
)

func TestCNAMENote(t *testing.T) {
	for _, test := range []struct {
		names []string
		want  string
	}{
		{nil, ""},
		{[]string{"a.example.com"}, "a.example.com gets traffic only once its owner has made a CNAME record for it: the ESA console shows the target."},
		{
			[]string{"a.example.com", "b.example.com"},
			"a.example.com, b.example.com get traffic only once their owners have made CNAME records for them: the ESA console shows the targets.",
		},
		{
			[]string{"a.example.com", "b.example.com", "c.example.com", "d.example.com", "e.example.com"},
			"a.example.com, b.example.com, c.example.com and 2 more get traffic only once their owners have made CNAME records for them: the ESA console shows the targets.",
		},
	} {
		if got := routine.CNAMENote(test.names); got != test.want {
			t.Errorf("%v: got %q", test.names, got)
		}
	}
}
