package esaemu

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
}

func (t tx) routine(name string) (Routine, error) {
	r, found, err := get[Routine](t, bucketRoutines, []byte(name))
	if err == nil && !found {
		err = refusal(codeRoutineNotExist, "no routine %q", name)
	}
	return r, err
}

func (t tx) addRoutine(r Routine, takenCode string) error {
	if t.bucket(bucketRoutines).Get([]byte(r.Name)) != nil {
		return refusal(takenCode, "there is a routine %q", r.Name)
	}
	return t.put(bucketRoutines, []byte(r.Name), r)
}

func (s *Server) createRoutine(p params) (step, error) {
	name, err := p.newName()
	if err != nil {
		return nil, err
	}
	hasAssets, err := p.boolean("HasAssets")
	if err != nil {
		return nil, err
	}
	return func(t tx) (answer, error) {
		a, err := t.writable()
		if err != nil {
			return nil, err
		}
		if a.ErService != serviceRunning {
			return nil, refusal(codeServiceNotOpen, "")
		}
		// A full account still says of a name that it exists: the quota is asked only for a new one.
		used := len(t.keys(bucketRoutines, nil))
		made := Routine{Name: name, Description: p["Description"], HasAssets: hasAssets, CreateTime: s.now()}
		err = t.addRoutine(made, cmp.Or(a.TakenCode, codeRoutineAlreadyExist))
		if err == nil && used >= a.RoutineQuota {
			err = refusal(codeRoutineQuota, "%d routines of %d", used, a.RoutineQuota)
		}
		return ok(), err
	}, nil
}

func (s *Server) getRoutine(p params) (step, error) {
	return s.withRoutine(p, func(_ tx, r Routine) (answer, error) {
		out := s.describe(r)
		delete(out, "RoutineName")
		out["Envs"] = []answer{noCode("production"), noCode("staging")} // in the order of recorded answers
		return out, nil
	})
}

// noCode is an environment to which nothing was deployed.
func noCode(env string) answer {
	return answer{"Env": env, "CodeDeploy": answer{"CodeVersions": []answer{}}}
}

func (s *Server) describe(r Routine) answer {
	return answer{
		"RoutineName":          r.Name,
		"Description":          r.Description,
		"HasAssets":            r.HasAssets,
		"CreateTime":           r.CreateTime.Format(time.RFC3339),
		"DefaultRelatedRecord": s.defaultRecord(r.Name),
	}
}

// defaultRecord is the host name every routine has, with a part that is the account's own.
func (s *Server) defaultRecord(routine string) string {
	sum := sha256.Sum256([]byte(s.accountID))
	return fmt.Sprintf("%s.%s.er.aliyun-esa.net", routine, hex.EncodeToString(sum[:4]))
}

func (s *Server) listUserRoutines(p params) (step, error) {
	const maxPage, sizeCap = 10, 20
	page, err := p.page(maxPage, sizeCap)
	if err != nil {
		return nil, err
	}
	return func(t tx) (answer, error) {
		a, err := t.standing()
		if err != nil {
			return nil, err
		}
		all, err := list[Routine](t, bucketRoutines)
		if err != nil {
			return nil, err
		}
		found := []answer{}
		for _, r := range all {
			if like(r.Name, p["SearchKeyWord"]) {
				found = append(found, s.describe(r))
			}
		}
		out := page.answer("Routines", found)
		out["QuotaRoutineNumber"], out["UsedRoutineNumber"] = a.RoutineQuota, len(all)
		return out, nil
	}, nil
}

// like is the lists' fuzzy search: any part of the name, in any case.
func like(name, keyword string) bool {
	return strings.Contains(strings.ToLower(name), strings.ToLower(keyword))
}

func (s *Server) updateDescription(p params) (step, error) {
	return s.withRoutine(p, func(t tx, r Routine) (answer, error) {
		if _, err := t.writable(); err != nil {
			return nil, err
		}
		r.Description = p["Description"]
		return ok(), t.put(bucketRoutines, []byte(r.Name), r)
	})
}

// deleteRoutine refuses while records or routes use the routine: whether the cloud does is not documented, and the refusal
// makes callers undo in the order that works either way.
func (s *Server) deleteRoutine(p params) (step, error) {
	return s.withRoutine(p, func(t tx, r Routine) (answer, error) {
		if _, err := t.writable(); err != nil {
			return nil, err
		}
		routes, err := t.routesOf(r.Name)
		if err != nil {
			return nil, err
		}
		if records := len(t.keys(bucketRelated, relatedPrefix(r.Name))); records+len(routes) > 0 {
			return nil, refusal(codeDepended, "%d related records and %d routes use routine %q", records, len(routes), r.Name)
		}
		return ok(), t.remove(bucketRoutines, []byte(r.Name))
	})
}

// listCodeVersions is always empty: no code is deployed here.
func (s *Server) listCodeVersions(p params) (step, error) {
	const maxPage, sizeCap = 2, 20
	page, err := p.page(maxPage, sizeCap)
	if err != nil {
		return nil, err
	}
	return s.withRoutine(p, func(tx, Routine) (answer, error) {
		return page.answer("CodeVersions", []answer{}), nil
	})
}

// withRoutine is a step on the routine called Name.
func (s *Server) withRoutine(p params, do func(tx, Routine) (answer, error)) (step, error) {
	name, err := p.text("Name")
	if err != nil {
		return nil, err
	}
	return func(t tx) (answer, error) {
		r, err := t.routine(name)
		if err != nil {
			return nil, err
		}
		return do(t, r)
	}, nil
}

// ok is the answer of a write that has nothing else to say.
func ok() answer { return answer{"Status": "OK"} }
