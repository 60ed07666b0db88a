package esaemu

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// Routine is one edge routine. Its name is its identity.
type Routine struct {
	// Name is unique in the account.
	Name string `json:"name"`
	// Description is echoed exactly as it was given.
	Description string `json:"description"`
	// HasAssets is the flag given at creation.
	HasAssets bool `json:"hasAssets"`
	// CreateTime is in UTC; answers show its whole seconds.
	CreateTime time.Time `json:"createTime"`
	// Records are those bound to the routine, oldest first; only State fills them.
	Records []Record `json:"records,omitempty"`
	// Routes are those to the routine, by id; only State fills them.
	Routes []Route `json:"routes,omitempty"`
	// Versions are those of its code, the newest first, and Deployments what answers in its environments; only State fills them.
	Versions    []Version    `json:"versions,omitempty"`
	Deployments []Deployment `json:"deployments,omitempty"`
}

func (t *tx) routine(name string) Routine {
	r, found := get[Routine](t, bucketRoutines, []byte(name))
	if !found {
		t.refuse(codeRoutineNotExist, "no routine %q", name)
	}
	return r
}

func (t *tx) known(name string) bool { return t.bucket(bucketRoutines).Get([]byte(name)) != nil }

func (t *tx) addRoutine(r Routine) {
	if t.known(r.Name) {
		t.refuse(codeRoutineAlreadyExist, "there is a routine %q", r.Name)
	}
	t.put(bucketRoutines, []byte(r.Name), r)
}

func (s *Server) createRoutine(p *params) step {
	r := Routine{Name: p.newName(), Description: p.values["Description"], HasAssets: p.oneOf("HasAssets", "false", "true") == "true"}
	return func(t *tx) answer {
		a := t.writable()
		if a.ErService != serviceRunning {
			t.refuse(codeServiceNotOpen, "")
		}
		// A full account still says of a name that it exists: the quota is asked only for a new one.
		r.CreateTime = s.now()
		t.addRoutine(r)
		if used := len(t.keys(bucketRoutines, nil)); used > a.RoutineQuota {
			t.refuse(codeRoutineQuota, "%d routines of %d", used-1, a.RoutineQuota)
		}
		return ok()
	}
}

func (s *Server) getRoutine(p *params) step {
	return withRoutine(p, func(t *tx, r Routine) answer {
		out := s.describe(r)
		delete(out, "RoutineName")
		envs := []answer{}
		for _, env := range environments() {
			envs = append(envs, t.environment(r.Name, env))
		}
		out["Envs"] = envs
		return out
	})
}

// describe names a DefaultRelatedRecord with a part that is the account's own.
func (s *Server) describe(r Routine) answer {
	return answer{
		"RoutineName":          r.Name,
		"Description":          r.Description,
		"HasAssets":            r.HasAssets,
		"CreateTime":           r.CreateTime.Format(time.RFC3339),
		"DefaultRelatedRecord": r.Name + "." + s.subdomain(),
	}
}

// subdomain is the zone of the names that the account's routines have by themselves.
func (s *Server) subdomain() string {
	account := sha256.Sum256([]byte(s.accountID))
	return hex.EncodeToString(account[:4]) + ".er.aliyun-esa.net"
}

func (s *Server) listUserRoutines(p *params) step {
	const maxPage, sizeCap = 10, 20
	page, keyword := p.page(maxPage, sizeCap), p.values["SearchKeyWord"]
	return func(t *tx) answer {
		found := []answer{}
		for _, r := range list(t, bucketRoutines, func(r Routine) bool { return like(r.Name, keyword) }) {
			found = append(found, s.describe(r))
		}
		out := page.answer("Routines", found)
		out["QuotaRoutineNumber"], out["UsedRoutineNumber"] = t.standing().RoutineQuota, len(t.keys(bucketRoutines, nil))
		return out
	}
}

// getUserInfo lists all routines at once, with their descriptions in Base64. The operation is in the SDKs and not among the public pages;
// the MCP server of Alibaba Cloud uses it.
func (s *Server) getUserInfo(*params) step {
	return func(t *tx) answer {
		routines := []answer{}
		for _, r := range list(t, bucketRoutines, every[Routine]) {
			routines = append(routines, answer{
				"RoutineName": r.Name, "Description": base64.StdEncoding.EncodeToString([]byte(r.Description)),
				"CreateTime": r.CreateTime.Format(time.RFC3339),
			})
		}
		return answer{"Routines": routines, "Subdomains": []string{s.subdomain()}}
	}
}

// like is the lists' fuzzy search: any part of the name, in any case.
func like(name, keyword string) bool {
	return strings.Contains(strings.ToLower(name), strings.ToLower(keyword))
}

func (s *Server) updateDescription(p *params) step {
	description := p.values["Description"]
	return withRoutine(p, func(t *tx, r Routine) answer {
		t.writable()
		r.Description = description
		t.put(bucketRoutines, []byte(r.Name), r)
		return ok()
	})
}

// deleteRoutine refuses while records or routes use the routine: whether the cloud does is not documented, and the refusal
// makes callers undo in the order that works either way. Dangling makes it leave them behind. Versions and deployments do not hold it up, as a
// test of the Terraform provider shows.
func (s *Server) deleteRoutine(p *params) step {
	return withRoutine(p, func(t *tx, r Routine) answer {
		a := t.writable()
		if records, routes := len(t.keys(bucketRelated, relatedPrefix(r.Name))), len(t.routesOf(r.Name)); records+routes > 0 && !a.Dangling {
			t.refuse(codeDepended, "%d related records and %d routes use routine %q", records, routes, r.Name)
		}
		t.removeCode(r.Name)
		t.remove(bucketRoutines, []byte(r.Name))
		return ok()
	})
}

// withRoutine is a step on the routine called Name.
func withRoutine(p *params, do func(*tx, Routine) answer) step {
	name := p.text("Name")
	return func(t *tx) answer { return do(t, t.routine(name)) }
}

// ok is the answer of a write that has nothing else to say.
func ok() answer { return answer{"Status": "OK"} }
