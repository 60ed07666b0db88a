package esaemu

import (
	"cmp"
	"math"
)

// route sends a site's requests to a routine by rule.
type route struct {
	ConfigID int64  `json:"configId"`
	SiteID   int64  `json:"siteId"`
	Routine  string `json:"routine"`
	Name     string `json:"name"`
	Enable   string `json:"enable"`
	Rule     string `json:"rule"`
	Bypass   string `json:"bypass"`
	Fallback string `json:"fallback"`
	Sequence int64  `json:"sequence"`
	Mode     string `json:"mode"`
}

// fields are the route's part of an answer.
func (r route) fields() answer {
	return answer{
		"ConfigId": r.ConfigID, "RoutineName": r.Routine, "RouteName": r.Name, "RouteEnable": r.Enable, "Rule": r.Rule,
		"Bypass": r.Bypass, "Fallback": r.Fallback, "Sequence": r.Sequence, "Mode": cmp.Or(r.Mode, "custom"),
	}
}

// route reads what CreateRoutineRoute says about a route. RouteName, RouteEnable and Rule are required since the middle of 2026.
func (p params) route() (route, error) {
	r := route{Name: p["RouteName"], Rule: p["Rule"]}
	for _, name := range []string{"SiteId", "RoutineName", "RouteName", "RouteEnable", "Rule"} {
		if p[name] == "" {
			return r, refusal(codeMissingParameter, "%s is required", name)
		}
	}
	var err error
	if r.SiteID, err = p.id("SiteId"); err != nil {
		return r, err
	}
	if r.Routine, err = p.text("RoutineName"); err != nil {
		return r, err
	}
	if r.Enable, err = p.oneOf("RouteEnable", "on", "off"); err != nil {
		return r, err
	}
	if r.Bypass, err = p.oneOf("Bypass", "off", "on"); err != nil {
		return r, err
	}
	if r.Fallback, err = p.oneOf("Fallback", "off", "on"); err != nil {
		return r, err
	}
	if r.Mode, err = p.oneOf("Mode", "custom", "simple"); err != nil {
		return r, err
	}
	r.Sequence, err = p.number("Sequence", 0, 0, math.MaxInt32)
	return r, err
}

func (s *Server) createRoute(p params) (step, error) {
	r, err := p.route()
	if err != nil {
		return nil, err
	}
	return func(t tx) (answer, error) {
		if _, err := t.writable(); err != nil {
			return nil, err
		}
		if err := t.activeSite(r.SiteID); err != nil {
			return nil, err
		}
		if _, err := t.routine(r.Routine); err != nil {
			return nil, err
		}
		id, err := t.nextID(bucketRoutes, firstConfigID)
		if err != nil {
			return nil, err
		}
		added := r
		if added.ConfigID = id; p["Sequence"] == "" {
			if added.Sequence, err = t.lastSequence(r.SiteID); err != nil {
				return nil, err
			}
		}
		return answer{"ConfigId": id}, t.put(bucketRoutes, idKey(id), added)
	}, nil
}

// lastSequence is the place behind all routes of a site.
func (t tx) lastSequence(siteID int64) (int64, error) {
	all, err := list[route](t, bucketRoutes)
	last := int64(0)
	for _, r := range all {
		if r.SiteID == siteID {
			last = max(last, r.Sequence)
		}
	}
	return last + 1, err
}

func (s *Server) getRoute(p params) (step, error) {
	return withRoute(p, func(_ tx, r route) (answer, error) { return r.fields(), nil })
}

func (s *Server) deleteRoute(p params) (step, error) {
	return withRoute(p, func(t tx, r route) (answer, error) {
		if _, err := t.writable(); err != nil {
			return nil, err
		}
		return answer{}, t.remove(bucketRoutes, idKey(r.ConfigID))
	})
}

// withRoute is a step on the route with the given SiteId and ConfigId.
func withRoute(p params, do func(tx, route) (answer, error)) (step, error) {
	siteID, err := p.id("SiteId")
	if err != nil {
		return nil, err
	}
	configID, err := p.id("ConfigId")
	if err != nil {
		return nil, refusal(codeInvalidConfigID, "ConfigId %q: want a number", p["ConfigId"])
	}
	return func(t tx) (answer, error) {
		if _, err := t.site(siteID); err != nil {
			return nil, err
		}
		r, _, err := get[route](t, bucketRoutes, idKey(configID))
		if err != nil {
			return nil, err
		}
		if r.SiteID != siteID {
			return nil, refusal(codeConfigNotFound, "site %d has no route %d", siteID, configID)
		}
		return do(t, r)
	}, nil
}

func (t tx) routesOf(routine string) ([]route, error) {
	all, err := list[route](t, bucketRoutes)
	var out []route
	for _, r := range all {
		if r.Routine == routine {
			out = append(out, r)
		}
	}
	return out, err
}

func (s *Server) listRoutes(p params) (step, error) {
	const sizeCap = 500
	page, err := p.page(math.MaxInt32, sizeCap)
	if err != nil {
		return nil, err
	}
	routine, err := p.text("RoutineName")
	if err != nil {
		return nil, err
	}
	return func(t tx) (answer, error) {
		if _, err := t.routine(routine); err != nil {
			return nil, err
		}
		routes, err := t.routesOf(routine)
		if err != nil {
			return nil, err
		}
		found := []answer{}
		for _, r := range routes {
			site, err := t.site(r.SiteID)
			if err != nil {
				return nil, err
			}
			one := r.fields()
			one["SiteId"], one["SiteName"] = site.ID, site.Name
			found = append(found, one)
		}
		out := page.answer("Configs", found)
		out["TotalPage"] = (int64(len(found)) + page.size - 1) / page.size
		return out, nil
	}, nil
}
