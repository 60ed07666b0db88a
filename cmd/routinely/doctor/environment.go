package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"routinely/cmd/routinely/cloud"
	"routinely/cmd/routinely/doctor/expected"
	"routinely/shared/config"
)

// The environment variables of a function may have 4096 bytes together, names and values (limits page of Function Compute). It is told in time,
// since each new caller makes ROUTINELY_AUTH longer.
const (
	environmentMost = 4096
	environmentFull = 3500
)

// variable is one that is compared, with what it is in a function and what it may be there.
type variable struct {
	name, have string
	may        []string
}

// environments examines the environment variables of the functions that are there, by their own names. No value of a secret is in a finding.
func (d *deployed) environments(all map[string]cloud.Environment) {
	var deletion, keys, keysOf string
	for _, want := range d.want {
		environment, there := all[want.Called]
		if !there {
			continue
		}
		d.size(want, environment)
		d.expressions(want, environment)
		found, err := d.load(want, environment)
		if err != nil {
			d.find(Finding{
				ID: "environment-settings", Area: "functions", Level: Problem, What: want.Name + ": " + err.Error(), Why: "The function does not start.",
				Repair: "Set the variables, and deploy it again: " + redeploy(want),
			})
			continue
		}
		if d.cfg.Deletion == "" && found.deletion != "" {
			deletion = cmp.Or(deletion, found.deletion)
			found.variables = append(found.variables, variable{"ROUTINELY_DELETE", found.deletion, []string{deletion}})
		}
		for _, one := range found.variables {
			d.compare(want, one)
		}
		if keysOf == "" {
			keys, keysOf = environment["ROUTINELY_MESSAGE_KEYS"], want.Name
		}
		if environment["ROUTINELY_MESSAGE_KEYS"] != keys {
			d.find(Finding{
				ID: "message-keys-differ", Area: "functions", Level: Problem, What: fmt.Sprintf("%s has other ROUTINELY_MESSAGE_KEYS than %s", want.Name, keysOf),
				Why:    "A function takes messages for those of strangers if it does not know the key that sealed them.",
				Repair: "Deploy all functions with the same keys: s deploy -y",
			})
		}
	}
}

func (d *deployed) size(of expected.Function, environment cloud.Environment) {
	bytes := 0
	for name, value := range environment {
		bytes += len(name) + len(value)
	}
	if bytes < environmentFull {
		return
	}
	f := Finding{
		ID: "environment-size", Area: "functions", Level: Warning,
		What: fmt.Sprintf("the environment variables of %s have %d bytes of %d", of.Name, bytes, environmentMost),
		Why:  "With more the function cannot be deployed.", Repair: "Take callers and keys that nobody needs any more out of it, and deploy it again: " + redeploy(of),
	}
	if bytes > environmentMost {
		f.Level = Problem
	}
	d.find(f)
}

// expressions looks for what the deployment tool would have filled in or taken out.
func (d *deployed) expressions(of expected.Function, environment cloud.Environment) {
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		if value := environment[name]; strings.Contains(value, "${") || strings.Contains(value, "<%") {
			d.find(Finding{
				ID: "environment-expression", Area: "functions", Level: Problem, What: fmt.Sprintf("%s of %s has ${ or <%% in its value", name, of.Name),
				Why:    "The deployment tool fills in or removes such texts, so the value is not what was meant.",
				Repair: "Choose a value without them, and deploy it again: " + redeploy(of),
			})
		}
	}
}

// compare reports a variable that is something else than it may be. Only variables that are no secrets come here.
func (d *deployed) compare(of expected.Function, one variable) {
	if slices.Contains(one.may, one.have) {
		return
	}
	d.find(Finding{
		ID: "environment-differs", Area: "functions", Level: Problem,
		What:   fmt.Sprintf("%s of %s is %s, and has to be %s", one.name, of.Name, shownValue(one.have), one.may[0]),
		Why:    "The function works with other queues, tables or times than the rest of the deployment.",
		Repair: fmt.Sprintf("Set %s to what is meant, here too, and deploy it again: %s", one.name, redeploy(of)),
	})
}

// loaded is what a function makes of its environment.
type loaded struct {
	variables []variable
	deletion  string
}

// load reads an environment as the function does, so that its defaults count.
func (d *deployed) load(of expected.Function, environment cloud.Environment) (loaded, error) {
	var pairs []string
	for name, value := range environment {
		pairs = append(pairs, name+"="+value)
	}
	var out loaded
	switch of.Called {
	case expected.Accept:
		cfg, err := config.LoadAccept(pairs)
		out.addCommon(d.cfg, cfg.Function)
		out.addLedger(d.cfg, cfg.Ledger)
		out.addRetention(d.cfg, cfg.Retention.String())
		out.addDeletion(d.cfg, cfg.Deletion)
		return out, err
	case expected.Provision:
		cfg, err := config.LoadProvision(pairs)
		out.addCommon(d.cfg, cfg.Function)
		out.addLedger(d.cfg, cfg.Ledger)
		out.addESA(d.cfg, cfg.ESA)
		out.addDeletion(d.cfg, cfg.Deletion)
		return out, err
	case expected.Janitor:
		cfg, err := config.LoadJanitor(pairs)
		out.addCommon(d.cfg, cfg.Function)
		out.addLedger(d.cfg, cfg.Ledger)
		out.addESA(d.cfg, cfg.ESA)
		out.addRetention(d.cfg, cfg.Retention.String())
		out.addDeletion(d.cfg, cfg.Deletion)
		return out, err
	}
	cfg, err := config.LoadNotify(pairs)
	out.addCommon(d.cfg, cfg.Function)
	return out, err
}

func (l *loaded) add(name, have string, may ...string) {
	l.variables = append(l.variables, variable{name, have, may})
}

func (l *loaded) addCommon(mine config.Doctor, have config.Function) {
	l.add("ROUTINELY_PREFIX", string(have.Prefix), string(mine.Prefix))
	l.add("ROUTINELY_MNS_ENDPOINT", have.Queue.Endpoint, append([]string{mine.Queue.Endpoint}, placeOf(mine).QueueEndpoints()...)...)
}

func (l *loaded) addLedger(mine config.Doctor, have config.Ledger) {
	l.add("ROUTINELY_TABLESTORE_INSTANCE", have.Instance, mine.Ledger.Instance)
	l.add("ROUTINELY_TABLESTORE_ENDPOINT", have.Endpoint, append([]string{mine.Ledger.Endpoint}, placeOf(mine).TableEndpoints(mine.Ledger.Instance)...)...)
}

func (l *loaded) addESA(mine config.Doctor, have config.ESA) {
	l.add("ROUTINELY_ESA_ENDPOINT", have.Endpoint, mine.ESA.Endpoint)
}

func (l *loaded) addRetention(mine config.Doctor, have string) {
	l.add("ROUTINELY_RETENTION", have, mine.Retention.String())
}

// addDeletion compares the deletion if this command was told one.
func (l *loaded) addDeletion(mine config.Doctor, have config.Deletion) {
	l.deletion = string(have)
	if mine.Deletion != "" {
		l.add("ROUTINELY_DELETE", string(have), string(mine.Deletion))
	}
}
