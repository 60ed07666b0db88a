// Package logs is a small local server of the management of Simple Log Service that the setup calls: the index of a log store, dashboards and alert
// rules. It is for tests only, strict about signatures and bodies, keeps everything in memory and imports no product code.
//
// The sources are the pages of the actions (version 2020-12-30), "Data structure of an alert rule" and "Request signatures". What the pages leave open:
// the codes of dashboards and alerts that are missing.
package logs

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Document is a body as decoded JSON.
type Document = map[string]any

// Server answers the API of one project. Change reads and sets its fields.
type Server struct {
	KeyID, KeySecret string
	Project, Store   string
	// Index is that of the log store; nil if it has none.
	Index Document
	// Dashboards and Alerts are those of the project, by name.
	Dashboards, Alerts map[string]Document
	// Refuse are codes to answer an action with, instead of doing it.
	Refuse map[string]string

	mu    sync.Mutex
	calls []string
}

// New returns a server of a project with one log store and nothing in it, with an access key.
func New(keyID, keySecret, project, store string) *Server {
	return &Server{
		KeyID: keyID, KeySecret: keySecret, Project: project, Store: store,
		Dashboards: map[string]Document{}, Alerts: map[string]Document{}, Refuse: map[string]string{},
	}
}

// Change lets do read and set the fields between two requests.
func (s *Server) Change(do func(*Server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(s)
}

// Calls returns the actions called so far, and forgets them.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// refusal is an error as the API answers it.
type refusal struct {
	status        int
	code, message string
}

// ServeHTTP answers one call. What has succeeded without a result has an empty answer.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer, refused := s.serve(r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Log-Requestid", "REQUEST-1")
	if refused != nil {
		w.WriteHeader(refused.status)
		answer = Document{"errorCode": refused.code, "errorMessage": refused.message}
	}
	if answer != nil {
		_ = json.NewEncoder(w).Encode(answer) // a client that went away is all that can fail
	}
}

func (s *Server) serve(r *http.Request) (Document, *refusal) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "InvalidParameter", err.Error()}
	}
	if refused := s.verify(r, content); refused != nil {
		return nil, refused
	}
	if project, _, _ := strings.Cut(r.Host, "."); project != s.Project {
		return nil, &refusal{http.StatusNotFound, "ProjectNotExist", "The Project does not exist : " + project}
	}
	verb, writes := map[string]string{http.MethodGet: "Get", http.MethodPost: "Create", http.MethodPut: "Update"}[r.Method], r.Method != http.MethodGet
	var body Document
	if writes && (json.Unmarshal(content, &body) != nil || body == nil) || !writes && len(content) > 0 {
		return nil, &refusal{http.StatusBadRequest, "PostBodyInvalid", "the body is not what the action takes"}
	}
	noun, do := s.route(r.URL.Path, r.Method == http.MethodPost)
	if verb == "" || do == nil || r.URL.RawQuery != "" {
		return nil, &refusal{http.StatusNotFound, "InvalidAPI", r.Method + " " + r.URL.String()}
	}
	s.calls = append(s.calls, verb+noun)
	if code, ok := s.Refuse[verb+noun]; ok {
		return nil, &refusal{http.StatusUnauthorized, code, "denied by sts or ram, action: log:" + verb + noun}
	}
	return do(verb, body)
}

// route finds what a path is about.
func (s *Server) route(path string, create bool) (noun string, do func(string, Document) (Document, *refusal)) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) == 3 && parts[0] == "logstores" && parts[2] == "index":
		return "Index", func(verb string, body Document) (Document, *refusal) { return s.index(parts[1], verb, body) }
	case create && len(parts) == 1 && parts[0] == "dashboards":
		return "Dashboard", func(_ string, body Document) (Document, *refusal) { return s.createDashboard(body) }
	case create && len(parts) == 1 && parts[0] == "alerts":
		return "Alert", func(_ string, body Document) (Document, *refusal) { return s.createAlert(body) }
	case !create && len(parts) == 2 && parts[0] == "dashboards":
		return "Dashboard", func(verb string, body Document) (Document, *refusal) { return s.dashboard(parts[1], verb, body) }
	case !create && len(parts) == 2 && parts[0] == "alerts":
		return "Alert", func(verb string, body Document) (Document, *refusal) { return s.alert(parts[1], verb, body) }
	}
	return "", nil
}

func invalid(message string) *refusal {
	return &refusal{http.StatusBadRequest, "ParameterInvalid", message}
}

