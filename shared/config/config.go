// Package config reads every environment variable of the functions and of the setup, once: what the declare methods below declare is
// the whole list, with type, default and meaning. Nothing else reads the environment.
package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Secret is a value that must not be seen. It prints, logs and marshals as a row of stars.
type Secret string

const hidden = "***"

// String hides the value.
func (Secret) String() string { return hidden }

// GoString hides the value from %#v.
func (Secret) GoString() string { return hidden }

// MarshalText hides the value from JSON and everything built on it.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Reveal returns the value, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// Key is the access key of the function's role, as Function Compute puts it into the environment. Each invocation brings a
// newer one, which is preferred.
type Key struct {
	ID     string
	Secret Secret
	Token  Secret
}

// AccessKey returns the key as calls are signed with it; it is an accesskey.Source.
func (k Key) AccessKey() (id, secret, token string) { return k.ID, k.Secret.Reveal(), k.Token.Reveal() }

func (k *Key) declare(s *settings) {
	s.text(&k.ID, Variable{Name: "ALIBABA_CLOUD_ACCESS_KEY_ID", Doc: "Access key id; set by Function Compute from the function's role"})
	s.secret(&k.Secret, Variable{Name: "ALIBABA_CLOUD_ACCESS_KEY_SECRET", Doc: "Access key secret; set by Function Compute from the function's role"})
	s.secret(&k.Token, Variable{Name: "ALIBABA_CLOUD_SECURITY_TOKEN", Doc: "STS token; set by Function Compute from the function's role"})
}

// Queue is how the queues are reached. Their names come from the Prefix.
type Queue struct {
	Endpoint string
	Timeout  time.Duration
}

func (q *Queue) declare(s *settings) {
	s.text(&q.Endpoint, Variable{Name: "ROUTINELY_MNS_ENDPOINT", Required: true, Doc: "MNS endpoint, such as https://ACCOUNT.mns.REGION.aliyuncs.com"})
	s.duration(&q.Timeout, Variable{Name: "ROUTINELY_MNS_TIMEOUT", Default: "5s", Doc: "Longest time for one MNS call"})
}

// Receivers are those who may be told of a job's end.
type Receivers struct {
	HTTP     bool
	Networks []netip.Prefix
}

func (r *Receivers) declare(s *settings) {
	s.boolean(&r.HTTP, Variable{Name: "ROUTINELY_CALLBACK_HTTP", Default: "false", Doc: "Whether callbacks may go to http URLs, where others can read them on the way"})
	s.networks(&r.Networks, Variable{Name: "ROUTINELY_CALLBACK_NETWORKS", Doc: "Networks that callbacks may go to although they are not public, such as 10.20.0.0/16, with commas between them"})
}

// Ledger is how the ledger is reached. The names of its tables come from the Prefix.
type Ledger struct {
	Endpoint string
	Instance string
	Timeout  time.Duration
}

func (l *Ledger) declare(s *settings) {
	s.text(&l.Endpoint, Variable{Name: "ROUTINELY_TABLESTORE_ENDPOINT", Required: true, Doc: "Tablestore endpoint, such as https://INSTANCE.REGION.ots-internal.aliyuncs.com inside the region, https://INSTANCE.REGION.ots.aliyuncs.com elsewhere"})
	s.text(&l.Instance, Variable{Name: "ROUTINELY_TABLESTORE_INSTANCE", Doc: "Tablestore instance; default: the first part of the endpoint's host name"})
	s.duration(&l.Timeout, Variable{Name: "ROUTINELY_TABLESTORE_TIMEOUT", Default: "2s", Doc: "Longest time for one Tablestore call"})
}

// Function is the configuration that all functions have.
type Function struct {
	Key
	Prefix Prefix
	Queue  Queue
	// MessageKeys seal messages and verify them; package queue reads them.
	MessageKeys Secret
	LogLevel    string
}

func (c *Function) declare(s *settings) {
	c.Key.declare(s)
	c.Prefix.declare(s)
	c.Queue.declare(s)
	s.secret(&c.MessageKeys, Variable{Name: "ROUTINELY_MESSAGE_KEYS", Required: true, Doc: "Keys that seal the messages on the queues, ID:SECRET with commas between them: the first seals, all verify; routinely message-key makes one"})
	s.text(&c.LogLevel, Variable{Name: "ROUTINELY_LOG_LEVEL", Default: "info", Doc: "debug, info, warn or error"})
}

// LedgerFunction is the configuration that the functions have which read or write jobs.
type LedgerFunction struct {
	Function
	Ledger Ledger
}

func (b *LedgerFunction) declare(s *settings) {
	b.Function.declare(s)
	b.Ledger.declare(s)
}

