package esaemu

import (
	"encoding/json"
	"math"
)

// getMatchSite finds the active site of a record name: the one with the longest zone. The operation is not documented; esa-cli
// uses it, and takes every refusal for a site that is not active.
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
			if site.Status == "active" && site.holds(name) && len(site.Name) > len(best.Name) {
				best = site
			}
		}
		if best.ID == 0 {
			return nil, refusal(codeSiteMismatch, "no active site holds %q", name)
		}
		return answer{"SiteId": best.ID, "SiteName": best.Name}, nil
	}, nil
}

// getSite answers an unknown site with SiteParameterNotMatch, as the routine operations do; the page's own codes were not read.
func (s *Server) getSite(p params) (step, error) {
	id, err := p.id("SiteId")
	if err != nil {
		return nil, err
	}
	return func(t tx) (answer, error) {
		site, err := t.site(id)
		return answer{"SiteModel": site.fields()}, err
	}, nil
}

func (s *Server) listSites(p params) (step, error) {
	const sizeCap = 500
	page, err := p.page(math.MaxInt32, sizeCap)
	if err != nil {
		return nil, err
	}
	wanted, err := p.siteFilter()
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
			if wanted(site) {
				found = append(found, site.fields())
			}
		}
		return page.answer("Sites", found), nil
	}, nil
}

// siteFilter reads what ListSites can ask for: a name, a status, an access type, a coverage, and tags, which no site has here.
func (p params) siteFilter() (func(Site) bool, error) {
	how, err := p.oneOf("SiteSearchType", "exact", "prefix", "suffix", "fuzzy")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Status", "AccessType", "Coverage"} {
		if _, err := p.oneOf(name, siteWords(name)...); err != nil {
			return nil, err
		}
	}
	var tags []struct{ Key, Value string }
	if text := p["TagFilter"]; text != "" {
		if err := json.Unmarshal([]byte(text), &tags); err != nil {
			return nil, refusal(codeInvalidParameter, "TagFilter: %v", err)
		}
	}
	asked := func(name, value string) bool { return p[name] == "" || p[name] == value }
	return func(site Site) bool {
		return len(tags) == 0 && matches(site.Name, p["SiteName"], how) &&
			asked("Status", site.Status) && asked("AccessType", site.AccessType) && asked("Coverage", site.Coverage)
	}, nil
}
