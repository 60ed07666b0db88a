package deploy_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/doctor/expected"
	"routinely/shared/config"
)

// notExpected are settings of a function in s.yaml that the doctor compares otherwise, or not at all.
var notExpected = []string{"actions", "code", "component", "description", "environmentVariables", "functionName", "logConfig", "region", "triggers"}

// TestDoctorExpectsWhatIsDeployed compares what the doctor expects of functions and triggers with s.yaml, in both directions.
func TestDoctorExpectsWhatIsDeployed(t *testing.T) {
	environ := maps.Clone(account)
	environ["ROUTINELY_PREFIX"], environ["ROUTINELY_REGION"] = "other", "cn-beijing"
	place := expected.Place{Prefix: "other", Region: "cn-beijing", AccountID: account["ROUTINELY_ACCOUNT_ID"]}
	doc, err := render(read(t, "s.yaml"), environ)
	if err != nil {
		t.Fatal(err)
	}
	resources := maps.Clone(object(doc["resources"]))
	for _, want := range expected.Functions(place) {
		props := maps.Clone(object(at(resources[want.Resource], "props")))
		delete(resources, want.Resource)
		t.Run(want.Called, func(t *testing.T) {
			if props["functionName"] != want.Name || props["logConfig"] != "auto" || want.Async != (props["asyncInvokeConfig"] != nil) {
				t.Errorf("name %v, log %v, async %v: want %s, auto, %t", props["functionName"], props["logConfig"], props["asyncInvokeConfig"], want.Name, want.Async)
			}
			triggers := list(props["triggers"])
			for _, name := range notExpected {
				delete(props, name)
			}
			props["role"] = place.Role(props["role"].(string)) // as the component completes it
			compareSettings(t, want.Settings, props)
			if len(triggers) != len(want.Triggers) {
				t.Fatalf("%d triggers, want %d", len(triggers), len(want.Triggers))
			}
			for i, trigger := range want.Triggers {
				if at(triggers[i], "triggerName") != trigger.Name || at(triggers[i], "triggerType") != trigger.Type {
					t.Errorf("trigger %v %v, want %s %s", at(triggers[i], "triggerName"), at(triggers[i], "triggerType"), trigger.Name, trigger.Type)
				}
				compareSettings(t, trigger.Settings, object(at(triggers[i], "triggerConfig")))
			}
		})
	}
	if len(resources) > 0 {
		t.Errorf("the doctor does not know %v", resources)
	}
}

// compareSettings wants what is expected, and nothing that nobody expects.
func compareSettings(t *testing.T, want []expected.Setting, props map[string]any) {
	t.Helper()
	have, wanted := expected.Flatten(props), map[string]string{}
	for _, one := range want {
		wanted[one.Path] = one.Want
	}
	if diff := cmp.Diff(wanted, have); diff != "" {
		t.Errorf("-expected +s.yaml:\n%s", diff)
	}
}

// TestFunctionsReachTheirServices compares the addresses in s.yaml with those that the doctor takes.
func TestFunctionsReachTheirServices(t *testing.T) {
	props := properties(t, read(t, "s.yaml"), account)
	place := expected.Place{Prefix: config.DefaultPrefix, Region: "cn-hangzhou", AccountID: account["ROUTINELY_ACCOUNT_ID"]}
	for name, taken := range map[string][]string{
		"ROUTINELY_MNS_ENDPOINT": place.QueueEndpoints(), "ROUTINELY_TABLESTORE_ENDPOINT": place.TableEndpoints(account["ROUTINELY_TABLESTORE_INSTANCE"]),
	} {
		if got := at(props.accept, "environmentVariables", name); got != taken[0] {
			t.Errorf("%s: %v in s.yaml, the doctor takes %s", name, got, strings.Join(taken, ", "))
		}
	}
}
