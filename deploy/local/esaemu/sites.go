package esaemu

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Site is a zone of the account. AddSite fills what is empty from what is stored of the site, else with the first value that each
// field names, and CreateTime with the time.
type Site struct {
	// ID is given by whoever adds the site.
	ID int64 `json:"id"`
	// Name is the zone, in lower case.
	Name string `json:"name"`
	// Status is active, pending, offline or moved. Records and routes can be made on an active site only.
	Status string `json:"status"`
	// AccessType is NS or CNAME: whether the cloud serves the zone, or only the names that their owner leads to it.
	AccessType string `json:"accessType"`
	// Coverage is domestic, global or overseas.
	Coverage string `json:"coverage"`
	// CnameZone is the zone of the names to which the owner of a site of the AccessType CNAME leads those of the site; other sites have none.
	CnameZone string `json:"cnameZone,omitempty"`
	// CreateTime is in UTC; answers show its whole seconds.
	CreateTime time.Time `json:"createTime"`
}

// defaultCnameZone is this server's; the cloud's are known from examples only.
const defaultCnameZone = "cname.aliyun-esa.net"

// siteWords are the values of a site's fields, which are filters of ListSites too; the first is the default.
func siteWords(field string) []string {
	switch field {
	case "Status":
		return []string{"active", "pending", "offline", "moved"}
	case "AccessType":
		return []string{"NS", "CNAME"}
	}
	return []string{"domestic", "global", "overseas"}
}

// complete fills and checks a site; old is what is stored of it, if anything is.
func (s *Site) complete(old Site, now time.Time) error {
	for _, field := range []struct {
		name  string
		value *string
		old   string
	}{
		{"Status", &s.Status, old.Status}, {"AccessType", &s.AccessType, old.AccessType}, {"Coverage", &s.Coverage, old.Coverage},
	} {
		words := siteWords(field.name)
		*field.value = cmp.Or(*field.value, field.old, words[0])
		if !slices.Contains(words, *field.value) {
			return fmt.Errorf("site %s %q: want one of %s", field.name, *field.value, strings.Join(words, ", "))
		}
	}
	s.CreateTime = cmp.Or(s.CreateTime, old.CreateTime, now)
	if s.AccessType == "CNAME" {
		s.CnameZone = cmp.Or(strings.ToLower(s.CnameZone), old.CnameZone, defaultCnameZone)
	}
	switch {
	case s.AccessType != "CNAME" && s.CnameZone != "":
		return fmt.Errorf("site cnameZone %q: a site of the AccessType NS has none", s.CnameZone)
	case s.CnameZone != "" && !validHostName(s.CnameZone):
		return fmt.Errorf("site cnameZone %q: want a zone", s.CnameZone)
	}
	return nil
}

// cnameOf is the name to which a record of the site must lead for its requests to arrive; on a site whose zone the cloud serves there is
// nothing to do.
func (s Site) cnameOf(recordName string) string {
	if s.CnameZone == "" {
		return ""
	}
	return recordName + "." + s.CnameZone
}

func (s Site) holds(recordName string) bool {
	return recordName == s.Name || strings.HasSuffix(recordName, "."+s.Name)
}

// fields are the site in answers.
func (s Site) fields() answer {
	created := s.CreateTime.Format(time.RFC3339)
	out := answer{
		"SiteId": s.ID, "SiteName": s.Name, "Status": s.Status, "AccessType": s.AccessType, "Coverage": s.Coverage,
		"CnameZone": s.CnameZone, "InstanceId": "esa-site-local", "PlanName": "plan-local", "NameServerList": "",
		"CreateTime": created, "UpdateTime": created,
	}
	if s.AccessType == "NS" {
		out["NameServerList"] = "male1-1.ialicdn.com,female1-1.ialicdn.com"
	}
	return out
}

func (t tx) site(id int64) (Site, error) {
	site, found, err := get[Site](t, bucketSites, idKey(id))
	if err == nil && !found {
		err = refusal(codeSiteMismatch, "no site %d", id)
	}
	return site, err
}

// activeSite refuses a site that is not there or not active.
func (t tx) activeSite(id int64) error {
	site, err := t.site(id)
	if err == nil && site.Status != "active" {
		err = refusal(codeSiteMismatch, "site %d is %s: want an active one", id, site.Status)
	}
	return err
}

// siteOf reads a site and checks that the record name is in its zone; the apex is.
func (t tx) siteOf(id int64, recordName string) (Site, error) {
	site, err := t.site(id)
	if err == nil && !site.holds(recordName) {
		err = refusal(codeSiteMismatch, "%q is not in site %d, %q", recordName, id, site.Name)
	}
	return site, err
}

// addSite stores a site, or changes one, whose name only as long as it has no records.
func (t tx) addSite(site Site, now time.Time) (Site, error) {
	if site.ID < 1 {
		return site, fmt.Errorf("site id %d: want a positive number", site.ID)
	}
	old, found, err := get[Site](t, bucketSites, idKey(site.ID))
	if err != nil {
		return site, err
	}
	site.Name = cmp.Or(strings.ToLower(site.Name), old.Name)
	if !validHostName(site.Name) {
		return site, fmt.Errorf("site name %q: want a zone such as example.com", site.Name)
	}
	if found && old.Name != site.Name && len(t.keys(bucketNames, idKey(site.ID))) > 0 {
		return site, fmt.Errorf("site %d is %s and has records: delete it first", site.ID, old.Name)
	}
	if err := site.complete(old, now); err != nil {
		return site, err
	}
	return site, t.put(bucketSites, idKey(site.ID), site)
}

// removeSite deletes a site with all its records and routes and reports whether there was one.
func (t tx) removeSite(id int64) (bool, error) {
	if t.bucket(bucketSites).Get(idKey(id)) == nil {
		return false, nil
	}
	records, err := list[Record](t, bucketRecords)
	if err != nil {
		return false, err
	}
	for _, r := range records {
		if r.SiteID == id {
			if err := t.removeRecord(r); err != nil {
				return false, err
			}
		}
	}
	routes, err := list[route](t, bucketRoutes)
	if err != nil {
		return false, err
	}
	for _, r := range routes {
		if r.SiteID == id {
			if err := t.remove(bucketRoutes, idKey(r.ConfigID)); err != nil {
				return false, err
			}
		}
	}
	return true, t.remove(bucketSites, idKey(id))
}
