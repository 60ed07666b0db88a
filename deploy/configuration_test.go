package deploy_test

import (
	"fmt"
	"go/constant"
	"go/types"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"routinely/queue"
	"routinely/shared/config"
	"routinely/shared/ledger"
)

// properties renders s.yaml and returns the props of both functions.
func properties(t *testing.T, file []byte, environ map[string]string) (accept, provision map[string]any) {
	t.Helper()
	doc, err := render(file, environ)
	if err != nil {
		t.Fatal(err)
	}
	resources := object(doc["resources"])
	return object(at(resources, "accept", "props")), object(at(resources, "provisioner", "props"))
}

// environment returns the variables of a function as the process sees them.
func environment(props map[string]any) []string {
	var out []string
	for name, value := range object(props["environmentVariables"]) {
		out = append(out, fmt.Sprintf("%s=%v", name, value))
	}
	return out
}

// checkVariables returns what is wrong with the variables a function is given, by what it reads.
func checkVariables(props map[string]any, known []config.Variable) []string {
	var out []string
	given := object(props["environmentVariables"])
	for _, name := range slices.Sorted(maps.Keys(given)) {
		i := slices.IndexFunc(known, func(v config.Variable) bool { return v.Name == name })
		switch {
		case i < 0:
			out = append(out, name+": the function does not read it")
		case strings.HasPrefix(name, "ALIBABA_CLOUD_"):
			out = append(out, name+": the platform sets it, and a secret does not belong into the file")
		case known[i].Secret && given[name] != account[name]:
			out = append(out, name+": a secret does not belong into the file, but into the environment of whoever deploys")
		}
	}
	for _, variable := range known {
		if variable.Required && given[variable.Name] == nil {
			out = append(out, variable.Name+": missing")
		}
	}
	return out
}

// checkFunctions returns where s.yaml and the code disagree. longestWait is how long accept lets a caller wait, the time to
// answer included.
func checkFunctions(accept, provision map[string]any, longestWait time.Duration) []string {
	var out report
	for _, line := range checkVariables(accept, config.Variables(config.Accept{})) {
		out = append(out, "accept: "+line)
	}
	for _, line := range checkVariables(provision, config.Variables(config.Provision{})) {
		out = append(out, "provision: "+line)
	}
	sender, err := config.LoadAccept(environment(accept))
	out.want(err == nil, "accept: %v", err)
	worker, err := config.LoadProvision(environment(provision))
	out.want(err == nil, "provision: %v", err)
	out.want(sender.Queue == worker.Queue, "the functions are configured with different queues: %+v, %+v", sender.Queue, worker.Queue)
	out.want(sender.Ledger == worker.Ledger, "the functions are configured with different ledgers: %+v, %+v", sender.Ledger, worker.Ledger)
	// A caller may wait for a job that is put on the queue first.
	waiting := sender.Queue.Timeout + longestWait
	out.want(seconds(accept) >= waiting, "accept: timeout %s, an MNS call and the longest wait take %s", seconds(accept), waiting)
	// A job that begins must be able to take both steps and still be handed over.
	needed := worker.Reserve + 2*worker.ESATimeout
	out.want(seconds(provision) > needed, "provision: timeout %s, two steps and the reserve take %s", seconds(provision), needed)
	// The reserve is for one send, to either queue, with time to answer.
	out.want(worker.Reserve > worker.Queue.Timeout, "provision: reserve %s, one MNS call may take %s", worker.Reserve, worker.Queue.Timeout)
	out = append(out, checkLedger(provision, worker.Ledger)...)
	return append(out, checkTrigger(provision, worker)...)
}

// checkLedger compares the ledger's endpoint with the region, if there is one.
func checkLedger(props map[string]any, record config.Ledger) []string {
	var out report
	if record.Endpoint != "" {
		// Tablestore's host names carry instance and region (endpoints page of Tablestore).
		want := fmt.Sprintf("https://%s.%v.ots.aliyuncs.com", record.Instance, props["region"])
		out.want(record.Endpoint == want, "provision: the Tablestore endpoint is %s, want %s", record.Endpoint, want)
	}
	return out
}

func checkTrigger(provision map[string]any, worker config.Provision) []string {
	var out report
	triggers := list(provision["triggers"])
	out.want(len(triggers) == 1, "provision: %d triggers", len(triggers))
	for _, trigger := range triggers {
		settings := object(at(trigger, "triggerConfig"))
		source := object(at(settings, "eventSourceConfig", "eventSourceParameters", "sourceMNSParameters"))
		out.want(source["QueueName"] == worker.Name, "provision: takes jobs from %v and sends them to %s", source["QueueName"], worker.Name)
		out.want(source["RegionId"] == provision["region"], "provision: the queue's region is %v, the function's %v", source["RegionId"], provision["region"])
		letters := fmt.Sprint(at(settings, "runOptions", "deadLetterQueue", "Arn"))
		want := fmt.Sprintf("acs:mns:%v:%s:/queues/%s", provision["region"], account["ACCOUNT_ID"], worker.DeadLetter)
		out.want(letters == want, "provision: EventBridge's dead letters go to %s, the function's to %s", letters, want)
		// MNS's host names carry account and region (endpoints page of Simple Message Queue).
		host := fmt.Sprintf("%s.mns.%v", account["ACCOUNT_ID"], provision["region"])
		out.want(strings.Contains(worker.Queue.Endpoint, "//"+host), "provision: the MNS endpoint %s is not of %s", worker.Queue.Endpoint, host)
	}
	return out
}

