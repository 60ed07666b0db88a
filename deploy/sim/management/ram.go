package management

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func missing(kind, name string) *refusal {
	return refuse(http.StatusNotFound, "EntityNotExist."+kind, "The %s does not exist: %s", kind, name)
}

func exists(kind, name string) *refusal {
	return refuse(http.StatusConflict, "EntityAlreadyExists."+kind, "The %s already exists: %s", kind, name)
}

func (s *Server) getRole(p params) (any, *refusal) {
	name := p.text("RoleName")
	trust, ok := s.Roles[name]
	if !ok {
		return nil, missing("Role", name)
	}
	return map[string]any{"Role": map[string]any{"RoleName": name, "AssumeRolePolicyDocument": trust}}, nil
}

func (s *Server) createRole(p params) (any, *refusal) {
	name, trust := p.text("RoleName"), p.text("AssumeRolePolicyDocument")
	if _, ok := s.Roles[name]; ok {
		return nil, exists("Role", name)
	}
	if !isDocument(trust) || len(name) > 64 {
		return nil, refuse(http.StatusBadRequest, "MalformedPolicyDocument", "%s: %s", name, trust)
	}
	s.Roles[name] = trust
	return nil, nil
}

func (s *Server) updateRole(p params) (any, *refusal) {
	name, trust := p.text("RoleName"), p.text("NewAssumeRolePolicyDocument")
	if _, ok := s.Roles[name]; !ok {
		return nil, missing("Role", name)
	}
	if !isDocument(trust) {
		return nil, refuse(http.StatusBadRequest, "MalformedPolicyDocument", "%s", trust)
	}
	s.Roles[name] = trust
	return nil, nil
}

// serviceRole is the name of a service's role, empty if it has none.
func serviceRole(service string) string {
	switch service {
	case "fc.aliyuncs.com":
		return "AliyunServiceRoleForFC"
	case "sendevent-fc.eventbridge.aliyuncs.com":
		return "AliyunServiceRoleForEventBridgeSendToFC"
	case "sendevent-mns.eventbridge.aliyuncs.com":
		return "AliyunServiceRoleForEventBridgeSendToMNS"
	}
	return ""
}

func (s *Server) createServiceRole(p params) (any, *refusal) {
	name := serviceRole(p.text("ServiceName"))
	if name == "" {
		return nil, refuse(http.StatusNotFound, "EntityNotExist.ServiceName", "%s", p.text("ServiceName"))
	}
	if _, ok := s.Roles[name]; ok {
		return nil, exists("Role", name)
	}
	s.Roles[name] = ""
	return nil, nil
}

func (s *Server) getPolicy(p params) (any, *refusal) {
	name := p.text("PolicyName")
	found, ok := s.Policies[name]
	if !ok || p.text("PolicyType") != "Custom" {
		return nil, missing("Policy", name)
	}
	return map[string]any{"DefaultPolicyVersion": map[string]any{"PolicyDocument": found.Versions[found.Default], "IsDefaultVersion": true}}, nil
}

func (s *Server) createPolicy(p params) (any, *refusal) {
	name, document := p.text("PolicyName"), p.text("PolicyDocument")
	if _, ok := s.Policies[name]; ok {
		return nil, exists("Policy", name)
	}
	if !isDocument(document) {
		return nil, refuse(http.StatusBadRequest, "MalformedPolicyDocument", "%d bytes: %s", len(document), document)
	}
	s.Policies[name] = &Policy{Versions: []string{document}}
	return nil, nil
}

func (s *Server) createVersion(p params) (any, *refusal) {
	name, document := p.text("PolicyName"), p.text("PolicyDocument")
	found, ok := s.Policies[name]
	switch {
	case !ok:
		return nil, missing("Policy", name)
	case !isDocument(document):
		return nil, refuse(http.StatusBadRequest, "MalformedPolicyDocument", "%d bytes: %s", len(document), document)
	case len(found.Versions) == maxVersions && p.text("RotateStrategy") != "DeleteOldestNonDefaultVersionWhenLimitExceeded":
		return nil, refuse(http.StatusConflict, "LimitExceeded.Policy.Version", "The count of policy versions beyond the current limits.")
	case len(found.Versions) == maxVersions:
		oldest := 0
		if found.Default == 0 {
			oldest = 1
		}
		found.Versions = slices.Delete(found.Versions, oldest, oldest+1)
		found.Default = max(found.Default-1, 0)
	}
	found.Versions = append(found.Versions, document)
	if asDefault, err := strconv.ParseBool(p.text("SetAsDefault")); err == nil && asDefault {
		found.Default = len(found.Versions) - 1
	}
	return nil, nil
}

