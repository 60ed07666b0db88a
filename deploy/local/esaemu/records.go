package esaemu

import (
	"math"
	"strings"
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
func (t tx) addRecord(r Record, now time.Time) (Record, error) {
	if _, err := t.siteOf(r.SiteID, r.RecordName); err != nil {
		return r, err
	}
	if err := t.nameFree(r); err != nil {
		return r, err
	}
	id, err := t.nextID(bucketRecords, firstRecordID)
	if err != nil {
		return r, err
	}
	r.RecordID, r.CreateTime = id, now
	if err := t.put(bucketRecords, idKey(id), r); err != nil {
		return r, err
	}
	if r.Routine != "" {
		if err := t.bucket(bucketRelated).Put(relatedKey(r), nil); err != nil {
			return r, err
		}
	}
	return r, t.bucket(bucketNames).Put(nameKey(r.SiteID, r.RecordName), idKey(id))
}

// nameFree refuses a name that is taken. What the two codes mean is not documented: DependedByOthers was met where an ordinary
// record had the name.
func (t tx) nameFree(r Record) error {
	id := t.bucket(bucketNames).Get(nameKey(r.SiteID, r.RecordName))
	if id == nil {
		return nil
	}
	holder, _, err := get[Record](t, bucketRecords, id)
	switch {
	case err != nil:
		return err
	case holder.Routine == "":
		return refusal(codeDepended, "site %d has a record %q, an ordinary one", r.SiteID, r.RecordName)
	}
	return refusal(codeParameterExists, "site %d has a record %q of routine %q", r.SiteID, r.RecordName, holder.Routine)
}

func (t tx) removeRecord(r Record) error {
	if r.Routine != "" {
		if err := t.remove(bucketRelated, relatedKey(r)); err != nil {
			return err
		}
	}
	if err := t.remove(bucketNames, nameKey(r.SiteID, r.RecordName)); err != nil {
		return err
	}
	return t.remove(bucketRecords, idKey(r.RecordID))
}

// recordsOf lists a routine's records, oldest first.
func (t tx) recordsOf(routine string) ([]Record, error) {
	out := []Record{}
	for _, id := range t.keys(bucketRelated, relatedPrefix(routine)) {
		r, _, err := get[Record](t, bucketRecords, id)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (s *Server) createRelatedRecord(p params) (step, error) {
	r, err := p.record()
	if err != nil {
		return nil, err
	}
	return func(t tx) (answer, error) {
		a, err := t.writable()
		if err != nil {
			return nil, err
		}
		if _, err := t.routine(r.Routine); err != nil {
			return nil, err
		}
		if err := t.activeSite(r.SiteID); err != nil {
			return nil, err
		}
		// A full routine still says of a name that it is taken: the quota is asked only for a new one.
		added, err := t.addRecord(r, s.now())
		if err == nil {
			err = t.withinQuota(a, r.Routine)
		}
		return answer{"Status": "OK", "RecordId": added.RecordID}, err
	}, nil
}

// withinQuota counts the records of a routine, the newest included, and the sites they are of.
func (t tx) withinQuota(a Standing, routine string) error {
	records, err := t.recordsOf(routine)
	if err != nil {
		return err
	}
	sites := map[int64]bool{}
	for _, r := range records {
		sites[r.SiteID] = true
	}
	switch {
	case len(sites) > a.SiteQuota:
		return refusal(codeRecordQuota, "%d sites of %d", len(sites), a.SiteQuota)
	case a.RecordQuota > 0 && len(records) > a.RecordQuota:
		return refusal(codeRecordQuota, "%d related records of %d", len(records), a.RecordQuota)
	}
	return nil
}

// record reads what CreateRoutineRelatedRecord and DeleteRoutineRelatedRecord say about a record.
func (p params) record() (Record, error) {
	routine, err := p.text("Name")
	if err != nil {
		return Record{}, err
	}
	site, err := p.id("SiteId")
	if err != nil {
		return Record{}, err
	}
	name, err := p.hostName("RecordName")
	return Record{Routine: routine, SiteID: site, RecordName: name}, err
}

func (s *Server) deleteRelatedRecord(p params) (step, error) {
	want, err := p.record()
	if err != nil {
		return nil, err
	}
	if want.RecordID, err = p.id("RecordId"); err != nil {
		return nil, err
	}
	return func(t tx) (answer, error) {
		if _, err := t.writable(); err != nil {
			return nil, err
		}
		if _, err := t.routine(want.Routine); err != nil {
			return nil, err
		}
		if _, err := t.siteOf(want.SiteID, want.RecordName); err != nil {
			return nil, err
		}
		r, found, err := get[Record](t, bucketRecords, idKey(want.RecordID))
		if err != nil {
			return nil, err
		}
		want.CreateTime = r.CreateTime
		if !found || r != want {
			return nil, refusal(codeParameterNotExist, "routine %q has no record %d called %q in site %d",
				want.Routine, want.RecordID, want.RecordName, want.SiteID)
		}
		return ok(), t.removeRecord(r)
	}, nil
}

func (s *Server) listRelatedRecords(p params) (step, error) {
	const sizeCap = 20
	page, err := p.page(math.MaxInt32, sizeCap)
	if err != nil {
		return nil, err
	}
	return s.withRoutine(p, func(t tx, routine Routine) (answer, error) {
		records, err := t.recordsOf(routine.Name)
		if err != nil {
			return nil, err
		}
		found := []answer{}
		for _, r := range records {
			if !s.listed(r) || !like(r.RecordName, p["SearchKeyWord"]) {
				continue
			}
			site, _, err := get[Site](t, bucketSites, idKey(r.SiteID))
			if err != nil {
				return nil, err
			}
			found = append(found, answer{
				"RecordName": r.RecordName, "RecordId": r.RecordID, "SiteId": r.SiteID, "SiteName": site.Name,
			})
		}
		return page.answer("RelatedRecords", found), nil
	})
}

// listed reports whether a record is old enough to be seen in lists.
func (s *Server) listed(r Record) bool {
	return !s.clock.Now().Before(r.CreateTime.Add(time.Duration(s.listDelay.Load())))
}

// listEdgeRoutineRecords is the site's view of the records bound to routines.
func (s *Server) listEdgeRoutineRecords(p params) (step, error) {
	const sizeCap = 500
	page, err := p.page(math.MaxInt32, sizeCap)
	if err != nil {
		return nil, err
	}
	siteID, err := p.id("SiteId")
	if err != nil {
		return nil, err
	}
	match, err := p.oneOf("RecordMatchType", "exact", "prefix", "suffix", "fuzzy")
	if err != nil {
		return nil, err
	}
	return func(t tx) (answer, error) {
		site, err := t.site(siteID)
		if err != nil {
			return nil, err
		}
		records, err := list[Record](t, bucketRecords)
		if err != nil {
			return nil, err
		}
		found := []answer{}
		for _, r := range records {
			if r.SiteID == siteID && r.Routine != "" && s.listed(r) && matches(r.RecordName, p["RecordName"], match) {
				created := r.CreateTime.Format(time.RFC3339)
				found = append(found, answer{
					"RecordName": r.RecordName, "SiteId": r.SiteID, "SiteName": site.Name,
					"RecordCname": site.cnameOf(r.RecordName), "CreateTime": created, "UpdateTime": created,
				})
			}
		}
		return page.answer("Records", found), nil
	}, nil
}

// matches compares as the lists' match and search types say; no pattern matches everything.
func matches(name, pattern, how string) bool {
	pattern = strings.ToLower(pattern)
	switch {
	case pattern == "":
		return true
	case how == "prefix":
		return strings.HasPrefix(name, pattern)
	case how == "suffix":
		return strings.HasSuffix(name, pattern)
	case how == "fuzzy":
		return strings.Contains(name, pattern)
	}
	return name == pattern
}