func seconds(props map[string]any) time.Duration {
	return time.Duration(number(props["timeout"])) * time.Second
}

// acceptWait is how long accept lets a caller wait at most, the time to answer included.
func acceptWait(t *testing.T) time.Duration {
	t.Helper()
	const command = "functions/accept"
	scope := loadProgram(t, command).packages[module+command].Scope()
	var sum time.Duration
	for _, name := range []string{"maxWait", "answerTime"} {
		found, ok := scope.Lookup(name).(*types.Const)
		if !ok {
			t.Fatalf("%s has no constant %s", command, name)
		}
		nanoseconds, _ := constant.Int64Val(found.Val())
		sum += time.Duration(nanoseconds)
	}
	return sum
}

// interfaceMethods returns the HTTP methods of accept's interface. HEAD works wherever GET does.
func interfaceMethods(t *testing.T) []string {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	if err := yaml.Unmarshal(read(t, "functions", "accept", "openapi.yaml"), &doc); err != nil {
		t.Fatal(err)
	}
	out := []string{"HEAD"}
	for _, path := range doc.Paths {
		for key := range path {
			if method := strings.ToUpper(key); slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, method) {
				out = append(out, method)
			}
		}
	}
	if out = distinct(out); len(out) < 2 {
		t.Fatal("functions/accept/openapi.yaml has no methods")
	}
	return out
}

func TestServiceFileFitsTheCode(t *testing.T) {
	wait := acceptWait(t)
	for _, test := range []struct {
		name    string
		environ map[string]string
	}{
		{"with its defaults", nil},
		{"with other values from the environment", map[string]string{
			"REGION": "ap-southeast-1", "ROUTINELY_QUEUE": "other", "ROUTINELY_ESA_ENDPOINT": "esa.ap-southeast-1.aliyuncs.com",
			"TABLESTORE_INSTANCE": "another-1",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			environ := maps.Clone(account)
			maps.Copy(environ, test.environ)
			accept, provision := properties(t, read(t, "s.yaml"), environ)
			for _, line := range checkFunctions(accept, provision, wait) {
				t.Error(line)
			}
			checkAccepted(t, provision)
		})
	}
	t.Run("without the ledger", func(t *testing.T) {
		// The lines that s.yaml tells to delete.
		lines := regexp.MustCompile(`(?m)^ *(tablestoreInstance|tablestoreEndpoint|ROUTINELY_TABLESTORE_ENDPOINT): .*\n`)
		file := lines.ReplaceAll(read(t, "s.yaml"), nil)
		accept, provision := properties(t, file, map[string]string{"ACCOUNT_ID": account["ACCOUNT_ID"], "ROUTINELY_AUTH": account["ROUTINELY_AUTH"]})
		for _, line := range checkFunctions(accept, provision, wait) {
			t.Error(line)
		}
		if cfg, err := config.LoadAccept(environment(accept)); err != nil || cfg.Ledger.Endpoint != "" {
			t.Errorf("the ledger is still there: %+v, %v", cfg.Ledger, err)
		}
	})
	t.Run("lets the HTTP trigger take every method of the interface", func(t *testing.T) {
		accept, _ := properties(t, read(t, "s.yaml"), account)
		allowed := list(at(list(accept["triggers"])[0], "triggerConfig", "methods"))
		for _, method := range interfaceMethods(t) {
			if !slices.Contains(allowed, any(method)) {
				t.Errorf("the trigger does not take %s", method)
			}
		}
	})
	t.Run("says nothing that is a default anyway", func(t *testing.T) {
		accept, provision := properties(t, read(t, "s.yaml"), account)
		// These follow a value that s.yaml uses elsewhere too, so they are spelt out.
		shared := []string{"ROUTINELY_QUEUE", "ROUTINELY_ESA_ENDPOINT"}
		for _, variable := range append(config.Variables(config.Accept{}), config.Variables(config.Provision{})...) {
			for _, props := range []map[string]any{accept, provision} {
				value, given := object(props["environmentVariables"])[variable.Name]
				if given && !slices.Contains(shared, variable.Name) && value == variable.Default {
					t.Errorf("%v: %s is set to its default", props["functionName"], variable.Name)
				}
			}
		}
	})
}

