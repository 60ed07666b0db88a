package esaemu

import (
	"math"
	"time"
)

// Record is one record of a site: bound to a routine, or an ordinary one that only takes up its name.
type Record struct {
	// RecordID is never given twice.
	RecordID int64 `json:"recordId"`
	// SiteID is the site the name belongs to.
	SiteID int64 `json:"siteId"`
	// RecordName is the full host name, in lower case.
	RecordName string `json:"recordName"`
	// Routine is the routine the record is bound to, empty for an ordinary record.
	Routine string `json:"routine,omitempty"`
	// CreateTime decides when the record appears in the lists.
	CreateTime time.Time `json:"createTime"`
}

func relatedPrefix(routine string) []byte { return append([]byte(routine), 0) }

func relatedKey(r Record) []byte { return append(relatedPrefix(r.Routine), idKey(r.RecordID)...) }

func nameKey(siteID int64, name string) []byte { return append(idKey(siteID), name...) }

// addRecord stores a record under a new id. The name has to be in the zone and free.
func (t *tx) addRecord(r Record, now time.Time) Record {
	t.siteOf(r.SiteID, r.RecordName)
	t.nameFree(r)
	r.RecordID, r.CreateTime = t.nextID(bucketRecords, firstRecordID), now
	t.put(bucketRecords, idKey(r.RecordID), r)
	t.putRaw(bucketNames, nameKey(r.SiteID, r.RecordName), idKey(r.RecordID))
	if r.Routine != "" {
		t.putRaw(bucketRelated, relatedKey(r), nil)
	}
	return r
}

// nameFree refuses a name that is taken. What the two codes mean is not documented: DependedByOthers was met where an ordinary
// record had the name.
func (t *tx) nameFree(r Record) {
	id := t.bucket(bucketNames).Get(nameKey(r.SiteID, r.RecordName))
	if id == nil {
		return
	}
	if holder, _ := get[Record](t, bucketRecords, id); holder.Routine != "" {
		t.refuse(codeParameterExists, "site %d has a record %q of routine %q", r.SiteID, r.RecordName, holder.Routine)
	}
	t.refuse(codeDepended, "site %d has a record %q, an ordinary one", r.SiteID, r.RecordName)
}

func (t *tx) removeRecord(r Record) {
	t.remove(bucketRelated, relatedKey(r))
	t.remove(bucketNames, nameKey(r.SiteID, r.RecordName))
	t.remove(bucketRecords, idKey(r.RecordID))
}

// recordsOf lists a routine's records, oldest first.
func (t *tx) recordsOf(routine string) []Record {
	out := []Record{}
	for _, id := range t.keys(bucketRelated, relatedPrefix(routine)) {
		r, _ := get[Record](t, bucketRecords, id)
		out = append(out, r)
	}
	return out
}

// record reads what CreateRoutineRelatedRecord and DeleteRoutineRelatedRecord say about a record.
func (p *params) record() Record {
	return Record{Routine: p.text("Name"), SiteID: p.id("SiteId"), RecordName: p.hostName("RecordName")}
}

func (s *Server) createRelatedRecord(p *params) step {
	r := p.record()
	return func(t *tx) answer {
		a := t.writable()
		t.routine(r.Routine)
		t.activeSite(r.SiteID)
		// A full routine still says of a name that it is taken: the quota is asked only for a new one.
		added := t.addRecord(r, s.now())
		t.withinQuota(a, r.Routine)
		return answer{"Status": "OK", "RecordId": added.RecordID}
	}
}

// withinQuota counts the records of a routine, the newest included, and the sites they are of.
func (t *tx) withinQuota(a Standing, routine string) {
	records, sites := t.recordsOf(routine), map[int64]bool{}
	for _, r := range records {
		sites[r.SiteID] = true
	}
	if len(sites) > a.SiteQuota {
		t.refuse(codeRecordQuota, "%d sites of %d", len(sites), a.SiteQuota)
	}
	if a.RecordQuota > 0 && len(records) > a.RecordQuota {
		t.refuse(codeRecordQuota, "%d related records of %d", len(records), a.RecordQuota)
	}
}

func (s *Server) deleteRelatedRecord(p *params) step {
	want := p.record()
	want.RecordID = p.id("RecordId")
	return func(t *tx) answer {
		t.writable()
		t.routine(want.Routine)
		t.siteOf(want.SiteID, want.RecordName)
		r, found := get[Record](t, bucketRecords, idKey(want.RecordID))
		want.CreateTime = r.CreateTime
		if !found || r != want {
			t.refuse(codeParameterNotExist, "routine %q has no record %d called %q in site %d",
				want.Routine, want.RecordID, want.RecordName, want.SiteID)
		}
		t.removeRecord(r)
		return ok()
	}
}

func (s *Server) listRelatedRecords(p *params) step {
	const sizeCap = 20
	page, keyword := p.page(math.MaxInt32, sizeCap), p.values["SearchKeyWord"]
	return withRoutine(p, func(t *tx, routine Routine) answer {
		found := []answer{}
		for _, r := range t.recordsOf(routine.Name) {
			if s.listed(r) && like(r.RecordName, keyword) {
				found = append(found, answer{
					"RecordName": r.RecordName, "RecordId": r.RecordID, "SiteId": r.SiteID, "SiteName": t.site(r.SiteID).Name,
				})
			}
		}
		return page.answer("RelatedRecords", found)
	})
}

// listed reports whether a record is old enough to be seen in lists.
func (s *Server) listed(r Record) bool {
	return !s.clock.Now().Before(r.CreateTime.Add(time.Duration(s.listDelay.Load())))
}
