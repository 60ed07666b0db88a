package deploy_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
)

// account is a complete environment for s.yaml.
var account = map[string]string{
	"ROUTINELY_ACCOUNT_ID": "1234567890123456", "ROUTINELY_TABLESTORE_INSTANCE": "routinely-test", "ROUTINELY_AUTH": "none", "ROUTINELY_DELETE": "requested",
	"ROUTINELY_MESSAGE_KEYS":     sim.KeysText(sim.Key),
	"ROUTINELY_CALLBACK_SECRETS": "whsec_vNj4QRWG7GUVU6MiqGTG+kUl4SLE/LJ4RzxDVgBTWy4=",
}

// checkService returns what is wrong with a rendered file of Serverless Devs.
func checkService(c component, doc map[string]any) []string {
	var out []string
	if doc["edition"] != "3.0.0" {
		out = append(out, fmt.Sprintf("edition: %v is not 3.0.0", doc["edition"]))
	}
	resources := object(doc["resources"])
	for _, name := range slices.Sorted(maps.Keys(resources)) {
		resource := object(resources[name])
		var wrong report
		wrong.want(resource["component"] == "fc3@0.1.22", "component: %v is not fc3 at the version of the schema", resource["component"])
		wrong = append(wrong, c.check(object(resource["props"]))...)
		wrong = append(wrong, rules(name, object(resource["props"]))...)
		for _, line := range wrong {
			out = append(out, name+": "+line)
		}
	}
	return out
}

func TestServiceFile(t *testing.T) {
	c := loadComponent(t)
	t.Run("fits the component's schema and the platform's rules", func(t *testing.T) {
		doc, err := render(read(t, "s.yaml"), account)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string(nil), checkService(c, doc)); diff != "" {
			t.Errorf("violations (-want +got):\n%s", diff)
		}
	})
	t.Run("deploys exactly the four functions", func(t *testing.T) {
		doc, err := render(read(t, "s.yaml"), account)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for name, resource := range object(doc["resources"]) {
			got[name] = fmt.Sprint(at(resource, "props", "functionName"))
		}
		want := map[string]string{"accept": "routinely-accept", "provisioner": "routinely-provision", "notify": "routinely-notify", "janitor": "routinely-janitor"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("functions (-want +got):\n%s", diff)
		}
	})
	t.Run("names a literal access alias", func(t *testing.T) {
		doc, err := render(read(t, "s.yaml"), account)
		if err != nil {
			t.Fatal(err)
		}
		if doc["access"] != "default" {
			t.Errorf("access: %v", doc["access"])
		}
		if bytes.Contains(read(t, "s.yaml"), []byte("\naccess: $")) {
			t.Error("the tool does not render access")
		}
	})
	t.Run("builds what it uploads", func(t *testing.T) { checkBuilds(t) })
}

