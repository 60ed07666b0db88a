package deploy_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"routinely/shared/config"
)

// Two deployments in one account. The second's prefix begins with the first's and goes on as names of the first do.
const firstPrefix, secondPrefix = "test", "test-jobs"

// leaves returns every text of a rendered file, with its place.
func leaves(at string, value any) map[string]string {
	out := map[string]string{}
	add := func(key string, inner any) {
		for place, text := range leaves(at+"/"+key, inner) {
			out[place] = text
		}
	}
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			add(key, inner)
		}
	case []any:
		for i, inner := range value {
			add(fmt.Sprint(i), inner)
		}
	case string:
		out[at] = value
	}
	return out
}

// namesOf returns the names of what a deployment owns, as s.yaml gives them, by their places.
func namesOf(t *testing.T, file []byte, prefix string) map[string]string {
	t.Helper()
	doc, err := render(file, with("ROUTINELY_PREFIX", prefix))
	if err != nil {
		t.Fatal(err)
	}
	out := leaves("", doc["resources"])
	maps.DeleteFunc(out, func(place, _ string) bool {
		return !slices.Contains([]string{"functionName", "role", "QueueName", "Arn"}, path.Base(place))
	})
	return out
}

// sharedNames returns the places of names that two deployments have in common.
func sharedNames(first, second map[string]string) []string {
	others := slices.Collect(maps.Values(second))
	var out []string
	for place, name := range first {
		if slices.Contains(others, name) {
			out = append(out, place+": "+name)
		}
	}
	return distinct(out)
}

func TestTwoDeployments(t *testing.T) {
	file := read(t, "s.yaml")
	t.Run("share no name in s.yaml", func(t *testing.T) {
		first := namesOf(t, file, firstPrefix)
		if len(first) < 10 {
			t.Fatalf("names %q", first)
		}
		for _, line := range sharedNames(first, namesOf(t, file, secondPrefix)) {
			t.Errorf("both have %s", line)
		}
	})
	t.Run("reserve as many instances as the page says, and two leave room for others", func(t *testing.T) {
		reserved := 0
		for _, props := range properties(t, file, account).all() {
			reserved += int(number(at(props, "concurrencyConfig", "reservedConcurrency")))
		}
		// A region has 100 instances at least, of which 90 % can be reserved (limits page of Function Compute).
		if 2*reserved > 90 {
			t.Errorf("%d instances, twice that is more than can be reserved", reserved)
		}
		if want := fmt.Sprintf("each environment reserves %d of the region's 100", reserved); !strings.Contains(string(read(t, "deploy", "README.md")), want) {
			t.Errorf("the page does not say that %s", want)
		}
	})
	t.Run("would share a name that is a literal", func(t *testing.T) {
		for _, name := range []string{
			"functionName: ${vars.prefix}-notify", "role: ${vars.prefix}-notify", "QueueName: ${vars.prefix}-jobs-callbacks",
			"/queues/${vars.prefix}-jobs-dead",
		} {
			damaged := []byte(strings.Replace(string(file), name, strings.Replace(name, "${vars.prefix}", "routinely", 1), 1))
			if got := sharedNames(namesOf(t, damaged, firstPrefix), namesOf(t, damaged, secondPrefix)); len(got) != 1 {
				t.Errorf("%s: found %q", name, got)
			}
		}
	})
	t.Run("have rights on nothing of each other", func(t *testing.T) {
		for _, principal := range principals {
			p := loadPolicy(t, principal)
			for _, pair := range [][2]string{{firstPrefix, secondPrefix}, {secondPrefix, firstPrefix}} {
				for _, line := range shared(p, pair[0], pair[1]) {
					t.Errorf("%s of %s may touch what belongs to %s: %s", principal, pair[0], pair[1], line)
				}
			}
		}
	})
	t.Run("would not be kept apart by an asterisk behind the prefix", func(t *testing.T) {
		p := policy{Statement: []statement{{Action: []string{"fc:DeleteFunction"}, Resource: []string{
			"acs:fc:${REGION}:${ACCOUNT_ID}:functions/${PREFIX}-*", "acs:fc:${REGION}:${ACCOUNT_ID}:functions/${PREFIX}-accept",
		}}}}
		if got := shared(p, firstPrefix, secondPrefix); len(got) != 1 {
			t.Errorf("found %q", got)
		}
	})
}

// shared returns the rights of one deployment on what belongs to the other. What names no prefix belongs to neither.
func shared(p policy, mine, theirs string) []string {
	var out []string
	all := p.of("mns", "ots", "fc", "ram", "esa", "log")
	for _, my := range all {
		for _, their := range all {
			named := strings.Contains(my.resource, "PREFIX}") && strings.Contains(their.resource, "PREFIX}")
			if named && filled(my, mine).covers(filled(their, theirs)) {
				out = append(out, fmt.Sprint(filled(my, mine)))
			}
		}
	}
	return distinct(out)
}

func filled(g grant, prefix string) grant {
	table := strings.TrimSuffix(config.Prefix(prefix).JobTable(), "_jobs")
	g.resource = strings.NewReplacer("${PREFIX}", prefix, "${TABLE_PREFIX}", table).Replace(g.resource)
	return g
}
