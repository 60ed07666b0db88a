// Package management is a small local server of the management APIs that the setup calls: RAM, Resource Management and Tablestore's
// instances. It is for tests only, strict about signatures and parameters, keeps everything in memory and imports no product code.
//
// The sources are the pages of the actions (RAM 2015-05-01, Resource Management 2020-03-31, Tablestore 2020-12-09) and "V3 request
// structure and signature". What the pages leave open: the status of an error.
package management

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/signature"
)

// maxVersions is how many versions a policy can have (limits page of RAM).
const maxVersions = 5

// maxDocument is the longest policy, in bytes (CreatePolicyVersion page).
const maxDocument = 6144

// Policy is a custom policy: its versions, the oldest first, and which of them is in force.
type Policy struct {
	Versions []string
	Default  int
}

// Server answers the APIs on one address. Its fields may be read and set while no request is served.
type Server struct {
	// Roles are trust policies by the role's name; service-linked ones have none.
	Roles map[string]string
	// Policies are those of the account.
	Policies map[string]*Policy
	// Attached are the names of policies by "role/NAME" or "user/NAME"; a user is there if it has an entry.
	Attached map[string][]string
	// Instances are the networks that reach an instance, by its name.
	Instances map[string][]string
	// Refuse are codes to answer an action with, instead of doing it.
	Refuse map[string]string

	verifier *signature.Verifier
	mu       sync.Mutex
	calls    []string
}

// New returns a server of an empty account, with an access key.
func New(keyID, keySecret string) *Server {
	return &Server{
		verifier: signature.New(keyID, keySecret, clock.System()), Roles: map[string]string{}, Policies: map[string]*Policy{}, Attached: map[string][]string{},
		Instances: map[string][]string{}, Refuse: map[string]string{},
	}
}

// Calls returns the actions called so far, and forgets them.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// Change changes the account while no request is served.
func (s *Server) Change(do func(*Server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(s)
}

// refusal is an error as the APIs answer it.
type refusal struct {
	status        int
	code, message string
}

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status, code, fmt.Sprintf(format, args...)}
}

// params are those of one call: texts, and lists of texts in a JSON body.
type params map[string]any

func (p params) text(name string) string {
	text, _ := p[name].(string)
	return text
}

func (p params) list(name string) []string {
	var out []string
	values, _ := p[name].([]any)
	for _, value := range values {
		out = append(out, fmt.Sprint(value))
	}
	return out
}

// action is one action: how it is called, its parameters, the required ones first, and what it does.
type action struct {
	version, method, path string
	required, optional    []string
	do                    func(*Server, params) (any, *refusal)
}

