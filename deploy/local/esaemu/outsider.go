package esaemu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// This file is what somebody else does in the account: in the console, or with a key of their own. None of it asks for the account lock,
// for activation or for a quota.

// PlantRoutine creates a routine as somebody else would, without the account lock, activation or quota. A zero CreateTime is
// now. It refuses a bad name, a name that exists, and records or routes: those are planted apart.
func (s *Server) PlantRoutine(r Routine) error {
	if !validRoutineName(r.Name) {
		return fmt.Errorf("routine name %q: want %s", r.Name, routineNameRule)
	}
	if len(r.Records)+len(r.Routes) > 0 {
		return errors.New("a routine is planted without records and routes")
	}
	if r.CreateTime.IsZero() {
		r.CreateTime = s.now()
	}
	return s.store.update(func(t *tx) { t.addRoutine(r) })
}

// RemoveRoutine deletes a routine with its records and routes as somebody else would. It refuses a name that does not exist. To make the
// name again, plant it with a CreateTime a second or more later: answers show whole seconds.
func (s *Server) RemoveRoutine(name string) error {
	return s.store.update(func(t *tx) {
		t.routine(name)
		for _, r := range t.recordsOf(name) {
			t.removeRecord(r)
		}
		for _, r := range t.routesOf(name) {
			t.remove(bucketRoutes, idKey(r.ConfigID))
		}
		t.removeCode(name)
		t.remove(bucketRoutines, []byte(name))
	})
}

// PlantRecord creates an ordinary record, which no routine knows, without the account lock, and returns its id. It refuses an
// unknown site and a name that is outside of the site's zone or taken.
func (s *Server) PlantRecord(siteID int64, recordName string) (id int64, err error) {
	return s.plantRecord(Record{SiteID: siteID, RecordName: recordName})
}

// BindRecord binds a new record to a routine as somebody else would, and returns its id. It refuses what PlantRecord refuses, and a routine
// that does not exist.
func (s *Server) BindRecord(routine string, siteID int64, recordName string) (id int64, err error) {
	if routine == "" {
		return 0, errors.New("routine: is required")
	}
	return s.plantRecord(Record{Routine: routine, SiteID: siteID, RecordName: recordName})
}

func (s *Server) plantRecord(r Record) (id int64, err error) {
	if !validHostName(r.RecordName) {
		return 0, fmt.Errorf("recordName %q: want a full host name", r.RecordName)
	}
	r.RecordName = strings.ToLower(r.RecordName)
	err = s.store.update(func(t *tx) {
		if r.Routine != "" {
			t.routine(r.Routine)
		}
		id = t.addRecord(r, s.now()).RecordID
	})
	return id, err
}

// RemoveRecord deletes a record, whatever it is bound to. It refuses an id that does not exist.
func (s *Server) RemoveRecord(id int64) error {
	return s.store.update(func(t *tx) {
		r, found := get[Record](t, bucketRecords, idKey(id))
		if !found {
			t.fail(fmt.Errorf("no record %d", id))
		}
		t.removeRecord(r)
	})
}

// PlantRoute makes a route as somebody else would, behind the others of its site, and returns its ConfigID; the other fields are kept as
// they are. It refuses a routine or a site that does not exist.
func (s *Server) PlantRoute(r Route) (configID int64, err error) {
	err = s.store.update(func(t *tx) {
		t.routine(r.Routine)
		t.site(r.SiteID)
		r.Sequence = t.lastSequence(r.SiteID) + 1
		configID = t.addRoute(r)
	})
	return configID, err
}

// PlantUpload puts JavaScript into a routine's one place for code as somebody else would, where it takes the place of what lies there.
// It refuses a routine that does not exist.
func (s *Server) PlantUpload(routine string, source []byte) error {
	return s.store.update(func(t *tx) {
		t.routine(routine)
		t.put(bucketUploads, []byte(routine), upload{source})
	})
}

// PlantVersion makes a version of JavaScript as somebody else would, deploys it to some environments, staging or production, and returns its
// CodeVersion. It refuses a routine or an environment that does not exist, and a routine that is full.
func (s *Server) PlantVersion(routine, description string, source []byte, envs ...string) (codeVersion string, err error) {
	err = s.store.update(func(t *tx) {
		t.routine(routine)
		v := t.addVersion(routine, Version{CodeDescription: description, Status: versionAvailable, Code: source}, s.now())
		for _, env := range envs {
			if !slices.Contains(environments(), env) {
				t.fail(fmt.Errorf("environment %q: want staging or production", env))
			}
			t.deploy(routine, env, []Share{{v.CodeVersion, 100}}, s.now())
		}
		codeVersion = v.CodeVersion
	})
	return codeVersion, err
}

// DeployVersion deploys a version as somebody else would. It refuses one that does not exist.
func (s *Server) DeployVersion(routine, codeVersion, env string) error {
	return s.store.update(func(t *tx) {
		t.routine(routine)
		t.deploy(routine, env, []Share{{codeVersion, 100}}, s.now())
	})
}

// RemoveVersion deletes a version as somebody else would. It refuses one that does not exist or is deployed.
func (s *Server) RemoveVersion(routine, codeVersion string) error {
	return s.store.update(func(t *tx) {
		t.version(routine, codeVersion)
		t.removeVersion(routine, codeVersion)
	})
}

type plantedCode struct {
	Routine      string   `json:"routine"`
	Source       string   `json:"source"`
	Description  string   `json:"description"`
	Environments []string `json:"environments"`
}

type plantedRecord struct {
	Routine    string `json:"routine"`
	SiteID     int64  `json:"siteId"`
	RecordName string `json:"recordName"`
}

// outsiderRoutes are the paths of this file, for localRoutes.
func (s *Server) outsiderRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /_local/routines", local(func(_ context.Context, r Routine) (any, error) {
		return map[string]string{"name": r.Name}, s.PlantRoutine(r)
	}))
	mux.HandleFunc("DELETE /_local/routines/{name}", removing(func(name string) error { return s.RemoveRoutine(name) }))
	mux.HandleFunc("POST /_local/versions", local(func(_ context.Context, c plantedCode) (any, error) {
		version, err := s.PlantVersion(c.Routine, c.Description, []byte(c.Source), c.Environments...)
		return map[string]string{"codeVersion": version}, err
	}))
	mux.HandleFunc("POST /_local/uploads", local(func(_ context.Context, c plantedCode) (any, error) {
		return struct{}{}, s.PlantUpload(c.Routine, []byte(c.Source))
	}))
	mux.HandleFunc("POST /_local/records", local(func(_ context.Context, r plantedRecord) (any, error) {
		id, err := s.plantRecord(Record{Routine: r.Routine, SiteID: r.SiteID, RecordName: r.RecordName})
		return map[string]int64{"recordId": id}, err
	}))
	mux.HandleFunc("DELETE /_local/records/{name}", removing(func(name string) error {
		id, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			return fmt.Errorf("record id %q: want a number", name)
		}
		return s.RemoveRecord(id)
	}))
	mux.HandleFunc("POST /_local/routes", local(func(_ context.Context, r Route) (any, error) {
		id, err := s.PlantRoute(r)
		return map[string]int64{"configId": id}, err
	}))
}

// removing serves the removal of what the path names.
func removing(remove func(name string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := remove(r.PathValue("name")); err != nil {
			reply(w, 0, nil, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