// checkAccepted hands the configuration to the clients that will read it.
func checkAccepted(t *testing.T, provision map[string]any) {
	t.Helper()
	cfg, err := config.LoadProvision(environment(provision))
	if err != nil {
		t.Fatal(err)
	}
	noKey := func() (string, string, string) { return "", "", "" }
	jobs, err := queue.New(queue.Config{
		Endpoint: cfg.Queue.Endpoint, Queue: cfg.Name, DeadLetterQueue: cfg.DeadLetter, Timeout: cfg.Queue.Timeout, Credentials: noKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	jobs.Close()
	record, err := ledger.New(ledger.Config{
		Endpoint: cfg.Ledger.Endpoint, Instance: cfg.Ledger.Instance, Table: cfg.Ledger.Table, Timeout: cfg.Ledger.Timeout, Credentials: noKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	record.Close()
}

func TestServiceFileCodeChecksFail(t *testing.T) {
	wait := acceptWait(t)
	for _, test := range []struct{ name, from, to, want string }{
		{"on a variable nobody reads", "ROUTINELY_ESA_ENDPOINT: $", "ROUTINELY_ESA_HOST: $", "provision: ROUTINELY_ESA_HOST: the function does not read it"},
		{"on a variable of the other function", "      triggers:\n        - triggerName: http", "        ROUTINELY_ESA_TIMEOUT: 30s\n      triggers:\n        - triggerName: http", "accept: ROUTINELY_ESA_TIMEOUT: the function does not read it"},
		{"on a missing variable", "ROUTINELY_MNS_ENDPOINT: ${vars.mnsEndpoint}\n", "ROUTINELY_LOG_LEVEL: debug\n", "accept: ROUTINELY_MNS_ENDPOINT: missing"},
		{"on a secret that stands in the file", "ROUTINELY_AUTH: \"${env('ROUTINELY_AUTH')}\"", "ROUTINELY_AUTH: open", "accept: ROUTINELY_AUTH: a secret does not belong into the file, but into the environment of whoever deploys"},
		{"on a secret", "ROUTINELY_ESA_ENDPOINT: $", "ALIBABA_CLOUD_SECURITY_TOKEN: $", "provision: ALIBABA_CLOUD_SECURITY_TOKEN: the platform sets it, and a secret does not belong into the file"},
		{"on too little time for a job", "timeout: 300", "timeout: 70", "provision: timeout 1m10s, two steps and the reserve take 1m10s"},
		{"on too little time for a caller who waits", "timeout: 60", "timeout: 50", "accept: timeout 50s, an MNS call and the longest wait take 58s"},
		{"on a ledger that only one function has", "        ROUTINELY_TABLESTORE_ENDPOINT: ${vars.tablestoreEndpoint}\n        # Who", "        # Who", "the functions are configured with different ledgers: {Endpoint: Instance: Table:routinely_jobs Timeout:2s}, {Endpoint:https://routinely-test.cn-hangzhou.ots.aliyuncs.com Instance:routinely-test Table:routinely_jobs Timeout:2s}"},
		{"on a ledger in another region", "${vars.tablestoreInstance}.${vars.region}.", "${vars.tablestoreInstance}.cn-beijing.", "provision: the Tablestore endpoint is https://routinely-test.cn-beijing.ots.aliyuncs.com, want https://routinely-test.cn-hangzhou.ots.aliyuncs.com"},
		{"on another job queue", "QueueName: ${vars.queue}", "QueueName: jobs", "provision: takes jobs from jobs and sends them to routinely-jobs"},
		{"on another region", "RegionId: ${vars.region}", "RegionId: cn-beijing", "provision: the queue's region is cn-beijing, the function's cn-hangzhou"},
		{"on another dead-letter queue", "${vars.queue}-dead\n", "${vars.queue}-lost\n", "provision: EventBridge's dead letters go to acs:mns:cn-hangzhou:1234567890123456:/queues/routinely-jobs-lost, the function's to acs:mns:cn-hangzhou:1234567890123456:/queues/routinely-jobs-dead"},
		{"on an endpoint of another region", "mns.${vars.region}.", "mns.cn-beijing.", "provision: the MNS endpoint https://1234567890123456.mns.cn-beijing.aliyuncs.com is not of 1234567890123456.mns.cn-hangzhou"},
	} {
		t.Run(test.name, func(t *testing.T) {
			good := string(read(t, "s.yaml"))
			if !strings.Contains(good, test.from) {
				t.Fatalf("s.yaml has no %q to break", test.from)
			}
			accept, provision := properties(t, []byte(strings.Replace(good, test.from, test.to, 1)), account)
			if got := checkFunctions(accept, provision, wait); !slices.Contains(got, test.want) {
				t.Errorf("differences %q lack %q", got, test.want)
			}
		})
	}
	t.Run("on a value that cannot be read", func(t *testing.T) {
		file := strings.Replace(string(read(t, "s.yaml")), "ROUTINELY_ESA_ENDPOINT: $", "ROUTINELY_ESA_TIMEOUT: soon # $", 1)
		accept, provision := properties(t, []byte(file), account)
		if got := strings.Join(checkFunctions(accept, provision, wait), "\n"); !strings.Contains(got, "ESATimeout") {
			t.Errorf("differences: %s", got)
		}
	})
}