// Notify is the configuration of the function notify.
type Notify struct {
	Function
	Receivers Receivers
	Secrets   []Secret
	Timeout   time.Duration
}

func (n *Notify) declare(s *settings) {
	n.Function.declare(s)
	n.Receivers.declare(s)
	s.secrets(&n.Secrets, Variable{Name: "ROUTINELY_CALLBACK_SECRETS", Required: true, Doc: "Secrets of which those are made that sign callbacks: whsec_ and 24 to 64 bytes in base64; several, with commas between them, while one takes the place of another"})
	s.duration(&n.Timeout, Variable{Name: "ROUTINELY_CALLBACK_TIMEOUT", Default: "20s", Doc: "Longest time for one callback"})
}

// Accept is the configuration of the function accept.
type Accept struct {
	LedgerFunction
	Receivers Receivers
	Auth      Secret
	Retention time.Duration
	Deletion  Deletion
	// ExpiryMin and ExpiryMax bound how long a request may say that a routine is to live.
	ExpiryMin, ExpiryMax time.Duration
	// ExpiryGrace is how long an expired routine stays after its host names were unbound.
	ExpiryGrace time.Duration
}

func (a *Accept) declare(s *settings) {
	a.LedgerFunction.declare(s)
	a.Receivers.declare(s)
	s.secret(&a.Auth, Variable{Name: "ROUTINELY_AUTH", Required: true, Doc: "Who may call: a JSON document of callers, which routinely callers edits, see SECURITY.md; or the word none, which lets everybody in"})
	s.retention(&a.Retention)
	a.Deletion.declare(s)
	s.duration(&a.ExpiryMin, Variable{Name: "ROUTINELY_EXPIRY_MIN", Default: "1h", Doc: "Shortest time that a request may ask a routine to live"})
	s.duration(&a.ExpiryMax, Variable{Name: "ROUTINELY_EXPIRY_MAX", Default: "720h", Doc: "Longest time that a request may ask a routine to live"})
	s.expiryGrace(&a.ExpiryGrace)
}

// ESA is how ESA is reached.
type ESA struct {
	Endpoint string
	Timeout  time.Duration
}

func (e *ESA) declare(s *settings) {
	s.text(&e.Endpoint, Variable{Name: "ROUTINELY_ESA_ENDPOINT", Default: "esa.cn-hangzhou.aliyuncs.com", Doc: "ESA endpoint; esa.ap-southeast-1.aliyuncs.com for accounts of the international site"})
	s.duration(&e.Timeout, Variable{Name: "ROUTINELY_ESA_TIMEOUT", Default: "30s", Doc: "Longest time for one ESA call"})
}

// Janitor is the configuration of the function janitor.
type Janitor struct {
	LedgerFunction
	Retention time.Duration
	Deletion  Deletion
	ESA       ESA
	// ExpirySettle is how long an expired routine is left alone after the janitor first saw it, and ExpiryGrace how long it stays after its host
	// names were unbound.
	ExpirySettle, ExpiryGrace time.Duration
	// ExpiryPerHour is how many jobs about expired routines the janitor makes in an hour, a tenth of the routines if that is more.
	ExpiryPerHour int
}

func (j *Janitor) declare(s *settings) {
	j.LedgerFunction.declare(s)
	s.retention(&j.Retention)
	j.Deletion.declare(s)
	j.ESA.declare(s)
	s.duration(&j.ExpirySettle, Variable{Name: "ROUTINELY_EXPIRY_SETTLE", Default: "10m", Doc: "How long the janitor leaves an expired routine alone after it first saw that its time is over"})
	s.expiryGrace(&j.ExpiryGrace)
	s.integer(&j.ExpiryPerHour, Variable{Name: "ROUTINELY_EXPIRY_PER_HOUR", Default: "3", Doc: "Most jobs that the janitor makes in an hour about expired routines; a tenth of all routines if that is more"})
}

// Place is where a deployment is.
type Place struct {
	Region    string
	AccountID string
}

func (p *Place) declare(s *settings) {
	s.region(&p.Region)
	s.text(&p.AccountID, Variable{Name: "ROUTINELY_ACCOUNT_ID", Required: true, Doc: "Id of the Alibaba Cloud account; s.yaml and routinely setup read it"})
}

// Setup is the configuration of the setup, which makes the queues and the tables.
type Setup struct {
	Key
	Prefix Prefix
	Place
	Queue     Queue
	Ledger    Ledger
	Retention time.Duration
	// Networks are those that the Tablestore instance is opened to, in Tablestore's words; without any it is left as it is.
	Networks []string
	// Instances is the endpoint of Tablestore's management.
	Instances string
}

