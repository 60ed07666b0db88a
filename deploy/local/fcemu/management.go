package fcemu

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/signature"
)

// The versions of the APIs that are answered.
const (
	fcVersion          = "2023-03-30"
	eventBridgeVersion = "2020-04-01"
)

// managementLimit is the largest body of a management call, in bytes.
const managementLimit = 1 << 20

// refused is an error as the management APIs answer it.
type refused struct {
	status        int
	code, message string
}

// read is one action: its version, and what it answers to a function's name and the parameters.
type read struct {
	version string
	// query and form are the parameters that it takes.
	query, form []string
	answer      func(s *Server, function string, values url.Values) (any, *refused)
}

// reads are the actions by their name. Their sources are the official SDK, fc-20230330 v4.6.8, and the pages of Function Compute and EventBridge.
// The codes of what is not set on a function are this server's: no page lists them.
func reads() map[string]read {
	return map[string]read{
		"GetFunction": {fcVersion, []string{"qualifier"}, nil, func(s *Server, function string, _ url.Values) (any, *refused) {
			view, bad := s.existing(function)
			return view["function"], bad
		}},
		"GetConcurrencyConfig": {fcVersion, nil, nil, func(s *Server, function string, _ url.Values) (any, *refused) {
			return s.settingOf(function, "concurrency", "ConcurrencyConfigNotFound")
		}},
		"GetAsyncInvokeConfig": {fcVersion, []string{"qualifier"}, nil, func(s *Server, function string, _ url.Values) (any, *refused) {
			return s.settingOf(function, "asyncInvokeConfig", "AsyncConfigNotExists")
		}},
		"ListTriggers":      {fcVersion, []string{"limit", "nextToken", "prefix"}, nil, (*Server).listTriggers},
		"GetEventStreaming": {eventBridgeVersion, nil, []string{"EventStreamingName"}, (*Server).getEventStreaming},
	}
}

// manage answers the calls of an action that reads, or refuses those of no action. It wants the signature of the access key, the action, the
// version and the parameters that belong together, and nothing else.
func (s *Server) manage(action string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		requestID := newUUID()
		answer := func(w http.ResponseWriter, status int, body any) {
			w.Header().Set("X-Acs-Request-Id", requestID)
			writeJSON(w, status, body)
		}
		refuse := func(w http.ResponseWriter, status int, code, message string) {
			faults.NoteCode(w, code)
			answer(w, status, map[string]string{"RequestId": requestID, "Code": code, "Message": message})
		}
		call := faults.Call{Action: cmp.Or(action, r.Header.Get("X-Acs-Action")), Params: map[string]string{"function": r.PathValue("name")}}
		s.faults.Serve(w, r, call, func() time.Time { return s.clock.Now().UTC() }, func(w http.ResponseWriter) {
			body, bad := s.read(r, action)
			if bad != nil {
				refuse(w, bad.status, bad.code, bad.message)
				return
			}
			answer(w, http.StatusOK, body)
		}, refuse)
	}
}

// read checks a call and answers it.
func (s *Server) read(r *http.Request, action string) (any, *refused) {
	body, err := io.ReadAll(io.LimitReader(r.Body, managementLimit))
	if err != nil {
		return nil, invalid("body: " + err.Error())
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("query: " + err.Error())
	}
	if bad := s.verifier.Verify(signature.Request{HTTP: r, Query: query, Body: body}); bad != nil {
		return nil, &refused{bad.Status, bad.Code, strings.TrimSpace(bad.Message + " " + bad.Detail)}
	}
	what, known := reads()[action]
	if !known || r.Header.Get("X-Acs-Action") != action || r.Header.Get("X-Acs-Version") != what.version {
		return nil, &refused{http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method."}
	}
	form, err := url.ParseQuery(string(body))
	switch {
	case err != nil:
		return nil, invalid("form: " + err.Error())
	case len(body) > 0 && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		return nil, invalid("Content-Type: want a form")
	}
	for _, given := range []struct {
		values url.Values
		known  []string
	}{{query, what.query}, {form, what.form}} {
		for _, name := range slices.Sorted(maps.Keys(given.values)) {
			if !slices.Contains(given.known, name) {
				return nil, invalid(action + " takes no " + name)
			}
			query.Set(name, given.values.Get(name))
		}
	}
	return what.answer(s, r.PathValue("name"), query)
}

func invalid(message string) *refused {
	return &refused{http.StatusBadRequest, "InvalidArgument", message}
}

// existing is the view of a function that has to be there.
func (s *Server) existing(function string) (object, *refused) {
	view, there := s.view(function)
	if !there {
		return nil, &refused{http.StatusNotFound, "FunctionNotFound", "function '" + function + "' does not exist"}
	}
	return view, nil
}

// settingOf is a part of a function that may be absent, which the code says.
func (s *Server) settingOf(function, name, absent string) (any, *refused) {
	view, bad := s.existing(function)
	if bad != nil {
		return nil, bad
	}
	found, there := part(view, name)
	if !there {
		return nil, &refused{http.StatusNotFound, absent, "function '" + function + "' has no " + name}
	}
	return found, nil
}

func (s *Server) listTriggers(function string, values url.Values) (any, *refused) {
	view, bad := s.existing(function)
	if bad != nil {
		return nil, bad
	}
	triggers, _ := part(view, "triggers")
	names := slices.DeleteFunc(slices.Collect(maps.Keys(triggers)), func(name string) bool { return !strings.HasPrefix(name, values.Get("prefix")) })
	some, next, err := page(names, values.Get("nextToken"), values.Get("limit"))
	if err != nil {
		return nil, invalid("limit: want 1 to 100")
	}
	list := []object{}
	for _, name := range some {
		trigger, _ := part(triggers, name)
		config, err := json.Marshal(trigger["triggerConfig"])
		if err != nil {
			return nil, invalid(err.Error())
		}
		trigger["triggerConfig"] = string(config) // the API has it as a text
		list = append(list, trigger)
	}
	out := object{"triggers": list}
	if next != "" {
		out["nextToken"] = next
	}
	return out, nil
}

func (s *Server) getEventStreaming(_ string, values url.Values) (any, *refused) {
	name := values.Get("EventStreamingName")
	if name == "" {
		return nil, &refused{http.StatusBadRequest, "MissingEventStreamingName", "EventStreamingName is mandatory for this action."}
	}
	found, there := s.stream(name)
	if !there {
		return nil, &refused{http.StatusNotFound, "EventStreamingNotExist", "The event streaming [" + name + "] not existed!"}
	}
	return object{"RequestId": newUUID(), "Code": "Success", "Success": true, "Data": found}, nil
}

// patchFunction takes a merge patch of what the management API shows of a function.
func (s *Server) patchFunction(w http.ResponseWriter, r *http.Request) {
	var patch object
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, managementLimit)).Decode(&patch)
	name := r.PathValue("name")
	switch {
	case err != nil:
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
	case s.functions[name] == nil:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": notFoundError(name).Error()})
	default:
		s.mu.Lock()
		s.pretended[name] = append(s.pretended[name], patch)
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}
}

// deletePatches lets the management API show what is.
func (s *Server) deletePatches(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	delete(s.pretended, r.PathValue("name"))
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}
