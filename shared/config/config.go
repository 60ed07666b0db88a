// Package config reads every environment variable of the functions and of the setup, once: the fields below are the
// whole list, with type, default and meaning. Nothing else reads the environment.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
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
	ID     string `env:"ALIBABA_CLOUD_ACCESS_KEY_ID" doc:"Access key id; set by Function Compute from the function's role"`
	Secret Secret `env:"ALIBABA_CLOUD_ACCESS_KEY_SECRET" doc:"Access key secret; set by Function Compute from the function's role"`
	Token  Secret `env:"ALIBABA_CLOUD_SECURITY_TOKEN" doc:"STS token; set by Function Compute from the function's role"`
}

// Queue is where jobs and dead letters go.
type Queue struct {
	Endpoint   string        `env:"ROUTINELY_MNS_ENDPOINT,required,notEmpty" doc:"MNS endpoint, such as https://ACCOUNT.mns.REGION.aliyuncs.com"`
	Name       string        `env:"ROUTINELY_QUEUE" envDefault:"routinely-jobs" doc:"Queue of the jobs"`
	DeadLetter string        `env:"ROUTINELY_DEAD_LETTER_QUEUE" doc:"Queue of the dead letters; default: the job queue's name followed by -dead"`
	Timeout    time.Duration `env:"ROUTINELY_MNS_TIMEOUT" envDefault:"5s" doc:"Longest time for one MNS call"`
}

// Receivers are those who may be told of a job's end.
type Receivers struct {
	HTTP     bool           `env:"ROUTINELY_CALLBACK_HTTP" envDefault:"false" doc:"Whether callbacks may go to http URLs, where others can read them on the way"`
	Networks []netip.Prefix `env:"ROUTINELY_CALLBACK_NETWORKS" doc:"Networks that callbacks may go to although they are not public, such as 10.20.0.0/16, with commas between them"`
}

// Ledger is where the record of jobs is kept. Without an endpoint there is none.
type Ledger struct {
	Endpoint string        `env:"ROUTINELY_TABLESTORE_ENDPOINT" doc:"Tablestore endpoint, such as https://INSTANCE.REGION.ots.aliyuncs.com; without it no record of jobs is kept"`
	Instance string        `env:"ROUTINELY_TABLESTORE_INSTANCE" doc:"Tablestore instance; default: the first part of the endpoint's host name"`
	Table    string        `env:"ROUTINELY_TABLESTORE_TABLE" envDefault:"routinely_jobs" doc:"Table of the jobs"`
	Timeout  time.Duration `env:"ROUTINELY_TABLESTORE_TIMEOUT" envDefault:"2s" doc:"Longest time for one Tablestore call"`
}

// Common is the configuration that all functions have.
type Common struct {
	Key
	Queue
	CallbackQueue string `env:"ROUTINELY_CALLBACK_QUEUE" doc:"Queue of the callbacks; without it there are none, and requests with a callbackUrl are refused"`
	LogLevel      string `env:"ROUTINELY_LOG_LEVEL" envDefault:"info" doc:"debug, info, warn or error"`
}

// Base is the configuration that the functions have which keep a record of jobs.
type Base struct {
	Common
	Ledger Ledger
}

// Notify is the configuration of the function notify.
type Notify struct {
	Common
	Receivers Receivers
	Secrets   []Secret      `env:"ROUTINELY_CALLBACK_SECRETS,required,notEmpty" doc:"Secrets of which those are made that sign callbacks: whsec_ and 24 to 64 bytes in base64; several, with commas between them, while one takes the place of another"`
	Timeout   time.Duration `env:"ROUTINELY_CALLBACK_TIMEOUT" envDefault:"20s" doc:"Longest time for one callback"`
}

// Accept is the configuration of the function accept.
type Accept struct {
	Base
	Receivers Receivers
	Auth      Secret `env:"ROUTINELY_AUTH,required,notEmpty" doc:"Who may call: a JSON document of callers, see SECURITY.md; or the word none, which lets everybody in"`
}

// Setup is the configuration of the setup, which makes the queues and the table.
type Setup struct {
	Key
	Queue
	CallbackQueue string `env:"ROUTINELY_CALLBACK_QUEUE" doc:"Queue of the callbacks; without it none is made"`
	Ledger        Ledger
	Retention     time.Duration `env:"ROUTINELY_RETENTION" envDefault:"2160h" doc:"How long a job is remembered after its last change; 0 means for ever, 24h is the least. Only routinely setup reads it"`
}

