package accept

import (
	"encoding/json"
	"testing"
	"time"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// holding is what the ledger holds of a routine and of some of its host names.
func (f *function) holding(t testing.TB, name string, recordNames ...string) ledger.Holding {
	t.Helper()
	holdings, err := f.Ledger.Holdings(t.Context(), []ledger.Wanted{{Name: name, RecordNames: recordNames}})
	if err != nil {
		t.Fatal(err)
	}
	return holdings[0]
}

// claims lets a worker alter the claim of a routine.
func (f *function) claims(t testing.TB, name string, alter func(*routine.Claim)) {
	t.Helper()
	if _, err := f.Ledger.ChangeClaim(t.Context(), f.holding(t, name).Claim, func(c *routine.Claim) error {
		alter(c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// binds lets a worker alter the claim of a host name.
func (f *function) binds(t testing.TB, name, recordName string, alter func(*routine.RecordClaim)) {
	t.Helper()
	if _, err := f.Ledger.ChangeRecord(t.Context(), f.holding(t, name, recordName).Records[0], func(c *routine.RecordClaim) error {
		alter(c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// planOf is the body that carries out a plan of these items.
func planOf(t testing.TB, items ...api.PlanItem) string {
	t.Helper()
	text, err := json.Marshal(api.ApplyRequest{Hash: hashOf(items), Items: items})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// made is when the routines of these tests were made in ESA.
var made = now.Add(-time.Hour)

// owns lets a worker have made a routine for a caller, and bound host names to it.
func (f *function) owns(t testing.TB, caller, name string, recordNames ...string) {
	t.Helper()
	f.claims(t, name, func(c *routine.Claim) {
		c.State, c.Ownership, c.Caller, c.CreateTime, c.SeenAt, c.CreateNumber = routine.Live, routine.Owned, caller, made, made, made.UnixMilli()
	})
	for i, recordName := range recordNames {
		f.binds(t, name, recordName, func(c *routine.RecordClaim) {
			c.State, c.Ownership, c.Caller, c.SiteID, c.RecordID, c.Number = routine.Live, routine.Owned, caller, 7, int64(100+i), made.UnixMilli()
		})
	}
}

// deletes lets a worker have deleted a routine with host names.
func (f *function) deletes(t testing.TB, name string, recordNames ...string) {
	t.Helper()
	f.claims(t, name, func(c *routine.Claim) { c.State, c.Ownership = routine.Gone, "" })
	for _, recordName := range recordNames {
		f.binds(t, name, recordName, func(c *routine.RecordClaim) { c.State, c.RecordID = routine.Gone, 0 })
	}
}

// deletion asks for the deletion of a routine, unbinding for that of one host name, renewal for another end of its time.
func deletion(name string, headers ...string) map[string]any {
	return event("DELETE", "/v1/routines/"+name, "", headers...)
}

func unbinding(name, recordName string) map[string]any {
	return event("DELETE", "/v1/routines/"+name+"/records/"+recordName, "")
}

func renewal(name string) map[string]any {
	return event("POST", "/v1/routines/"+name+":renew", `{"expiresIn":"72h"}`)
}

// accepts expects that a job is accepted.
func (f *function) accepts(t *testing.T, e map[string]any) routine.Job {
	t.Helper()
	return read[routine.Job](t, f.call(t, e), 202)
}
