package fcemu

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// API returns the server's HTTP API. It checks no signature: it is meant for the loopback interface, behind
// serve.Guard.
//
//	POST   /2023-03-30/functions/{name}/invocations  InvokeFunction; X-Fc-Invocation-Type: Async answers 202 at once
//	GET    /_local/invocations     the latest 1,000 invocations, oldest first
//	GET    /_local/counters        {function: Counters}
//	GET    /_local/instances       the running instances
//	POST   /_local/instances/kill  {"function": name}: SIGKILL one, a busy one first; answers {"pid": n}
//	PUT    /_local/credentials     {"function": name} and the members of Credentials: its role's key from the next event on
//	GET    /_local/triggers        the queue triggers
//	GET    /_local/faults          the faults that can still hit an event
//	POST   /_local/faults          one Fault or an array of them
//	DELETE /_local/faults          remove all faults
func (s *Server) API() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2023-03-30/functions/{name}/invocations", s.invokeFunction)
	mux.HandleFunc("GET /_local/invocations", func(w http.ResponseWriter, _ *http.Request) {
		views := []invocationView{}
		for _, i := range s.Invocations() {
			views = append(views, view(i))
		}
		writeJSON(w, http.StatusOK, views)
	})
	mux.HandleFunc("GET /_local/counters", func(w http.ResponseWriter, _ *http.Request) {
		counters := map[string]Counters{}
		for name := range s.functions {
			counters[name] = s.Counters(name)
		}
		writeJSON(w, http.StatusOK, counters)
	})
	mux.HandleFunc("GET /_local/instances", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Instances()) })
	mux.HandleFunc("POST /_local/instances/kill", s.postKill)
	mux.HandleFunc("PUT /_local/credentials", s.putCredentials)
	mux.HandleFunc("GET /_local/triggers", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Triggers()) })
	mux.HandleFunc("GET /_local/faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Faults()) })
	mux.HandleFunc("POST /_local/faults", s.postFaults)
	mux.HandleFunc("DELETE /_local/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// invokeFunction answers the function's result; a failed function is a 200 with X-Fc-Error-Type. (FC API InvokeFunction.)
func (s *Server) invokeFunction(w http.ResponseWriter, r *http.Request) {
	name, requestID := r.PathValue("name"), newID("1")
	w.Header().Set("X-Fc-Request-Id", requestID)
	async, limit := false, payloadLimit
	switch kind := r.Header.Get("X-Fc-Invocation-Type"); strings.ToLower(kind) {
	case "", "sync":
	case "async":
		async, limit = true, asyncLimit
	default:
		failed := invalidError("X-Fc-Invocation-Type %q: want Sync or Async", kind)
		answerError(w, failed.Status, failed)
		return
	}
	event, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	if err != nil {
		failed := invalidError("request body: %v", err)
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			failed = tooLargeError(limit)
		}
		answerError(w, failed.Status, failed)
		return
	}
	if async {
		if failed := s.invokeAsync(name, order{source: Async, event: event, requestID: requestID}, nil); failed != nil {
			answerError(w, failed.Status, failed)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	got, err := s.invoke(r.Context(), name, order{source: Sync, event: event, requestID: requestID})
	if failed, ok := asError(err); ok {
		answerError(w, failed.Status, failed)
		return
	}
	if err != nil {
		return // the caller went away
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(got.Result)
}

func (s *Server) postKill(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Function string `json:"function"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&request); err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "want {\"function\": name}: " + err.Error()})
		return
	}
	pid, err := s.KillInstance(request.Function)
	if err != nil {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]int{"pid": pid})
}

func (s *Server) postFaults(w http.ResponseWriter, r *http.Request) {
	faults, err := decodeFaults(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	for i, f := range faults {
		if err := s.AddFault(f); err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]any{"error": err.Error(), "added": i})
			return
		}
	}
	writeJSON(w, http.StatusCreated, s.Faults())
}

// decodeFaults reads one Fault or an array of them.
func decodeFaults(r io.Reader) ([]Fault, error) {
	var raw json.RawMessage
	if err := json.NewDecoder(r).Decode(&raw); err != nil {
		return nil, err
	}
	var many []Fault
	if json.Unmarshal(raw, &many) == nil {
		return many, nil
	}
	var one Fault
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, err
	}
	return []Fault{one}, nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
