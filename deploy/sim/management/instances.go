package management

import (
	"net/http"
	"regexp"
	"slices"
)

// instanceName is Tablestore's rule for names (CreateInstance page), but for the words that a name must not contain.
var instanceName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{1,14}[A-Za-z0-9]$`)

func (s *Server) getInstance(p params) (any, *refusal) {
	name := p.text("InstanceName")
	networks, ok := s.Instances[name]
	if !ok {
		return nil, refuse(http.StatusNotFound, "NotFound", "The instance does not exist: %s", name)
	}
	return map[string]any{"InstanceName": name, "InstanceStatus": "normal", "NetworkTypeACL": networks}, nil
}

func (s *Server) createInstance(p params) (any, *refusal) {
	name := p.text("InstanceName")
	if _, ok := s.Instances[name]; ok || !instanceName.MatchString(name) || !slices.Contains([]string{"SSD", "HYBRID"}, p.text("ClusterType")) {
		return nil, refuse(http.StatusBadRequest, "OTSParameterInvalid", "%v", p)
	}
	return s.open(name, p)
}

func (s *Server) updateInstance(p params) (any, *refusal) {
	name := p.text("InstanceName")
	if _, ok := s.Instances[name]; !ok {
		return nil, refuse(http.StatusNotFound, "NotFound", "The instance does not exist: %s", name)
	}
	return s.open(name, p)
}

func (s *Server) deleteInstance(p params) (any, *refusal) {
	name := p.text("InstanceName")
	if _, ok := s.Instances[name]; !ok {
		return nil, refuse(http.StatusNotFound, "NotFound", "The instance does not exist: %s", name)
	}
	delete(s.Instances, name)
	return nil, nil
}

func (s *Server) open(name string, p params) (any, *refusal) {
	networks := p.list("NetworkTypeACL")
	for _, network := range networks {
		if !slices.Contains([]string{"INTERNET", "VPC", "CLASSIC"}, network) {
			return nil, refuse(http.StatusBadRequest, "OTSParameterInvalid", "NetworkTypeACL: %s", network)
		}
	}
	s.Instances[name] = networks
	return nil, nil
}