// Provision is the configuration of the function provision.
type Provision struct {
	Base

	ESAEndpoint string        `env:"ROUTINELY_ESA_ENDPOINT" envDefault:"esa.cn-hangzhou.aliyuncs.com" doc:"ESA endpoint; esa.ap-southeast-1.aliyuncs.com for accounts of the international site"`
	ESATimeout  time.Duration `env:"ROUTINELY_ESA_TIMEOUT" envDefault:"30s" doc:"Longest time for one ESA call"`

	RetryBase             time.Duration `env:"ROUTINELY_RETRY_BASE" envDefault:"2s" doc:"Upper end of the first backoff; it doubles with each attempt"`
	RetryCap              time.Duration `env:"ROUTINELY_RETRY_CAP" envDefault:"15m" doc:"Longest backoff, and the longest throttle hint that is followed"`
	RetryAttempts         int           `env:"ROUTINELY_RETRY_ATTEMPTS" envDefault:"10" doc:"Attempts before a job is dead-lettered"`
	RetryInternalAttempts int           `env:"ROUTINELY_RETRY_INTERNAL_ATTEMPTS" envDefault:"3" doc:"Attempts for faults that nobody knows to pass (DependedByOthers, unlisted codes)"`
	RetryMaxAge           time.Duration `env:"ROUTINELY_RETRY_MAX_AGE" envDefault:"24h" doc:"Age after which a job is dead-lettered, waiting for the account lock included"`

	LockPollMin time.Duration `env:"ROUTINELY_LOCK_POLL_MIN" envDefault:"200ms" doc:"First pause before asking again for the account lock"`
	LockPollMax time.Duration `env:"ROUTINELY_LOCK_POLL_MAX" envDefault:"3s" doc:"Longest pause between two tries for the account lock"`
	Reserve     time.Duration `env:"ROUTINELY_RESERVE" envDefault:"15s" doc:"Time kept back before the function's deadline for handing work back"`
}

// LoadAccept reads the configuration of accept from the environment, given as NAME=value pairs. The error names every
// variable that is missing or unreadable.
func LoadAccept(environ []string) (Accept, error) {
	var cfg Accept
	err := load(environ, &cfg)
	cfg.Queue.complete()
	cfg.Ledger.complete()
	return cfg, err
}

// LoadProvision is LoadAccept for provision.
func LoadProvision(environ []string) (Provision, error) {
	var cfg Provision
	err := load(environ, &cfg)
	cfg.Queue.complete()
	cfg.Ledger.complete()
	return cfg, err
}

// LoadNotify is LoadAccept for notify.
func LoadNotify(environ []string) (Notify, error) {
	var cfg Notify
	err := load(environ, &cfg)
	cfg.Queue.complete()
	if err == nil && cfg.CallbackQueue == "" {
		err = errors.New("configuration: required environment variable \"ROUTINELY_CALLBACK_QUEUE\" is not set")
	}
	return cfg, err
}

// LoadSetup is LoadAccept for the setup.
func LoadSetup(environ []string) (Setup, error) {
	var cfg Setup
	err := load(environ, &cfg)
	cfg.Queue.complete()
	cfg.Ledger.complete()
	return cfg, err
}

// complete takes the instance from the endpoint. Tablestore's public addresses begin with it (endpoints page).
func (l *Ledger) complete() {
	if l.Instance == "" {
		_, host, _ := strings.Cut(l.Endpoint, "://")
		l.Instance, _, _ = strings.Cut(host, ".")
	}
}

func (q *Queue) complete() {
	if q.DeadLetter == "" {
		q.DeadLetter = q.Name + "-dead"
	}
}

func load(environ []string, cfg any) error {
	if err := env.ParseWithOptions(cfg, env.Options{Environment: env.ToMap(environ)}); err != nil {
		return fmt.Errorf("configuration: %s", strings.TrimPrefix(err.Error(), "env: "))
	}
	return nil
}

// Variable describes one environment variable.
type Variable struct {
	Name, Type, Default, Doc string
	Required, Secret         bool
}

// Variables lists the variables of a configuration, such as Accept{}, in the order of its fields.
func Variables(cfg any) []Variable {
	return variables(reflect.TypeOf(cfg))
}

func variables(t reflect.Type) []Variable {
	var out []Variable
	for field := range t.Fields() {
		tag, ok := field.Tag.Lookup("env")
		if !ok {
			out = append(out, variables(field.Type)...)
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		out = append(out, Variable{
			Name: name, Type: typeName(field.Type), Default: field.Tag.Get("envDefault"), Doc: field.Tag.Get("doc"),
			Required: strings.Contains(options, "required"), Secret: field.Type == reflect.TypeFor[Secret]() || field.Type == reflect.TypeFor[[]Secret](),
		})
	}
	return out
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[int]():
		return "integer"
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[[]netip.Prefix](), reflect.TypeFor[[]Secret]():
		return "list"
	}
	return "text"
}
