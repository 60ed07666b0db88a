package esaemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// State is everything the server holds.
type State struct {
	// Account is the account's settings.
	Account Account `json:"account"`
	// Sites are in the order of their ids.
	Sites []Site `json:"sites"`
	// Routines are in the order of their names, with their records and routes.
	Routines []Routine `json:"routines"`
	// Planted are the ordinary records.
	Planted []Record `json:"planted"`
	// DanglingRecords and DanglingRoutes are those of routines that were deleted: see Standing. A routine that is made again under the name
	// has them again.
	DanglingRecords []Record `json:"danglingRecords,omitempty"`
	DanglingRoutes  []Route  `json:"danglingRoutes,omitempty"`
}

// State reads everything the server holds, records that lists do not show yet included.
func (s *Server) State() (State, error) {
	out := State{Account: Account{
		LatencyMillis:   time.Duration(s.latency.Load()).Milliseconds(),
		ListDelayMillis: time.Duration(s.listDelay.Load()).Milliseconds(),
		Locked:          s.lock.taken(),
	}}
	err := s.store.view(func(t *tx) {
		out.Account.Standing = t.standing()
		out.Sites = list(t, bucketSites, every[Site])
		out.Routines = list(t, bucketRoutines, every[Routine])
		for i := range out.Routines {
			out.Routines[i].Records = t.recordsOf(out.Routines[i].Name)
			out.Routines[i].Routes = t.routesOf(out.Routines[i].Name)
			t.stateOfCode(&out.Routines[i])
		}
		out.Planted = list(t, bucketRecords, func(r Record) bool { return r.Routine == "" })
		out.DanglingRecords = list(t, bucketRecords, func(r Record) bool { return r.Routine != "" && !t.known(r.Routine) })
		out.DanglingRoutes = list(t, bucketRoutes, func(r Route) bool { return !t.known(r.Routine) })
	})
	return out, err
}

// AddSite stores a site, or changes one; the name can change only while the site has no records. It refuses an id below 1, a name that is
// no zone, and values that the fields of Site do not name.
func (s *Server) AddSite(site Site) error {
	_, err := s.putSite(site)
	return err
}

func (s *Server) putSite(site Site) (Site, error) {
	err := s.store.update(func(t *tx) { site = t.addSite(site, s.now()) })
	return site, err
}

// HoldLock takes the account lock for a foreign caller as soon as it is free, and gives it back after d. It returns once the
// lock is held, or with an error when ctx is done or the server stops first.
func (s *Server) HoldLock(ctx context.Context, d time.Duration) error {
	if d <= 0 || d > maxMillis*time.Millisecond {
		return fmt.Errorf("hold %s: want more than nothing and at most a day", d)
	}
	return s.lock.hold(ctx, d)
}

// ReleaseLock ends a foreign hold of the account lock; without one it does nothing.
func (s *Server) ReleaseLock() { s.lock.endHold() }

// localRoutes serves what the methods above do, for scripts in any language:
//
//	GET    /_local/state       State
//	POST   /_local/sites       {"id", "name", "status", "accessType", "coverage", "cnameZone", "createTime"}; answers the Site
//	PUT    /_local/account     AccountChange
//	POST   /_local/lock        {"holdMillis"}; answers when the lock is held
//	DELETE /_local/lock
//	POST   /_local/routines    {"name", "description", "hasAssets", "createTime"}
//	DELETE /_local/routines/NAME, which takes its records and routes with it
//	POST   /_local/versions    {"routine", "source", "description", "environments"}, a version that is deployed there; answers {"codeVersion"}
//	POST   /_local/uploads     {"routine", "source"}, what a commit would make a version
//	POST   /_local/records     {"routine", "siteId", "recordName"}, an ordinary record without a routine; answers {"recordId"}
//	DELETE /_local/records/ID
//	POST   /_local/routes      Route; answers {"configId"}
//	       /_local/faults, /_local/calls    see package faults
//
// Mistakes are a 400 with {"error": text}.
func (s *Server) localRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/_local/faults", http.StripPrefix("/_local", s.faults.Handler()))
	mux.Handle("/_local/calls", http.StripPrefix("/_local", s.faults.Handler()))
	mux.HandleFunc("GET /_local/state", func(w http.ResponseWriter, _ *http.Request) {
		state, err := s.State()
		reply(w, http.StatusOK, state, err)
	})
	mux.HandleFunc("POST /_local/sites", local(func(_ context.Context, site Site) (any, error) {
		return s.putSite(site)
	}))
	mux.HandleFunc("PUT /_local/account", local(func(_ context.Context, c AccountChange) (any, error) {
		if err := s.SetAccount(c); err != nil {
			return nil, err
		}
		state, err := s.State()
		return state.Account, err
	}))
	mux.HandleFunc("POST /_local/lock", local(func(ctx context.Context, h lockHold) (any, error) {
		return h, s.HoldLock(ctx, time.Duration(min(h.HoldMillis, maxMillis+1))*time.Millisecond)
	}))
	mux.HandleFunc("DELETE /_local/lock", func(w http.ResponseWriter, _ *http.Request) {
		s.ReleaseLock()
		w.WriteHeader(http.StatusNoContent)
	})
	s.outsiderRoutes(mux)
	return mux
}

type lockHold struct {
	HoldMillis int64 `json:"holdMillis"`
}

// local serves a function that takes a JSON body. A misspelt field is a mistake, not a wish for the default.
func local[T any](do func(context.Context, T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in T
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyLimit))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&in); err != nil {
			reply(w, 0, nil, fmt.Errorf("body: %w", err))
			return
		}
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			reply(w, 0, nil, errors.New("body: data after the JSON object"))
			return
		}
		out, err := do(r.Context(), in)
		reply(w, http.StatusOK, out, err)
	}
}

// reply writes out as JSON, or the error as a 400.
func reply(w http.ResponseWriter, status int, out any, err error) {
	if err != nil {
		status, out = http.StatusBadRequest, map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}
