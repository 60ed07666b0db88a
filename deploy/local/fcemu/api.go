package fcemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Credentials are the temporary key of a function's role.
type Credentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	AccessKeySecret string `json:"accessKeySecret"`
	SecurityToken   string `json:"securityToken"`
}

// API returns the server's HTTP API, which is meant for the loopback interface, behind serve.Guard. What reads functions, triggers and event streams
// wants to be signed with the access key; InvokeFunction and /_local/ check no signature.
//
//	GET  /2023-03-30/functions/{name}                      GetFunction
//	GET  /2023-03-30/functions/{name}/concurrency          GetConcurrencyConfig
//	GET  /2023-03-30/functions/{name}/async-invoke-config  GetAsyncInvokeConfig
//	GET  /2023-03-30/functions/{name}/triggers             ListTriggers
//	POST /                                                 GetEventStreaming of EventBridge, version 2020-04-01
//
//	POST /2023-03-30/functions/{name}/invocations  InvokeFunction; X-Fc-Invocation-Type: Async answers 202 at once
//	GET  /_local/counters        {function: Counters}
//	GET  /_local/instances       the running instances
//	POST /_local/instances/kill  {"function": name}: SIGKILL one, a busy one first; answers {"pid": n}
//	PUT  /_local/credentials     {"function": name} and the members of Credentials: its role's key from the next event on, also on
//	                             instances that run already, whose environment keeps the key they were started with
//	GET  /_local/triggers        the queue triggers, with their settings
//	PATCH  /_local/functions/{name}  a JSON merge patch (RFC 7396) of what the management API shows from now on: {"function", "concurrency",
//	                                 "asyncInvokeConfig", "triggers": {name: …}, "streams": {name: …}}; null takes away. It changes nothing else
//	DELETE /_local/functions/{name}  takes the patches back
//	       /_local/faults, /_local/calls    of the management API, see package faults
func (s *Server) API() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2023-03-30/functions/{name}/invocations", s.invokeFunction)
	mux.HandleFunc("GET /_local/counters", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Counters()) })
	mux.HandleFunc("GET /_local/instances", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Instances()) })
	mux.HandleFunc("GET /_local/triggers", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Triggers()) })
	mux.HandleFunc("POST /_local/instances/kill", s.postKill)
	mux.HandleFunc("PUT /_local/credentials", s.putCredentials)
	for path, action := range map[string]string{
		"": "GetFunction", "/concurrency": "GetConcurrencyConfig", "/async-invoke-config": "GetAsyncInvokeConfig", "/triggers": "ListTriggers",
	} {
		mux.HandleFunc("GET /2023-03-30/functions/{name}"+path, s.manage(action))
	}
	mux.HandleFunc("POST /{$}", s.manage("GetEventStreaming"))
	mux.HandleFunc("/", s.manage("")) // whatever is no path of an action
	mux.Handle("/_local/", http.NotFoundHandler())
	mux.HandleFunc("PATCH /_local/functions/{name}", s.patchFunction)
	mux.HandleFunc("DELETE /_local/functions/{name}", s.deletePatches)
	mux.Handle("/_local/faults", http.StripPrefix("/_local", s.faults.Handler()))
	mux.Handle("/_local/calls", http.StripPrefix("/_local", s.faults.Handler()))
	return mux
}

// invokeFunction answers the function's result; a failed function is a 200 with X-Fc-Error-Type. (FC API InvokeFunction.)
func (s *Server) invokeFunction(w http.ResponseWriter, r *http.Request) {
	name, o, limit := r.PathValue("name"), order{requestID: newID("1")}, payloadLimit
	w.Header().Set("X-Fc-Request-Id", o.requestID)
	async := strings.EqualFold(r.Header.Get("X-Fc-Invocation-Type"), "async")
	if async {
		limit = asyncLimit
	}
	var failed *Error
	var err error
	if o.event, err = io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit))); err != nil {
		failed = invalidError("request body: %v", err)
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			failed = tooLargeError(limit)
		}
	}
	var got Invocation
	switch {
	case failed != nil:
	case async:
		if failed = s.invokeAsync(name, o); failed == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
	default:
		got, err = s.invoke(r.Context(), name, o)
		failed, _ = errors.AsType[*Error](err)
	}
	if failed != nil {
		failed.write(w, failed.Status)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(got.Result)
}

// Instance is what can be seen of a running instance.
type Instance struct {
	// Function is its function's name, ID the platform's name for the instance.
	Function string `json:"function"`
	ID       string `json:"id"`
	// PID is the binary's process. GuardPID is that of the shell that ends it if the server dies, and their process group.
	PID      int `json:"pid"`
	GuardPID int `json:"guardPid"`
	// State is starting, idle, busy or stopping.
	State string `json:"state"`
}

// Instances returns the instances whose processes may be alive.
func (s *Server) Instances() []Instance {
	list := []Instance{}
	for _, f := range s.functions {
		f.mu.Lock()
		for in := range f.instances {
			list = append(list, Instance{
				Function: f.config.Name, ID: in.id, PID: in.process.pid(), GuardPID: in.process.guardPID(), State: in.state,
			})
		}
		f.mu.Unlock()
	}
	return list
}

// KillInstance kills (SIGKILL) one instance of a function, a busy one if there is one, waits until it is gone and returns its
// process id. It is an error when the function does not exist or has no instance.
func (s *Server) KillInstance(function string) (pid int, err error) {
	f := s.functions[function]
	if f == nil {
		return 0, notFoundError(function)
	}
	var found *instance
	f.mu.Lock()
	for in := range f.instances {
		if found == nil || in.state == busy {
			found = in
		}
	}
	f.mu.Unlock()
	if found == nil {
		return 0, fmt.Errorf("function %q has no instance", function)
	}
	found.destroy()
	return found.process.pid(), nil
}

func (s *Server) postKill(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Function string `json:"function"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&request)
	pid := 0
	if err == nil {
		pid, err = s.KillInstance(request.Function)
	}
	if err != nil {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]int{"pid": pid})
}

func (s *Server) putCredentials(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Function string `json:"function"`
		Credentials
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&request)
	f := s.functions[request.Function]
	switch {
	case err != nil:
	case f == nil:
		err = notFoundError(request.Function)
	case request.AccessKeyID == "" || request.AccessKeySecret == "":
		err = errors.New("access key id and secret are needed together")
	default:
		f.credentials.Store(&request.Credentials)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
