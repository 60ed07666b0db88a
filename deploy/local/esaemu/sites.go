package esaemu

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Site is a zone of the account. AddSite fills what is empty from what is stored of the site, else with the first value that each
// field names, and CreateTime with the time.
type Site struct {
	// ID is chosen by the caller of AddSite.
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
	if s.ID < 1 {
		return fmt.Errorf("site id %d: want a positive number", s.ID)
	}
	s.Name = cmp.Or(strings.ToLower(s.Name), old.Name)
	if !validHostName(s.Name) {
		return fmt.Errorf("site name %q: want a zone such as example.com", s.Name)
	}
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
			return fmt.Errorf("site %s %q: want one of %v", field.name, *field.value, words)
		}
	}
	s.CreateTime = cmp.Or(s.CreateTime, old.CreateTime, now)
	if s.AccessType == "CNAME" {
		s.CnameZone = cmp.Or(strings.ToLower(s.CnameZone), old.CnameZone, defaultCnameZone)
	}
	if s.CnameZone != "" && (s.AccessType == "NS" || !validHostName(s.CnameZone)) {
		return fmt.Errorf("site cnameZone %q: want a zone, for a site of the AccessType CNAME only", s.CnameZone)
	}
	return nil
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

func (t *tx) site(id int64) Site {
	site, found := get[Site](t, bucketSites, idKey(id))
	if !found {
		t.refuse(codeSiteMismatch, "no site %d", id)
	}
	return site
}

// activeSite refuses a site that is not there or not active.
func (t *tx) activeSite(id int64) {
	if site := t.site(id); site.Status != "active" {
		t.refuse(codeSiteMismatch, "site %d is %s: want an active one", id, site.Status)
	}
}

// siteOf refuses a site that is not there, and a record name outside of its zone; the apex is in it.
func (t *tx) siteOf(id int64, recordName string) {
	if site := t.site(id); !site.holds(recordName) {
		t.refuse(codeSiteMismatch, "%q is not in site %d, %q", recordName, id, site.Name)
	}
}

// addSite stores a site, or changes one.
func (t *tx) addSite(site Site, now time.Time) Site {
	old, found := get[Site](t, bucketSites, idKey(site.ID))
	t.fail(site.complete(old, now))
	if found && old.Name != site.Name && len(t.keys(bucketNames, idKey(site.ID))) > 0 {
		t.fail(fmt.Errorf("site %d is %s and has records, so it keeps its name", site.ID, old.Name))
	}
	t.put(bucketSites, idKey(site.ID), site)
	return site
}

// getMatchSite finds the active site of a record name: the one with the longest zone. The operation is not documented; esa-cli
// uses it, and takes every refusal for a site that is not active.
func (s *Server) getMatchSite(p *params) step {
	name := p.hostName("RecordName")
	return func(t *tx) answer {
		var best Site
		for _, site := range list(t, bucketSites, func(site Site) bool { return site.Status == "active" && site.holds(name) }) {
			if len(site.Name) > len(best.Name) {
				best = site
			}
		}
		if best.ID == 0 {
			t.refuse(codeSiteMismatch, "no active site holds %q", name)
		}
		return answer{"SiteId": best.ID, "SiteName": best.Name}
	}
}

// getSite answers an unknown site with SiteParameterNotMatch, as the routine operations do; the page's own codes were not read.
func (s *Server) getSite(p *params) step {
	id := p.id("SiteId")
	return func(t *tx) answer { return answer{"SiteModel": t.site(id).fields()} }
}

// listSites has no tags to search: a filter by some finds nothing.
func (s *Server) listSites(p *params) step {
	const sizeCap = 500
	page, fits := p.page(math.MaxInt32, sizeCap), p.search("SiteName", "SiteSearchType")
	filters := map[string]string{}
	for _, name := range []string{"Status", "AccessType", "Coverage"} {
		if p.values[name] != "" {
			filters[name] = p.oneOf(name, siteWords(name)...)
		}
	}
	tagged := p.values["TagFilter"] != ""
	return func(t *tx) answer {
		found := []answer{}
		for _, site := range list(t, bucketSites, every[Site]) {
			fields := site.fields()
			wanted := !tagged && fits(site.Name)
			for name, value := range filters {
				wanted = wanted && fields[name] == value
			}
			if wanted {
				found = append(found, fields)
			}
		}
		return page.answer("Sites", found)
	}
}

// search reads a name and how to compare with it; no name fits everything.
func (p *params) search(name, how string) func(string) bool {
	pattern := strings.ToLower(p.values[name])
	kind := p.oneOf(how, "exact", "prefix", "suffix", "fuzzy")
	return func(text string) bool {
		switch {
		case pattern == "":
			return true
		case kind == "prefix":
			return strings.HasPrefix(text, pattern)
		case kind == "suffix":
			return strings.HasSuffix(text, pattern)
		case kind == "fuzzy":
			return strings.Contains(text, pattern)
		}
		return text == pattern
	}
}
