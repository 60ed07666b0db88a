package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
)

// bodyLimit bounds a posted set of rules, in bytes.
const bodyLimit = 1 << 20

// Handler serves the rules and counters over HTTP:
//
//	GET    /faults   the rules that can still hit a call
//	POST   /faults   one Rule or an array of them, all or none are added; answers {"ids": […]}
//	DELETE /faults   remove all rules, and forget what waits for a call
//	GET    /calls    {"counters": {action: n}, "calls": [Record…], "hanging": n}, as Calls orders them; ?log=false leaves them out
//	DELETE /calls    forget counters and calls
//
// A bad body is a 400 with {"error": text}.
func (s *Set) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Rules()) })
	mux.HandleFunc("POST /faults", s.postFaults)
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		s.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /calls", s.getCalls)
	mux.HandleFunc("DELETE /calls", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func (s *Set) getCalls(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	// An empty object rather than null, which scripts would have to treat apart.
	counters := map[string]int{}
	maps.Copy(counters, s.counters)
	out := map[string]any{"counters": counters, "hanging": s.hanging}
	s.mu.Unlock()
	if r.URL.Query().Get("log") != "false" {
		out["calls"] = s.Calls()
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *Set) postFaults(w http.ResponseWriter, r *http.Request) {
	rules, err := readRules(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	ids := make([]string, 0, len(rules))
	for _, rule := range rules {
		ids = append(ids, s.add(rule))
	}
	writeJSON(w, http.StatusCreated, map[string]any{"ids": ids})
}

// readRules reads one rule or an array of them and checks each, so that a bad one keeps the others from being added.
func readRules(body io.Reader) ([]Rule, error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	var rules []Rule
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
		err = strictJSON(raw, &rules)
	} else {
		rules = make([]Rule, 1)
		err = strictJSON(raw, &rules[0])
	}
	if err != nil {
		return nil, fmt.Errorf("want a rule or an array of rules: %w", err)
	}
	for i := range rules {
		if err := rules[i].check(); err != nil {
			return nil, fmt.Errorf("rule %d: %w", i, err)
		}
	}
	return rules, nil
}

// strictJSON decodes exactly one value with known fields only: a misspelt field would silently break another call.
func strictJSON(raw []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the JSON value")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