func (c *Setup) declare(s *settings) {
	c.Key.declare(s)
	c.Prefix.declare(s)
	c.Place.declare(s)
	c.Queue.declare(s)
	c.Ledger.declare(s)
	s.retention(&c.Retention)
	s.words(&c.Networks, Variable{Name: "ROUTINELY_TABLESTORE_NETWORKS", Doc: "Networks that reach the Tablestore instance, of CLASSIC, VPC and INTERNET, with commas between them: routinely setup makes the instance if it is missing and opens it to these alone; without any it does neither"})
	s.text(&c.Instances, Variable{Name: "ROUTINELY_TABLESTORE_MANAGEMENT_ENDPOINT", Doc: "Endpoint of Tablestore's management; default: tablestore.REGION.aliyuncs.com. Only routinely setup reads it"})
}

// Doctor is the configuration of the command that examines a deployment: that of its setup, where ESA is, and what its functions are compared with.
type Doctor struct {
	Setup
	ESA ESA
	// Deletion is empty if it is not set: then the functions are compared with one another.
	Deletion Deletion
	// FunctionCompute and EventBridge are endpoints.
	FunctionCompute, EventBridge string
	RightsEndpoints
}

func (c *Doctor) declare(s *settings) {
	c.Setup.declare(s)
	c.ESA.declare(s)
	c.Deletion.declareOptional(s)
	s.text(&c.FunctionCompute, Variable{Name: functionComputeEndpoint, Doc: "Endpoint of Function Compute; default: ACCOUNT.REGION.fc.aliyuncs.com. Only routinely doctor reads it"})
	s.text(&c.EventBridge, Variable{Name: eventBridgeEndpoint, Doc: "Endpoint of EventBridge's management; default: eventbridge-console.REGION.aliyuncs.com. Only routinely doctor reads it"})
	c.RightsEndpoints.declare(s)
}

const (
	functionComputeEndpoint = "ROUTINELY_FC_ENDPOINT"
	eventBridgeEndpoint     = "ROUTINELY_EVENTBRIDGE_ENDPOINT"
)

// NoLimits is the word for a caller that may name and bind everything.
const NoLimits = "none"

// Provision is the configuration of the function provision.
type Provision struct {
	LedgerFunction

	Receivers Receivers
	// QueueLimits are what requests may name and bind that other programs put on the queue: NoLimits, or what package routine reads.
	QueueLimits string
	Deletion    Deletion

	ESA ESA

	RetryBase             time.Duration
	RetryCap              time.Duration
	RetryAttempts         int
	RetryInternalAttempts int
	RetryMaxAge           time.Duration

	LockPollMin time.Duration
	LockPollMax time.Duration

	ParkWait     time.Duration
	ParkDelayMin time.Duration
	ParkDelayMax time.Duration

	Reserve time.Duration
}

func (p *Provision) declare(s *settings) {
	p.LedgerFunction.declare(s)
	p.Receivers.declare(s)
	s.text(&p.QueueLimits, Variable{Name: "ROUTINELY_QUEUE_LIMITS", Default: NoLimits, Doc: "What requests may name and bind that other programs put on the queue: a JSON object with names, recordSuffixes, sites and expiresAt, of which each may be left out; or the word none, for no limits"})
	p.Deletion.declare(s)
	p.ESA.declare(s)
	s.duration(&p.RetryBase, Variable{Name: "ROUTINELY_RETRY_BASE", Default: "2s", Doc: "Upper end of the first backoff; it doubles with each attempt"})
	s.duration(&p.RetryCap, Variable{Name: "ROUTINELY_RETRY_CAP", Default: "15m", Doc: "Longest backoff, and the longest throttle hint that is followed"})
	s.integer(&p.RetryAttempts, Variable{Name: "ROUTINELY_RETRY_ATTEMPTS", Default: "10", Doc: "Attempts before a job is dead-lettered"})
	s.integer(&p.RetryInternalAttempts, Variable{Name: "ROUTINELY_RETRY_INTERNAL_ATTEMPTS", Default: "3", Doc: "Attempts for faults that nobody knows to pass (DependedByOthers, unlisted codes)"})
	s.duration(&p.RetryMaxAge, Variable{Name: "ROUTINELY_RETRY_MAX_AGE", Default: "24h", Doc: "Age, from the first answer of ESA in its round, at which a job is dead-lettered, waiting for the account lock included"})
	s.duration(&p.LockPollMin, Variable{Name: "ROUTINELY_LOCK_POLL_MIN", Default: "200ms", Doc: "First pause before asking again for the account lock"})
	s.duration(&p.LockPollMax, Variable{Name: "ROUTINELY_LOCK_POLL_MAX", Default: "3s", Doc: "Longest pause between two tries for the account lock"})
	s.wait(&p.ParkWait, Variable{Name: "ROUTINELY_PARK_WAIT", Default: "60s", Doc: "Longest time that an invocation waits in place while the lane is parked"})
	s.duration(&p.ParkDelayMin, Variable{Name: "ROUTINELY_PARK_DELAY_MIN", Default: "1m", Doc: "Shortest delay of a job that finds the lane parked or paused"})
	s.duration(&p.ParkDelayMax, Variable{Name: "ROUTINELY_PARK_DELAY_MAX", Default: "5m", Doc: "Longest delay of a job that finds the lane parked or paused"})
	s.duration(&p.Reserve, Variable{Name: "ROUTINELY_RESERVE", Default: "20s", Doc: "Time kept back before the function's deadline for handing work back"})
}

