package provision_test

import (
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/shared/routine"
)

func TestNoEffect(t *testing.T) {
	asked := func(recordNames ...string) routine.Request {
		req := creates(recordNames...)
		req.Labels = map[string]string{"team": "web"}
		return req
	}
	t.Run("labels of a routine that was there before have none, and the result says so", func(t *testing.T) {
		a := start(t)
		a.plant(t, -time.Hour)
		same(t, "note", a.does(t, newTask(1, owner, asked("a"))).Note, routine.NoEffectNote(asked(), routine.AdoptedThing))
		same(t, "labels", len(a.book.routine("pr-1").Labels), 0)
	})
	t.Run("the result says so beside what is still to do", func(t *testing.T) {
		a := start(t)
		a.plant(t, -time.Hour)
		must(t, a.AddSite(esaemu.Site{ID: 9, Name: "example.net", AccessType: "CNAME"}))
		req := asked()
		req.Records = []routine.Record{{SiteID: 9, RecordName: "www.example.net"}}
		same(t, "note", a.does(t, newTask(1, owner, req)).Note,
			routine.CNAMENote([]string{"www.example.net"})+" "+routine.NoEffectNote(req, routine.AdoptedThing))
	})
	t.Run("those of a routine that the job has made have theirs", func(t *testing.T) {
		a := start(t)
		same(t, "note", a.does(t, newTask(1, owner, asked("a"))).Note, "")
		same(t, "labels", len(a.book.routine("pr-1").Labels), 1)
	})
}
