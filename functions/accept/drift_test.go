package accept

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/api"
	"routinely/shared/routine"
)

// drift asks what differs, and writes the findings in short.
func (f *function) drift(t *testing.T) (api.Drift, []string) {
	t.Helper()
	d := read[api.Drift](t, f.call(t, event("GET", "/v1/routines:check", "")), 200)
	out := []string{}
	for _, finding := range d.Findings {
		out = append(out, finding.Name+" "+finding.What)
	}
	return d, out
}

// showsRoutines lets the janitor read routines from ESA, some time after the claims were changed.
func (f *function) showsRoutines(t testing.TB, seen ...routine.ListedRoutine) {
	t.Helper()
	f.clock.Advance(time.Hour)
	if err := f.Ledger.SetListing(t.Context(), routine.Listing{ReadAt: f.clock.Now(), Limit: 20, Used: int64(len(seen)), Routines: seen}); err != nil {
		t.Fatal(err)
	}
}

func TestDrift(t *testing.T) {
	t.Run("is not known before anybody has read the account's routines", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		if d, found := f.drift(t); !d.ReadAt.IsZero() || len(found) != 0 {
			t.Errorf("got %+v", d)
		}
	})
	t.Run("is what differs between the claims and ESA, with what to do", func(t *testing.T) {
		f := start(t)
		for _, name := range []string{"adopted", "again", "gone", "same"} {
			f.owns(t, anonymous, name)
		}
		f.claims(t, "adopted", func(c *routine.Claim) { c.Ownership = routine.AdoptedThing })
		f.showsRoutines(t,
			routine.ListedRoutine{Name: "again", CreateTime: made.Add(time.Second)}, routine.ListedRoutine{Name: "same", CreateTime: made},
			routine.ListedRoutine{Name: "foreign", CreateTime: made},
		)
		d, _ := f.drift(t)
		want := []api.Finding{
			{Name: "adopted", What: "gone", Detail: "ESA does not have it any more: somebody else deleted it. Ask for it again to make it again"},
			{
				Name: "again", What: "made-again", Command: "routinely routines claim again",
				Detail: "somebody else has made it again: ESA shows one of 2026-01-15T05:28:18Z, the claim is of 2026-01-15T05:28:17Z",
			},
			{Name: "foreign", What: "unclaimed", Detail: "ESA has had it since 2026-01-15T05:28:17Z, and Routinely has no claim to it", Command: "routinely routines claim foreign"},
			{
				Name: "gone", What: "gone", Command: "routinely routines delete gone",
				Detail: "ESA does not have it any more: somebody else deleted it. Ask for it again to make it again, or delete it",
			},
		}
		if diff := cmp.Diff(want, d.Findings); diff != "" || !d.ReadAt.Equal(f.clock.Now()) || d.More {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("does not look at what was changed after ESA was read", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "again")
		f.owns(t, anonymous, "deleted")
		f.showsRoutines(t, routine.ListedRoutine{Name: "again", CreateTime: made}, routine.ListedRoutine{Name: "deleted", CreateTime: made},
			routine.ListedRoutine{Name: "claimed", CreateTime: made})
		f.owns(t, anonymous, "new")
		f.claims(t, "again", func(c *routine.Claim) { c.CreateTime = f.clock.Now() })
		f.deletes(t, "deleted")
		f.owns(t, anonymous, "claimed")
		if _, found := f.drift(t); len(found) != 0 {
			t.Errorf("got %q", found)
		}
	})
	t.Run("does not look at what is being made or deleted", func(t *testing.T) {
		f := start(t)
		for state, name := range map[routine.ClaimState]string{routine.Creating: "new", routine.Deleting: "leaving", routine.Gone: "gone"} {
			f.claims(t, name, func(c *routine.Claim) { c.State, c.CreateTime = state, made })
		}
		f.showsRoutines(t)
		if _, found := f.drift(t); len(found) != 0 {
			t.Errorf("got %q", found)
		}
	})
	t.Run("is a routine that somebody has made after its deletion", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		f.deletes(t, "pr-1")
		f.showsRoutines(t, routine.ListedRoutine{Name: "pr-1", CreateTime: now})
		if _, found := f.drift(t); !cmp.Equal(found, []string{"pr-1 unclaimed"}) {
			t.Errorf("got %q", found)
		}
	})
	for _, test := range []struct {
		claimed, shown string
		ownership      routine.Ownership
		differs        bool
	}{
		{"one", "one", routine.Owned, false},
		{"one", "two", routine.Owned, true},
		{"", "two", routine.Owned, true},
		{"one", "one and more", routine.Owned, true},
		{"one…", "one and more", routine.Owned, false},
		{"one…", "two", routine.Owned, true},
		{"one", "b25l", routine.Owned, false}, // ESA's pages show descriptions in Base64
		{"one", "two", routine.AdoptedThing, false},
	} {
		t.Run(fmt.Sprintf("is that the description %q of a routine that is %s is %q: %t", test.claimed, test.ownership, test.shown, test.differs), func(t *testing.T) {
			f := start(t)
			f.owns(t, anonymous, "pr-1")
			f.claims(t, "pr-1", func(c *routine.Claim) { c.Description, c.Ownership = test.claimed, test.ownership })
			f.showsRoutines(t, routine.ListedRoutine{Name: "pr-1", CreateTime: made, Description: test.shown})
			if _, found := f.drift(t); (len(found) == 1) != test.differs || test.differs && found[0] != "pr-1 description" {
				t.Errorf("got %q", found)
			}
		})
	}
	t.Run("is what others have bound to a routine, with when that was read and what follows", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		f.clock.Advance(time.Hour)
		read := f.clock.Now()
		f.showsRoutines(t, routine.ListedRoutine{Name: "pr-1", CreateTime: made, Foreign: &routine.Foreign{
			ReadAt: read, Records: []string{"a.example.com", "b.example.com"}, MoreRecords: 3, Routes: []string{`"all" of site 7`},
		}})
		d, _ := f.drift(t)
		at := read.Format(time.RFC3339)
		want := []api.Finding{
			{
				Name: "pr-1", What: "foreign-record", Command: "routinely routines claim pr-1",
				Detail: "at " + at + " ESA showed records that no claim owns: a.example.com, b.example.com and 3 more. A deletion of the routine is refused " +
					"while they are there: claim them with the routine, or remove them in the ESA console",
			},
			{
				Name: "pr-1", What: "foreign-route", Detail: "at " + at + ` ESA showed routes that no claim owns: "all" of site 7. A deletion of the routine ` +
					"is refused while they are there: remove them in the ESA console",
			},
		}
		if diff := cmp.Diff(want, d.Findings); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("is not what others had bound before the claim was changed: it may have been claimed since", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		f.clock.Advance(time.Hour)
		foreign := &routine.Foreign{ReadAt: f.clock.Now(), Records: []string{"a.example.com"}}
		f.claims(t, "pr-1", func(c *routine.Claim) { c.CreateJob = "j" })
		f.showsRoutines(t, routine.ListedRoutine{Name: "pr-1", CreateTime: made, Foreign: foreign})
		if _, found := f.drift(t); len(found) != 0 {
			t.Errorf("got %q", found)
		}
	})
	t.Run("is cut if there is much of it, and says so", func(t *testing.T) {
		f := start(t)
		var seen []routine.ListedRoutine
		for i := range api.MaxFindings + 1 {
			seen = append(seen, routine.ListedRoutine{Name: fmt.Sprintf("r-%03d", i)})
		}
		f.showsRoutines(t, seen...)
		if d, found := f.drift(t); len(found) != api.MaxFindings || !d.More || found[0] != "r-000 unclaimed" {
			t.Errorf("%d findings, more %t", len(found), d.More)
		}
	})
}