// index gets, creates or replaces the index of a log store. An update replaces all of it.
func (s *Server) index(store, verb string, body Document) (Document, *refusal) {
	missing := &refusal{http.StatusNotFound, "IndexConfigNotExist", "index config doesn't exist"}
	switch {
	case store != s.Store:
		return nil, &refusal{http.StatusNotFound, "LogStoreNotExist", "logstore " + store + " does not exist"}
	case verb == "Create" && s.Index != nil:
		return nil, &refusal{http.StatusBadRequest, "IndexAlreadyExist", "log store index is already created"}
	case verb != "Create" && s.Index == nil:
		return nil, missing
	case verb == "Get":
		out := Document{"index_mode": "v2", "storage": "pg", "lastModifyTime": 1}
		for name, value := range s.Index {
			out[name] = value
		}
		return out, nil
	}
	if wrong := checkIndex(body); wrong != "" {
		return nil, &refusal{http.StatusBadRequest, "IndexInfoInvalid", wrong}
	}
	s.Index = body
	return nil, nil
}

var indexMembers = []string{"keys", "line", "ttl", "max_text_len", "log_reduce", "log_reduce_white_list", "log_reduce_black_list"}

// checkIndex says what is wrong with an index; empty if nothing is.
func checkIndex(body Document) string {
	if wrong := others(body, indexMembers...); wrong != "" {
		return wrong
	}
	keys, _ := body["keys"].(Document)
	for name, value := range keys {
		key, _ := value.(Document)
		allowed := []string{"type", "doc_value", "caseSensitive", "chn", "token", "alias"}
		inner := Document{}
		if key["type"] == "json" {
			allowed = append(allowed, "index_all", "max_depth", "json_keys")
			inner, _ = key["json_keys"].(Document)
		}
		if wrong := others(key, allowed...); wrong != "" {
			return name + ": " + wrong
		}
		if !slices.Contains([]any{"text", "long", "double", "json"}, key["type"]) {
			return name + ": type"
		}
		if _, ok := key["token"].([]any); !ok && (key["type"] == "text" || key["type"] == "json") {
			return name + ": the token of a text is required"
		}
		for field, leaf := range inner {
			one, _ := leaf.(Document)
			if wrong := others(one, "type", "doc_value", "alias"); wrong != "" || !slices.Contains([]any{"text", "long", "double"}, one["type"]) {
				return name + "." + field + ": " + wrong
			}
		}
	}
	return ""
}

// others names a member that is none of those allowed; empty if there is none.
func others(body Document, allowed ...string) string {
	for name := range body {
		if !slices.Contains(allowed, name) {
			return "unknown member " + name
		}
	}
	return ""
}

// nameRule is that of dashboards and alert rules.
var nameRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{1,62}[A-Za-z0-9]$`)

func (s *Server) createDashboard(body Document) (Document, *refusal) {
	name, _ := body["dashboardName"].(string)
	if _, there := s.Dashboards[name]; there {
		return nil, &refusal{http.StatusBadRequest, "DashboardAlreadyExist", "dashboard " + name + " already exists"}
	}
	if wrong := checkDashboard(body, s.Store); wrong != "" {
		return nil, invalid(wrong)
	}
	s.Dashboards[name] = body
	return nil, nil
}

func (s *Server) dashboard(name, verb string, body Document) (Document, *refusal) {
	have, there := s.Dashboards[name]
	switch {
	case !there:
		return nil, &refusal{http.StatusNotFound, "DashboardNotExist", "dashboard " + name + " does not exist"}
	case verb == "Get":
		return have, nil
	case body["dashboardName"] != name:
		return nil, invalid("dashboardName")
	}
	if wrong := checkDashboard(body, s.Store); wrong != "" {
		return nil, invalid(wrong)
	}
	s.Dashboards[name] = body
	return nil, nil
}

// checkDashboard says what is wrong with a dashboard; empty if nothing is.
func checkDashboard(body Document, store string) string {
	name, _ := body["dashboardName"].(string)
	charts, _ := body["charts"].([]any)
	switch wrong := others(body, "dashboardName", "displayName", "description", "attribute", "charts"); {
	case wrong != "":
		return wrong
	case !nameRule.MatchString(name) || body["displayName"] == "" || len(charts) == 0:
		return "dashboardName, displayName and charts are required"
	}
	for _, one := range charts {
		chart, _ := one.(Document)
		search, _ := chart["search"].(Document)
		display, _ := chart["display"].(Document)
		_, query := search["query"].(string)
		wrong := others(chart, "title", "type", "search", "display", "action") + others(search, "logstore", "topic", "query", "start", "end") +
			others(display, "displayName", "xAxis", "yAxis", "xPos", "yPos", "width", "height")
		if wrong != "" || search["logstore"] != store || !query || !slices.Contains([]any{"line", "table", "bar", "pie", "map"}, chart["type"]) {
			return "a chart: " + wrong
		}
	}
	return ""
}
