package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Variable describes one environment variable. Limits are those of a number or a duration; empty if it has none.
type Variable struct {
	Name, Type, Limits, Default, Doc string
	Required, Secret                 bool
}

// Configuration is a pointer to one of this package's configurations or their parts.
type Configuration interface{ declare(*settings) }

// Variables lists the variables of a configuration, such as &Accept{}, in the order of its fields.
func Variables(cfg Configuration) []Variable {
	var s settings
	cfg.declare(&s)
	out := make([]Variable, len(s.all))
	for i, one := range s.all {
		out[i] = one.Variable
	}
	return out
}

// settings are the variables of a configuration. They are declared by calls and not by tags of its fields: a package that reads tags by
// reflection adds a thirtieth to each cold start.
type settings struct{ all []setting }

// setting is a variable and what takes over its value.
type setting struct {
	Variable
	set func(value string) error
}

func (s *settings) add(kind string, v Variable, set func(string) error) {
	v.Type = kind
	s.all = append(s.all, setting{v, set})
}

func (s *settings) text(to *string, v Variable) {
	s.add("text", v, func(value string) error {
		*to = value
		return nil
	})
}

func (s *settings) secret(to *Secret, v Variable) {
	v.Secret = true
	s.text((*string)(to), v)
}

func (s *settings) secrets(to *[]Secret, v Variable) {
	v.Secret = true
	s.add("list", v, func(value string) error {
		for one := range strings.SplitSeq(value, ",") {
			*to = append(*to, Secret(one))
		}
		return nil
	})
}

func (s *settings) words(to *[]string, v Variable) {
	s.add("list", v, func(value string) error {
		*to = strings.Split(value, ",")
		return nil
	})
}

func (s *settings) networks(to *[]netip.Prefix, v Variable) {
	s.add("list", v, func(value string) error {
		for one := range strings.SplitSeq(value, ",") {
			network, err := netip.ParsePrefix(one)
			if err != nil {
				return err
			}
			*to = append(*to, network)
		}
		return nil
	})
}

// MinRetention is the shortest time that jobs are kept. It leaves a month to find a job that died, and is far above the week that a message can lie
// on a queue.
const MinRetention = 30 * 24 * time.Hour

func (s *settings) retention(to *time.Duration) {
	v := Variable{
		Name: "ROUTINELY_RETENTION", Default: "2160h", Limits: "0, or at least 720h",
		Doc: "How long a job is remembered after its last change; 0 means for ever, 720h is the least",
	}
	s.add("duration", v, func(value string) error {
		d, err := time.ParseDuration(value)
		if err == nil && d != 0 && d < MinRetention {
			err = fmt.Errorf("%s is less than %s", d, MinRetention)
		}
		*to = d
		return err
	})
}

// duration is one above 0.
func (s *settings) duration(to *time.Duration, v Variable) {
	v.Limits = "above 0"
	s.add("duration", v, func(value string) error {
		d, err := time.ParseDuration(value)
		if err == nil && d <= 0 {
			err = fmt.Errorf("%s is not above 0", d)
		}
		*to = d
		return err
	})
}

func (s *settings) region(to *string) {
	s.text(to, Variable{Name: "ROUTINELY_REGION", Default: "cn-hangzhou", Doc: "Region of the deployment; s.yaml and routinely setup read it"})
}

func (s *settings) expiryGrace(to *time.Duration) {
	s.duration(to, Variable{Name: "ROUTINELY_EXPIRY_GRACE", Default: "24h", Doc: "How long an expired routine stays after its host names were unbound; then it is deleted"})
}

// wait is a duration that can be none.
func (s *settings) wait(to *time.Duration, v Variable) {
	v.Limits = "0 or more"
	s.add("duration", v, func(value string) error {
		d, err := time.ParseDuration(value)
		if err == nil && d < 0 {
			err = fmt.Errorf("%s is less than 0", d)
		}
		*to = d
		return err
	})
}

// integer is one above 0.
func (s *settings) integer(to *int, v Variable) {
	v.Limits = "at least 1"
	s.add("integer", v, func(value string) error {
		n, err := strconv.Atoi(value)
		if err == nil && n < 1 {
			err = fmt.Errorf("%d is less than 1", n)
		}
		*to = n
		return err
	})
}

func (s *settings) boolean(to *bool, v Variable) {
	s.add("true or false", v, func(value string) (err error) {
		*to, err = strconv.ParseBool(value)
		return err
	})
}

// lookUp reads NAME=value pairs, of which the last of a name counts.
func lookUp(environ []string) map[string]string {
	given := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		given[name] = value
	}
	return given
}

// load takes the values from the environment. An empty one counts as not given.
func load(environ []string, cfg Configuration) error {
	var s settings
	cfg.declare(&s)
	given := lookUp(environ)
	var wrong []string
	for _, one := range s.all {
		value := cmp.Or(given[one.Name], one.Default)
		if value == "" && one.Required {
			wrong = append(wrong, fmt.Sprintf("required environment variable %q is not set. %s", one.Name, one.Doc))
		}
		if value == "" {
			continue
		}
		if err := one.set(value); err != nil {
			wrong = append(wrong, fmt.Sprintf("environment variable %q: want %s: %v", one.Name, one.Type, err))
		}
	}
	if len(wrong) > 0 {
		return errors.New("configuration: " + strings.Join(wrong, "; "))
	}
	return nil
}