// versionID is what RAM calls a version here: v and its place. RAM counts on when one is deleted.
func versionID(i int) string { return "v" + strconv.Itoa(i+1) }

func (s *Server) listVersions(p params) (any, *refusal) {
	name := p.text("PolicyName")
	found, ok := s.Policies[name]
	if !ok {
		return nil, missing("Policy", name)
	}
	list := []map[string]any{}
	for i := range found.Versions {
		list = append(list, map[string]any{"VersionId": versionID(i), "IsDefaultVersion": i == found.Default})
	}
	return map[string]any{"PolicyVersions": map[string]any{"PolicyVersion": list}}, nil
}

// deleteVersion empties a version, so that the others keep their ids.
func (s *Server) deleteVersion(p params) (any, *refusal) {
	found, ok := s.Policies[p.text("PolicyName")]
	if !ok {
		return nil, missing("Policy", p.text("PolicyName"))
	}
	for i := range found.Versions {
		if versionID(i) == p.text("VersionId") && i != found.Default && found.Versions[i] != "" {
			found.Versions[i] = ""
			return nil, nil
		}
	}
	return nil, missing("Policy.Version", p.text("VersionId"))
}

func (s *Server) listEntities(p params) (any, *refusal) {
	name := p.text("PolicyName")
	if _, ok := s.Policies[name]; !ok {
		return nil, missing("Policy", name)
	}
	roles, users := []map[string]any{}, []map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(s.Attached)) {
		if !slices.Contains(s.Attached[key], name) {
			continue
		}
		if role, ok := strings.CutPrefix(key, "role/"); ok {
			roles = append(roles, map[string]any{"RoleName": role})
		} else {
			users = append(users, map[string]any{"UserName": strings.TrimPrefix(key, "user/")})
		}
	}
	return map[string]any{"Roles": map[string]any{"Role": roles}, "Users": map[string]any{"User": users}}, nil
}

func (s *Server) deletePolicy(p params) (any, *refusal) {
	name := p.text("PolicyName")
	found, ok := s.Policies[name]
	if !ok {
		return nil, missing("Policy", name)
	}
	for i, version := range found.Versions {
		if version != "" && i != found.Default {
			return nil, refuse(http.StatusConflict, "DeleteConflict.Policy.Version", "%s", name)
		}
	}
	for key, policies := range s.Attached {
		if slices.Contains(policies, name) {
			return nil, refuse(http.StatusConflict, "DeleteConflict.Policy.Attached", "%s has %s", key, name)
		}
	}
	delete(s.Policies, name)
	return nil, nil
}

func (s *Server) deleteRole(p params) (any, *refusal) {
	name := p.text("RoleName")
	if _, ok := s.Roles[name]; !ok {
		return nil, missing("Role", name)
	}
	if len(s.Attached["role/"+name]) > 0 {
		return nil, refuse(http.StatusConflict, "DeleteConflict.Role.Policy", "%s", name)
	}
	delete(s.Roles, name)
	return nil, nil
}

func (s *Server) detach(kind, name string, p params) (any, *refusal) {
	key, refused := s.holder(kind, name)
	if refused != nil {
		return nil, refused
	}
	i := slices.Index(s.Attached[key], p.text("PolicyName"))
	if i < 0 {
		return nil, missing("Role.Policy", p.text("PolicyName"))
	}
	s.Attached[key] = slices.Delete(s.Attached[key], i, i+1)
	return nil, nil
}

// holder is whom policies are attached to.
func (s *Server) holder(kind, name string) (string, *refusal) {
	key := kind + "/" + name
	if kind == "role" {
		if _, ok := s.Roles[name]; !ok {
			return "", missing("Role", name)
		}
	} else if _, ok := s.Attached[key]; !ok {
		return "", missing("User", name)
	}
	return key, nil
}

func (s *Server) listAttached(kind, name string) (any, *refusal) {
	key, refused := s.holder(kind, name)
	if refused != nil {
		return nil, refused
	}
	list := []map[string]any{}
	for _, policy := range s.Attached[key] {
		list = append(list, map[string]any{"PolicyName": policy, "PolicyType": "Custom"})
	}
	return map[string]any{"Policies": map[string]any{"Policy": list}}, nil
}

func (s *Server) attach(kind, name string, p params) (any, *refusal) {
	key, refused := s.holder(kind, name)
	if refused != nil {
		return nil, refused
	}
	policy := p.text("PolicyName")
	if _, ok := s.Policies[policy]; !ok || p.text("PolicyType") != "Custom" {
		return nil, missing("Policy", policy)
	}
	if slices.Contains(s.Attached[key], policy) {
		return nil, exists("Role.Policy", policy)
	}
	s.Attached[key] = append(s.Attached[key], policy)
	return nil, nil
}
