package provision_test

import (
	"testing"

	"routinely/deploy/local/esaemu"
	"routinely/shared/routine"
)

// TestCNAME binds a host name of a site that is accessed by CNAME, and one of a site that is not.
func TestCNAME(t *testing.T) {
	a := start(t)
	must(t, a.AddSite(esaemu.Site{ID: 9, Name: "example.net", AccessType: "CNAME"}))
	req := creates("www")
	req.Records = append(req.Records, routine.Record{SiteID: 9, RecordName: "www.example.net"})
	result := a.does(t, newTask(1, owner, req))
	t.Run("the result says in words which host name needs a CNAME record", func(t *testing.T) {
		same(t, "note", result.Note, routine.CNAMENote([]string{"www.example.net"}))
	})
	t.Run("the claim of the host name remembers it", func(t *testing.T) {
		same(t, "on the site", a.book.record("pr-1", "www.example.net").NeedsCNAME, true)
		same(t, "on the other site", a.book.record("pr-1", "www.example.com").NeedsCNAME, false)
	})
	t.Run("a result without such a host name says nothing", func(t *testing.T) {
		same(t, "note", a.does(t, newTask(2, owner, creates("b"))).Note, "")
	})
}