// checkBuilds compares the action that builds a function with the folder that is uploaded.
func checkBuilds(t *testing.T) {
	doc, err := render(read(t, "s.yaml"), account)
	if err != nil {
		t.Fatal(err)
	}
	for name, resource := range object(doc["resources"]) {
		function := strings.TrimPrefix(fmt.Sprint(at(resource, "props", "functionName")), "routinely-")
		if _, err := os.Stat(filepath.Join(root, "functions", function, "main", "main.go")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := []any{map[string]any{"run": "go run ./deploy/pack -unpacked -out dist " + function, "path": "./"}}
		if diff := cmp.Diff(want, at(resource, "actions", "pre-deploy")); diff != "" {
			t.Errorf("%s: actions (-want +got):\n%s", name, diff)
		}
		if got, want := at(resource, "props", "code"), "./dist/"+function; got != want {
			t.Errorf("%s: code %v, want %s", name, got, want)
		}
	}
}

func TestServiceFileChecksFail(t *testing.T) {
	c := loadComponent(t)
	for _, test := range []struct{ name, from, to, want string }{
		{"on a value of the wrong type", "timeout: 60", "timeout: ten", `notify: props/timeout: got string, want integer`},
		{"on one value that is not in a list", "region: ${vars.region}", "region: cn-nowhere", "provisioner: props/region: value must be one of"},
		{"on a missing property", "      runtime: go1\n      handler: main\n      # Holds", "      handler: main\n      # Holds", `provisioner: props: missing property 'runtime'`},
		{"on a misspelt property", "internetAccess: true", "internetAcess: true", "provisioner: props: unknown key internetAcess"},
		{"on a misspelt key of a trigger", "triggerName: http\n", "triggerName: http\n          qualifer: LATEST\n", "accept: props/triggers/0: unknown key qualifer"},
		{"on a wrong value in a trigger's configuration", "authType: anonymous", "authType: none", `accept: props/triggers/0/triggerConfig/authType: value must be one of 'anonymous', 'function', 'jwt'`},
		{"on a missing key in a trigger's configuration", "eventSourceType: MNS", "eventSourceTyp: MNS", `provisioner: props/triggers/0/triggerConfig/eventSourceConfig: missing property 'eventSourceType'`},
		{"on a method that is none", "HEAD, POST, DELETE]", "HEAD, POST, REMOVE]", "accept: props/triggers/0/triggerConfig/methods/3: value must be one of"},
		{"on a misspelt key in a trigger's configuration", "disableURLInternet: false", "disableUrlInternet: false", "accept: props/triggers/0/triggerConfig: unknown key disableUrlInternet"},
		{"on an unpinned component", "component: fc3@0.1.22", "component: fc3", "provisioner: component: fc3 is not fc3 at the version of the schema"},
		{"on a resource named like a command", "  provisioner:", "  provision:", "provision: resource provision: the tool has a command of that name"},
		{"on a variable that is not text", "ROUTINELY_RETENTION: ${vars.retention}", "ROUTINELY_RETENTION: 7", "janitor: environment variable ROUTINELY_RETENTION: 7 is not text"},
		{"on a variable of the platform", "ROUTINELY_RETENTION: ${vars.retention}", "FC_QUEUE: q", "janitor: environment variable FC_QUEUE: FC_ is the platform's"},
		{"on too little memory for the processor", "cpu: 0.1", "cpu: 0.35", "provisioner: cpu and memorySize: 0.36 GB for a vCPU, want 1 to 4"},
		{"on an odd disk", "diskSize: 512", "diskSize: 1024", "provisioner: diskSize: 1024 is not 512 or 10240"},
		{"on a role with capitals", "role: ${vars.prefix}-accept", "role: ${vars.prefix}-Accept", "accept: role: the component writes routinely-Accept in lower case"},
		{"on a hook that is not registered", "      role: ${vars.prefix}-provision", "      instanceLifecycleConfig: {initializer: {handler: main, timeout: 10}}\n      role: ${vars.prefix}-provision", "provisioner: instanceLifecycleConfig: unknown key initializer"},
		{"on a timeout beyond EventBridge's", "timeout: 300", "timeout: 301", "provisioner: timeout: EventBridge waits 300 seconds, not 301"},
		{"on two workers", "reservedConcurrency: 1", "reservedConcurrency: 2", "provisioner: reservedConcurrency: want 1, one routine operation runs per account"},
		{"on a notify that may take every instance", "reservedConcurrency: 10", "reservedConcurrency: 90", "notify: reservedConcurrency: want 2 to 20, callbacks must neither wait for each other nor take the region's instances"},
		{"on a notify without a limit", "      concurrencyConfig:\n        reservedConcurrency: 10\n", "", "notify: reservedConcurrency: want 2 to 20"},
		{"on a misspelt queue of callbacks", "QueueName: ${vars.prefix}-jobs-callbacks", "Queue: ${vars.prefix}-jobs-callbacks", "notify: sourceMNSParameters: unknown key Queue"},
		{"on a trigger behind the eventbridge trigger", "      triggers:\n        # An", "      triggers:\n        - {triggerName: first, triggerType: eventbridge, triggerConfig: {triggerEnable: true}}\n        # An", "provisioner: trigger first: the component skips the triggers behind an eventbridge trigger"},
		{"on an invocationRole", "triggerType: eventbridge", "triggerType: eventbridge\n          invocationRole: x", "provisioner: trigger jobs: with an invocationRole every deployment updates it again"},
		{"on a trigger that is off", "triggerEnable: true", "triggerEnable: false", "provisioner: triggerEnable: the trigger is off"},
		{"on asynchronous calls", "asyncInvocationType: false", "asyncInvocationType: true", "provisioner: asyncInvocationType: an asynchronous call reports no failure to EventBridge"},
		{"on decoding of bodies", "IsBase64Decode: false", "IsBase64Decode: true", "provisioner: IsBase64Decode: the functions send text as it is"},
		{"on decoding of bodies by default", "                  IsBase64Decode: false\n", "", "provisioner: IsBase64Decode: the functions send text as it is"},
		{"on a misspelt queue", "QueueName:", "Queue:", "provisioner: sourceMNSParameters: unknown key Queue"},
		{"on no tolerance", "errorsTolerance: ALL", "errorsTolerance: NONE", "provisioner: errorsTolerance: NONE stops the stream at the first job that fails for good"},
		{"on a short retry", "EXPONENTIAL_DECAY_RETRY\n", "BACKOFF_RETRY\n", "provisioner: PushRetryStrategy: BACKOFF_RETRY gives up within a minute"},
		{"on batches of callbacks without end", "CountBasedWindow: 10", "CountBasedWindow: 100", "notify: CountBasedWindow: want 1 to 16"},
		{"on batches of jobs without end", "jobsPerInvocation: 10", "jobsPerInvocation: 100", "provisioner: CountBasedWindow: want 1 to 10"},
		{"on jobs that are collected too long", "jobsCollectedFor: 1", "jobsCollectedFor: 16", "provisioner: TimeBasedWindow: want 0 to 15 seconds"},
		{"on a run option that is not in the API", "mode: event-streaming", "mode: event-streaming\n              maximumTasks: 1", "provisioner: runOptions: unknown key maximumTasks"},
		{"on another mode", "mode: event-streaming", "mode: event-driven", "provisioner: mode: event-driven has no run options"},
		{"on a dead-letter queue that is no ARN", "Arn: acs:mns:", "Arn: mns:", "provisioner: deadLetterQueue: mns:cn-hangzhou:1234567890123456:/queues/routinely-jobs-dead is not the ARN of a queue"},
	} {
		t.Run(test.name, func(t *testing.T) {
			good := string(read(t, "s.yaml"))
			if !strings.Contains(good, test.from) {
				t.Fatalf("s.yaml has no %q to break", test.from)
			}
			doc, err := render([]byte(strings.Replace(good, test.from, test.to, 1)), account)
			if err != nil {
				t.Fatal(err)
			}
			got := checkService(c, doc)
			if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, test.want) }) {
				t.Errorf("violations %q lack %q", got, test.want)
			}
		})
	}
}

func TestSchemaCopy(t *testing.T) {
	original, err := os.ReadFile(filepath.Join(root, "..", "shared", "data", "fc3-schema.json"))
	if err != nil {
		t.Skip("the schema's original is not available")
	}
	if !bytes.Equal(original, read(t, "deploy", "testdata", "fc3-schema.json")) {
		t.Error("deploy/testdata/fc3-schema.json differs from its original")
	}
}
