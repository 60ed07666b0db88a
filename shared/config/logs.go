package config

// Logs is the configuration of the setup of alerts and the dashboard.
type Logs struct {
	Key
	Prefix  Prefix
	Region  string
	Project string
	Store   string
	// Endpoint is that of Simple Log Service.
	Endpoint string
}

func (l *Logs) declare(s *settings) {
	l.Key.declare(s)
	l.Prefix.declare(s)
	s.region(&l.Region)
	s.text(&l.Project, Variable{Name: "ROUTINELY_LOG_PROJECT", Required: true, Doc: "Log project of the functions; only routinely setup alerts reads it"})
	s.text(&l.Store, Variable{Name: "ROUTINELY_LOG_STORE", Default: "default-logs", Doc: "Log store of the functions; only routinely setup alerts reads it"})
	s.text(&l.Endpoint, Variable{Name: "ROUTINELY_LOG_ENDPOINT", Doc: "Endpoint of Simple Log Service; default: REGION.log.aliyuncs.com. Only routinely setup alerts reads it"})
}

// LoadLogs is LoadAccept for the setup of alerts and the dashboard.
func LoadLogs(environ []string) (Logs, error) {
	var cfg Logs
	err := load(environ, &cfg)
	if cfg.Endpoint == "" {
		cfg.Endpoint = cfg.Region + ".log.aliyuncs.com"
	}
	return cfg, err
}
