package esaemu

import (
	"fmt"
	"math"
	"strings"
)

// Site is a zone of the account.
type Site struct {
	// ID is given by whoever adds the site.
	ID int64 `json:"id"`
	// Name is the zone, in lower case.
	Name string `json:"name"`
}

func (t tx) site(id int64) (Site, error) {
	site, found, err := get[Site](t, bucketSites, idKey(id))
	if err == nil && !found {
		err = refusal(codeSiteMismatch, "no site %d", id)
	}
	return site, err
}

// siteOf reads a site and checks that the record name is in its zone; the apex is.
func (t tx) siteOf(id int64, recordName string) (Site, error) {
	site, err := t.site(id)
	if err == nil && !site.holds(recordName) {
		err = refusal(codeSiteMismatch, "%q is not in site %d, %q", recordName, id, site.Name)
	}
	return site, err
}

func (s Site) holds(recordName string) bool {
	return recordName == s.Name || strings.HasSuffix(recordName, "."+s.Name)
}

// addSite stores a site, or renames one that has no records.
func (t tx) addSite(site Site) error {
	if site.ID < 1 {
		return fmt.Errorf("site id %d: want a positive number", site.ID)
	}
	if !validHostName(site.Name) {
		return fmt.Errorf("site name %q: want a zone such as example.com", site.Name)
	}
	site.Name = strings.ToLower(site.Name)
	old, found, err := get[Site](t, bucketSites, idKey(site.ID))
	if err != nil {
		return err
	}
	if found && old.Name != site.Name && len(t.keys(bucketNames, idKey(site.ID))) > 0 {
		return fmt.Errorf("site %d is %s and has records: delete it first", site.ID, old.Name)
	}
	return t.put(bucketSites, idKey(site.ID), site)
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

// getMatchSite finds the site of a record name: the one with the longest zone. The operation is not documented; esa-cli
// uses it.
func (s *Server) getMatchSite(p params) (step, error) {
	name, err := p.hostName("RecordName")
	if err != nil {
		return nil, err
	}
	return func(t tx) (answer, error) {
		sites, err := list[Site](t, bucketSites)
		if err != nil {
			return nil, err
		}
		var best Site
		for _, site := range sites {
			if site.holds(name) && len(site.Name) > len(best.Name) {
				best = site
			}
		}
		if best.ID == 0 {
			return nil, refusal(codeSiteMismatch, "no site holds %q", name)
		}
		return answer{"SiteId": best.ID, "SiteName": best.Name}, nil
	}, nil
}

func (s *Server) listSites(p params) (step, error) {
	const sizeCap = 500
	page, err := p.page(math.MaxInt32, sizeCap)
	if err != nil {
		return nil, err
	}
	how, err := p.oneOf("SiteSearchType", "exact", "prefix", "suffix", "fuzzy")
	if err != nil {
		return nil, err
	}
	return func(t tx) (answer, error) {
		sites, err := list[Site](t, bucketSites)
		if err != nil {
			return nil, err
		}
		found := []answer{}
		for _, site := range sites {
			if matches(site.Name, p["SiteName"], how) {
				found = append(found, answer{
					"SiteId": site.ID, "SiteName": site.Name, "Status": "active", "AccessType": "NS", "Coverage": "domestic",
				})
			}
		}
		return page.answer("Sites", found), nil
	}, nil
}
