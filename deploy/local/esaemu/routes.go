package esaemu

import (
	"cmp"
	"math"
	"strconv"
)

// Route sends a site's requests to a routine by rule.
type Route struct {
	// ConfigID is never given twice.
	ConfigID int64  `json:"configId"`
	SiteID   int64  `json:"siteId"`
	Routine  string `json:"routine"`
	Name     string `json:"name"`
	// Enable, Bypass and Fallback are on or off.
	Enable   string `json:"enable"`
	Rule     string `json:"rule"`
	Bypass   string `json:"bypass"`
	Fallback string `json:"fallback"`
	// Sequence is the route's place among those of its site.
	Sequence int64 `json:"sequence"`
	// Mode is custom or simple.
	Mode string `json:"mode"`
}

// fields are the route's part of an answer.
func (r Route) fields() answer {
	return answer{
		"ConfigId": r.ConfigID, "ConfigType": "rule", "RoutineName": r.Routine, "RouteName": r.Name, "RouteEnable": r.Enable, "Rule": r.Rule,
		"Bypass": r.Bypass, "Fallback": r.Fallback, "Sequence": r.Sequence, "Mode": r.Mode,
	}
}

// route reads what CreateRoutineRoute says about a route. RouteName, RouteEnable and Rule are required since the middle of 2026.
func (p *params) route() Route {
	for _, name := range []string{"SiteId", "RoutineName", "RouteName", "RouteEnable", "Rule"} {
		if p.values[name] == "" {
			p.refuse(codeMissingParameter, "%s is required", name)
		}
	}
	return Route{
		SiteID: p.id("SiteId"), Routine: p.text("RoutineName"), Name: p.text("RouteName"), Rule: p.text("Rule"),
		Enable: p.oneOf("RouteEnable", "on", "off"), Bypass: p.oneOf("Bypass", "off", "on"), Fallback: p.oneOf("Fallback", "off", "on"),
		Mode: p.oneOf("Mode", "custom", "simple"), Sequence: p.number("Sequence", 0, 0, math.MaxInt32),
	}
}

func (s *Server) createRoute(p *params) step {
	r, placed := p.route(), p.values["Sequence"] != ""
	return func(t *tx) answer {
		t.writable()
		t.activeSite(r.SiteID)
		t.routine(r.Routine)
		added := r
		if !placed {
			added.Sequence = t.lastSequence(r.SiteID) + 1
		}
		return answer{"ConfigId": t.addRoute(added)}
	}
}

// addRoute stores a route under a new id.
func (t *tx) addRoute(r Route) (configID int64) {
	r.ConfigID = t.nextID(bucketRoutes, firstConfigID)
	t.put(bucketRoutes, idKey(r.ConfigID), r)
	return r.ConfigID
}

// lastSequence is the place of a site's last route.
func (t *tx) lastSequence(siteID int64) (last int64) {
	for _, r := range list(t, bucketRoutes, func(r Route) bool { return r.SiteID == siteID }) {
		last = max(last, r.Sequence)
	}
	return last
}

// updateRoute changes what is given, and keeps the rest. A route keeps its routine: official clients make another route instead.
func (s *Server) updateRoute(p *params) step {
	word := func(name string, words ...string) string {
		if p.values[name] == "" {
			return ""
		}
		return p.oneOf(name, words...)
	}
	change := Route{
		Name: p.values["RouteName"], Rule: p.values["Rule"], Enable: word("RouteEnable", "on", "off"), Bypass: word("Bypass", "on", "off"),
		Fallback: word("Fallback", "on", "off"), Mode: word("Mode", "custom", "simple"), Sequence: p.number("Sequence", 0, 0, math.MaxInt32),
	}
	routine := p.values["RoutineName"]
	return withRoute(p, func(t *tx, r Route) answer {
		t.writable()
		if routine != "" && routine != r.Routine {
			t.refuse(codeInvalidParameter, "route %d is to routine %q, and keeps it", r.ConfigID, r.Routine)
		}
		r.Name, r.Rule, r.Enable = cmp.Or(change.Name, r.Name), cmp.Or(change.Rule, r.Rule), cmp.Or(change.Enable, r.Enable)
		r.Bypass, r.Fallback = cmp.Or(change.Bypass, r.Bypass), cmp.Or(change.Fallback, r.Fallback)
		r.Mode, r.Sequence = cmp.Or(change.Mode, r.Mode), cmp.Or(change.Sequence, r.Sequence)
		t.put(bucketRoutes, idKey(r.ConfigID), r)
		return answer{}
	})
}

func (s *Server) getRoute(p *params) step {
	return withRoute(p, func(_ *tx, r Route) answer { return r.fields() })
}

func (s *Server) deleteRoute(p *params) step {
	return withRoute(p, func(t *tx, r Route) answer {
		t.writable()
		t.remove(bucketRoutes, idKey(r.ConfigID))
		return answer{}
	})
}

// withRoute is a step on the route with the given SiteId and ConfigId.
func withRoute(p *params, do func(*tx, Route) answer) step {
	siteID := p.id("SiteId")
	configID, err := strconv.ParseInt(p.values["ConfigId"], 10, 64)
	if err != nil {
		p.refuse(codeInvalidConfigID, "ConfigId %q: want a number", p.values["ConfigId"])
	}
	return func(t *tx) answer {
		t.site(siteID)
		r, _ := get[Route](t, bucketRoutes, idKey(configID))
		if r.SiteID != siteID {
			t.refuse(codeConfigNotFound, "site %d has no route %d", siteID, configID)
		}
		return do(t, r)
	}
}

func (t *tx) routesOf(routine string) []Route {
	return list(t, bucketRoutes, func(r Route) bool { return r.Routine == routine })
}

// routePageSize is the largest page of routes, and the default.
const routePageSize = 500

func (s *Server) listRoutes(p *params) step {
	page, routine := p.page(math.MaxInt32, routePageSize), p.text("RoutineName")
	return func(t *tx) answer {
		t.routine(routine)
		found := []answer{}
		for _, r := range t.routesOf(routine) {
			one := r.fields()
			one["SiteId"], one["SiteName"] = r.SiteID, t.site(r.SiteID).Name
			found = append(found, one)
		}
		return page.routes(found)
	}
}

// listSiteRoutes filters by ConfigId. By the page, ConfigType and RouteName work only beside a parameter that there is not.
func (s *Server) listSiteRoutes(p *params) step {
	page, siteID, configID := p.page(math.MaxInt32, routePageSize), p.id("SiteId"), p.number("ConfigId", 0, 1, math.MaxInt64)
	return func(t *tx) answer {
		t.site(siteID)
		found := []answer{}
		for _, r := range list(t, bucketRoutes, func(r Route) bool { return r.SiteID == siteID && (configID == 0 || r.ConfigID == configID) }) {
			found = append(found, r.fields())
		}
		return page.routes(found)
	}
}

// routes is a page of routes.
func (g paging) routes(found []answer) answer {
	out := g.answer("Configs", found)
	out["TotalPage"] = (int64(len(found)) + g.size - 1) / g.size
	return out
}
