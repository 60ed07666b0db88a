package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"routinely/shared/config"
)

const (
	environmentFolder = "deploy/environments"
	extension         = ".env"
	// application is the file of Serverless Devs.
	application = "s.yaml"
)

// environment is a deployment by its name, and its settings by the names of their variables.
type environment struct {
	name     string
	settings map[string]string
}

var (
	validName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	// read is a variable that s.yaml reads; the second group is empty where it has no default.
	read = regexp.MustCompile(`env\('([A-Za-z_]+)'(,)?`)
	// resource is the name of a function in s.yaml.
	resource = regexp.MustCompile(`(?m)^  ([a-z]+):\n(?:    #.*\n)*    component:`)
)

// isProduction reports whether people use the environment: it is called so.
func isProduction(name string) bool { return strings.HasPrefix(name, "prod") }

// load reads an environment. It refuses one that could touch another one: each has a prefix of its own.
func load(folder, name string) (environment, error) {
	if !validName.MatchString(name) {
		return environment{}, fmt.Errorf("%q is no name of an environment: want small letters, digits and hyphens", name)
	}
	path := filepath.Join(folder, name+extension)
	settings, err := parse(path)
	if errors.Is(err, fs.ErrNotExist) {
		return environment{}, fmt.Errorf("there is no %s: copy %s there and fill it in", filepath.ToSlash(path), environmentFolder+"/staging.env.example")
	}
	if err != nil {
		return environment{}, err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"+extension))
	if err != nil {
		return environment{}, err
	}
	for _, other := range files {
		if other == path {
			continue
		}
		theirs, err := parse(other)
		if err != nil {
			return environment{}, err
		}
		if prefix := settings["ROUTINELY_PREFIX"]; prefix != "" && theirs["ROUTINELY_PREFIX"] == prefix {
			return environment{}, fmt.Errorf("%s has the prefix %s too, so its functions would be overwritten: give each environment its own", filepath.ToSlash(other), prefix)
		}
	}
	return environment{name, settings}, nil
}

// parse reads a file of lines NAME=VALUE. Lines that begin with # are comments. A value is taken as it is, without quotes and expansion.
func parse(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	out := map[string]string{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		_, twice := out[name]
		if !found || twice || strings.ContainsAny(name, " \t") || strings.ContainsAny(value, `"'`) {
			return nil, fmt.Errorf("%s, line %d: want NAME=VALUE, each name once, without quotes", filepath.ToSlash(path), n)
		}
		out[name] = value
	}
	return out, lines.Err()
}

// wanted are the variables that a deployment has: settings may be in the file of the environment, secrets may not.
type wanted struct {
	settings, required, secrets []string
	// resources are the functions, in the order of their deployment.
	resources []string
}

// inspect reads from s.yaml and from the tool's configuration what a deployment wants.
func inspect(path string) (wanted, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return wanted{}, err
	}
	secret := map[string]bool{}
	for _, cfg := range []config.Configuration{&config.Accept{}, &config.Provision{}, &config.Notify{}, &config.Janitor{}, &config.Doctor{}} {
		for _, v := range config.Variables(cfg) {
			secret[v.Name] = v.Secret
		}
	}
	var w wanted
	for _, found := range read.FindAllStringSubmatch(string(content), -1) {
		switch name := found[1]; {
		case secret[name]:
			w.secrets = append(w.secrets, name)
		default:
			w.settings = append(w.settings, name)
			if found[2] == "" {
				w.required = append(w.required, name)
			}
		}
	}
	for _, v := range config.Variables(&config.Doctor{}) {
		if strings.HasPrefix(v.Name, "ROUTINELY_") && !v.Secret {
			w.settings = append(w.settings, v.Name)
		}
	}
	for _, found := range resource.FindAllStringSubmatch(string(content), -1) {
		w.resources = append(w.resources, found[1])
	}
	w.settings = append(w.settings, "ROUTINELY_URL")
	w.required = append(w.required, "ROUTINELY_PREFIX", "ROUTINELY_REGION")
	for _, list := range []*[]string{&w.settings, &w.required, &w.secrets} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return w, nil
}

// check refuses settings that are missing, in the wrong place, or read by nobody.
func (w wanted) check(e environment) error {
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(e.settings)) {
		if !slices.Contains(w.settings, name) {
			wrong = append(wrong, name+" does not belong into the file: it is a secret, or nothing reads it")
		}
	}
	for _, name := range w.required {
		if e.settings[name] == "" {
			wrong = append(wrong, name+" is missing")
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%s/%s%s:\n  %s", environmentFolder, e.name, extension, strings.Join(wrong, "\n  "))
}

// variables are the variables of a process by their names; of several with a name the last counts.
func variables(environ []string) map[string]string {
	out := map[string]string{}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		out[name] = value
	}
	return out
}
