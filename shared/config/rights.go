package config

// Rights is the configuration of the setup of roles and policies.
type Rights struct {
	Key
	Prefix Prefix
	Place
	Deletion Deletion
	Instance string
	RightsEndpoints
}

func (r *Rights) declare(s *settings) {
	r.Key.declare(s)
	r.Prefix.declare(s)
	r.Place.declare(s)
	r.Deletion.declare(s)
	s.text(&r.Instance, Variable{Name: "ROUTINELY_TABLESTORE_INSTANCE", Required: true, Doc: "Tablestore instance; default: the first part of the endpoint's host name"})
	r.RightsEndpoints.declare(s)
}

// RightsEndpoints are where roles and policies are.
type RightsEndpoints struct{ RAM, ResourceManager string }

func (r *RightsEndpoints) declare(s *settings) {
	s.text(&r.RAM, Variable{Name: "ROUTINELY_RAM_ENDPOINT", Default: "ram.aliyuncs.com", Doc: "RAM endpoint; only routinely setup rights and routinely doctor read it"})
	s.text(&r.ResourceManager, Variable{Name: "ROUTINELY_RESOURCE_MANAGER_ENDPOINT", Default: "resourcemanager.aliyuncs.com", Doc: "Resource Management endpoint; only routinely setup rights and routinely doctor read it"})
}

// Rights is the configuration of the setup of the roles and policies of the deployment that is examined.
func (c *Doctor) Rights() Rights {
	return Rights{Key: c.Key, Prefix: c.Prefix, Place: c.Place, Deletion: c.Deletion, Instance: c.Ledger.Instance, RightsEndpoints: c.RightsEndpoints}
}