// LoadAccept reads the configuration of accept from the environment, given as NAME=value pairs. The error names every
// variable that is missing or unreadable.
func LoadAccept(environ []string) (Accept, error) {
	var cfg Accept
	err := load(environ, &cfg)
	if err == nil && cfg.ExpiryMax < cfg.ExpiryMin {
		err = fmt.Errorf("configuration: ROUTINELY_EXPIRY_MAX (%s) is less than ROUTINELY_EXPIRY_MIN (%s)", cfg.ExpiryMax, cfg.ExpiryMin)
	}
	cfg.Ledger.complete()
	return cfg, err
}

// LoadProvision is LoadAccept for provision.
func LoadProvision(environ []string) (Provision, error) {
	var cfg Provision
	err := load(environ, &cfg)
	cfg.Ledger.complete()
	return cfg, err
}

// LoadNotify is LoadAccept for notify.
func LoadNotify(environ []string) (Notify, error) {
	var cfg Notify
	err := load(environ, &cfg)
	return cfg, err
}

// LoadJanitor is LoadAccept for the janitor, which also runs on somebody's machine: its endpoints are found as those of the setup.
func LoadJanitor(environ []string) (Janitor, error) {
	var cfg Janitor
	err := load(withEndpoints(environ), &cfg)
	cfg.Ledger.complete()
	return cfg, err
}

// LoadSetup is LoadAccept for the setup. Endpoints that are not given are those of the region outside of it: the setup runs on
// somebody's machine.
func LoadSetup(environ []string) (Setup, error) {
	var cfg Setup
	err := load(withEndpoints(environ), &cfg)
	cfg.Ledger.complete()
	return cfg, err
}

// LoadDoctor is LoadSetup for the command that examines a deployment.
func LoadDoctor(environ []string) (Doctor, error) {
	var cfg Doctor
	err := load(withEndpoints(environ), &cfg)
	cfg.Ledger.complete()
	return cfg, err
}

// LoadRights is LoadAccept for the setup of roles and policies.
func LoadRights(environ []string) (Rights, error) {
	var cfg Rights
	err := load(environ, &cfg)
	return cfg, err
}

// withEndpoints adds the endpoints that follow from region, account and instance (endpoints pages of Simple Message Queue, Tablestore, Function
// Compute and EventBridge), where what they are made of is known.
func withEndpoints(environ []string) []string {
	var place Place
	var table Ledger
	_ = load(environ, &place) // what is wrong or missing is told when the whole is loaded
	_ = load(environ, &table)
	values := lookUp(environ)
	out := slices.Clone(environ)
	add := func(name, endpoint string, known bool) {
		if values[name] == "" && known {
			out = append(out, name+"="+endpoint)
		}
	}
	add("ROUTINELY_MNS_ENDPOINT", "https://"+place.AccountID+".mns."+place.Region+".aliyuncs.com", place.AccountID != "")
	add("ROUTINELY_TABLESTORE_ENDPOINT", "https://"+table.Instance+"."+place.Region+".ots.aliyuncs.com", table.Instance != "")
	add("ROUTINELY_TABLESTORE_MANAGEMENT_ENDPOINT", "tablestore."+place.Region+".aliyuncs.com", true)
	add(functionComputeEndpoint, place.AccountID+"."+place.Region+".fc.aliyuncs.com", place.AccountID != "")
	add(eventBridgeEndpoint, "eventbridge-console."+place.Region+".aliyuncs.com", true)
	return out
}

// complete takes the instance from the endpoint. Tablestore's addresses begin with it (endpoints page).
func (l *Ledger) complete() {
	if l.Instance == "" {
		_, host, _ := strings.Cut(l.Endpoint, "://")
		l.Instance, _, _ = strings.Cut(host, ".")
	}
}
