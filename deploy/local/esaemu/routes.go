package esaemu

import (
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
		"ConfigId": r.ConfigID, "RoutineName": r.Routine, "RouteName": r.Name, "RouteEnable": r.Enable, "Rule": r.Rule,
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

func (s *Server) listRoutes(p *params) step {
	const sizeCap = 500
	page, routine := p.page(math.MaxInt32, sizeCap), p.text("RoutineName")
	return func(t *tx) answer {
		t.routine(routine)
		found := []answer{}
		for _, r := range t.routesOf(routine) {
			one := r.fields()
			one["SiteId"], one["SiteName"] = r.SiteID, t.site(r.SiteID).Name
			found = append(found, one)
		}
		out := page.answer("Configs", found)
		out["TotalPage"] = (int64(len(found)) + page.size - 1) / page.size
		return out
	}
}