func actions() map[string]action {
	rpc := func(version string, required, optional []string, do func(*Server, params) (any, *refusal)) action {
		return action{version, http.MethodPost, "/", required, optional, do}
	}
	const ram = "2015-05-01"
	role, policy, user := []string{"RoleName"}, []string{"PolicyName", "PolicyType"}, []string{"UserName"}
	return map[string]action{
		"GetRole":             rpc(ram, role, nil, (*Server).getRole),
		"CreateRole":          rpc(ram, append(role, "AssumeRolePolicyDocument"), []string{"Description"}, (*Server).createRole),
		"UpdateRole":          rpc(ram, append(role, "NewAssumeRolePolicyDocument"), nil, (*Server).updateRole),
		"GetPolicy":           rpc(ram, policy, nil, (*Server).getPolicy),
		"CreatePolicy":        rpc(ram, []string{"PolicyName", "PolicyDocument"}, []string{"Description"}, (*Server).createPolicy),
		"CreatePolicyVersion": rpc(ram, []string{"PolicyName", "PolicyDocument"}, []string{"SetAsDefault", "RotateStrategy"}, (*Server).createVersion),
		"ListPoliciesForRole": rpc(ram, role, nil, func(s *Server, p params) (any, *refusal) { return s.listAttached("role", p.text("RoleName")) }),
		"ListPoliciesForUser": rpc(ram, user, nil, func(s *Server, p params) (any, *refusal) { return s.listAttached("user", p.text("UserName")) }),
		"AttachPolicyToRole": rpc(ram, append(role, policy...), nil, func(s *Server, p params) (any, *refusal) {
			return s.attach("role", p.text("RoleName"), p)
		}),
		"AttachPolicyToUser": rpc(ram, append(user, policy...), nil, func(s *Server, p params) (any, *refusal) {
			return s.attach("user", p.text("UserName"), p)
		}),
		"ListEntitiesForPolicy": rpc(ram, policy, nil, (*Server).listEntities),
		"ListPolicyVersions":    rpc(ram, policy, nil, (*Server).listVersions),
		"DeletePolicyVersion":   rpc(ram, []string{"PolicyName", "VersionId"}, nil, (*Server).deleteVersion),
		"DeletePolicy":          rpc(ram, []string{"PolicyName"}, nil, (*Server).deletePolicy),
		"DeleteRole":            rpc(ram, role, nil, (*Server).deleteRole),
		"DetachPolicyFromRole": rpc(ram, append(role, policy...), nil, func(s *Server, p params) (any, *refusal) {
			return s.detach("role", p.text("RoleName"), p)
		}),
		"DetachPolicyFromUser": rpc(ram, append(user, policy...), nil, func(s *Server, p params) (any, *refusal) {
			return s.detach("user", p.text("UserName"), p)
		}),
		"CreateServiceLinkedRole": rpc("2020-03-31", []string{"ServiceName"}, nil, (*Server).createServiceRole),
		"GetInstance":             {"2020-12-09", http.MethodGet, "/v2/openapi/getinstance", []string{"InstanceName"}, nil, (*Server).getInstance},
		"CreateInstance": {
			"2020-12-09", http.MethodPost, "/v2/openapi/createinstance",
			[]string{"InstanceName", "ClusterType"},
			[]string{"InstanceDescription", "NetworkTypeACL"},
			(*Server).createInstance,
		},
		"DeleteInstance": {"2020-12-09", http.MethodPost, "/v2/openapi/deleteinstance", []string{"InstanceName"}, nil, (*Server).deleteInstance},
		"UpdateInstance": {
			"2020-12-09", http.MethodPost, "/v2/openapi/updateinstance", []string{"InstanceName"}, []string{"NetworkTypeACL"}, (*Server).updateInstance,
		},
	}
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer, refused := s.serve(r)
	w.Header().Set("Content-Type", "application/json")
	if refused != nil {
		w.WriteHeader(refused.status)
		answer = map[string]any{"Code": refused.code, "Message": refused.message}
	}
	body := map[string]any{"RequestId": "REQUEST-1"}
	if fields, ok := answer.(map[string]any); ok {
		maps.Copy(body, fields)
	}
	_ = json.NewEncoder(w).Encode(body) // a client that went away is all that can fail
}

func (s *Server) serve(r *http.Request) (any, *refusal) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "InvalidParameter", "body: %v", err)
	}
	if refused := s.verifier.Verify(signature.Request{HTTP: r, Query: r.URL.Query(), Body: body}); refused != nil {
		return nil, refuse(refused.Status, refused.Code, "%s", refused.Message)
	}
	name := r.Header.Get("X-Acs-Action")
	what, known := actions()[name]
	if !known || r.Header.Get("X-Acs-Version") != what.version || r.Method != what.method || r.URL.Path != what.path {
		return nil, refuse(http.StatusNotFound, "InvalidAction.NotFound", "%s %s %s of %s", r.Method, r.URL.Path, name, r.Header.Get("X-Acs-Version"))
	}
	s.calls = append(s.calls, name)
	if code, ok := s.Refuse[name]; ok {
		return nil, refuse(http.StatusForbidden, code, "refused")
	}
	p, refused := readParams(r.URL.Query(), body)
	if refused != nil {
		return nil, refused
	}
	for _, one := range what.required {
		if p.text(one) == "" {
			return nil, refuse(http.StatusBadRequest, "Missing"+one, "%s is mandatory for this action.", one)
		}
	}
	for one := range p {
		if !slices.Contains(what.required, one) && !slices.Contains(what.optional, one) {
			return nil, refuse(http.StatusBadRequest, "InvalidParameter", "%s takes no %s", name, one)
		}
	}
	return what.do(s, p)
}

// readParams reads the query and a JSON body.
func readParams(query url.Values, body []byte) (params, *refusal) {
	p := params{}
	for name := range query {
		p[name] = query.Get(name)
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &p); err != nil {
			return nil, refuse(http.StatusBadRequest, "InvalidParameter", "body: %v", err)
		}
	}
	return p, nil
}

// isDocument reports whether a text is a policy document that RAM takes.
func isDocument(text string) bool {
	var document struct {
		Version   string
		Statement []map[string]any
	}
	return len(text) <= maxDocument && json.Unmarshal([]byte(text), &document) == nil && document.Version == "1" && len(document.Statement) > 0 &&
		!strings.Contains(text, "${")
}
