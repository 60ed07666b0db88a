package deploy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"routinely/functions/accept"
	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/config"
	"routinely/shared/ledger"
)

// functions are the props of the functions in s.yaml.
type functions struct{ accept, provision, notify, janitor map[string]any }

// all are the props of each function.
func (f functions) all() []map[string]any {
	return []map[string]any{f.accept, f.provision, f.notify, f.janitor}
}

// properties renders s.yaml and returns the props of the functions.
func properties(t *testing.T, file []byte, environ map[string]string) functions {
	t.Helper()
	doc, err := render(file, environ)
	if err != nil {
		t.Fatal(err)
	}
	props := func(resource string) map[string]any { return object(at(doc["resources"], resource, "props")) }
	return functions{props("accept"), props("provisioner"), props("notify"), props("janitor")}
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
func checkFunctions(f functions, longestWait time.Duration) []string {
	var out report
	for _, line := range checkVariables(f.accept, config.Variables(&config.Accept{})) {
		out = append(out, "accept: "+line)
	}
	for _, line := range checkVariables(f.provision, config.Variables(&config.Provision{})) {
		out = append(out, "provision: "+line)
	}
	sender, err := config.LoadAccept(environment(f.accept))
	out.want(err == nil, "accept: %v", err)
	worker, err := config.LoadProvision(environment(f.provision))
	out.want(err == nil, "provision: %v", err)
	out.want(sender.Prefix == worker.Prefix, "accept is configured with the prefix %s, provision with %s", sender.Prefix, worker.Prefix)
	out.want(sender.Queue == worker.Queue, "the functions are configured with different queues: %+v, %+v", sender.Queue, worker.Queue)
	out.want(sender.Ledger == worker.Ledger, "the functions are configured with different ledgers: %+v, %+v", sender.Ledger, worker.Ledger)
	// A caller may wait for a job that is put on the queue first.
	waiting := sender.Queue.Timeout + longestWait
	out.want(seconds(f.accept) >= waiting, "accept: timeout %s, an MNS call and the longest wait take %s", seconds(f.accept), waiting)
	// A job that begins must be able to take both steps and still be handed over.
	needed := worker.Reserve + 2*worker.ESA.Timeout
	out.want(seconds(f.provision) > needed, "provision: timeout %s, two steps and the reserve take %s", seconds(f.provision), needed)
	// The reserve is for the end of a job: its record, its dead letter and its callback.
	ending := worker.Ledger.Timeout + 2*worker.Queue.Timeout
	out.want(worker.Reserve > ending, "provision: reserve %s, the end of a job may take %s", worker.Reserve, ending)
	out = append(out, checkLedger(f.provision, worker.Ledger)...)
	out = append(out, checkTrigger("provision", f.provision, worker.Prefix.JobQueue(), worker.Function)...)
	out = append(out, checkCallbacks(f, sender)...)
	return append(out, checkJanitor(f.janitor, sender, worker)...)
}

// checkJanitor returns where s.yaml and the code disagree about the janitor, and what would let its runs pile up.
func checkJanitor(props map[string]any, sender config.Accept, worker config.Provision) []string {
	var out report
	for _, line := range checkVariables(props, config.Variables(&config.Janitor{})) {
		out = append(out, "janitor: "+line)
	}
	cfg, err := config.LoadJanitor(environment(props))
	out.want(err == nil, "janitor: %v", err)
	out.want(cfg.Prefix == sender.Prefix && cfg.Queue == sender.Queue && cfg.Ledger == sender.Ledger, "janitor: works on %s, %+v and %+v, accept on %s, %+v and %+v",
		cfg.Prefix, cfg.Queue, cfg.Ledger, sender.Prefix, sender.Queue, sender.Ledger)
	out.want(cfg.Retention == sender.Retention, "janitor: counts on a retention of %s, accept on %s", cfg.Retention, sender.Retention)
	out.want(cfg.ESA.Endpoint == worker.ESA.Endpoint, "janitor: reads ESA at %s, provision works at %s", cfg.ESA.Endpoint, worker.ESA.Endpoint)
	out.want(cfg.Deletion == sender.Deletion && cfg.Deletion == worker.Deletion, "what is deleted: accept is configured with %s, provision with %s, janitor with %s",
		sender.Deletion, worker.Deletion, cfg.Deletion)
	out.want(cfg.ExpiryGrace == sender.ExpiryGrace, "janitor: deletes %s after host names were unbound, accept says %s", cfg.ExpiryGrace, sender.ExpiryGrace)
	triggers := list(props["triggers"])
	out.want(len(triggers) == 1 && at(triggers[0], "triggerType") == "timer", "janitor: want one trigger, a timer")
	for _, trigger := range triggers {
		schedule, _ := strings.CutPrefix(fmt.Sprint(at(trigger, "triggerConfig", "cronExpression")), "@every ")
		every, err := time.ParseDuration(schedule)
		out.want(err == nil && seconds(props) < every, "janitor: a run may take %s, the next begins after %s", seconds(props), schedule)
		out.want(at(trigger, "triggerConfig", "enable") == true, "janitor: the timer is off")
	}
	asynchronous := object(props["asyncInvokeConfig"])
	out.want(number(asynchronous["maxAsyncRetryAttempts"]) == 0, "janitor: maxAsyncRetryAttempts: want 0, the next run is the repetition")
	age := number(asynchronous["maxAsyncEventAgeInSeconds"])
	out.want(age >= 1 && age <= 60, "janitor: maxAsyncEventAgeInSeconds: want 1 to 60, or runs pile up while none can begin")
	out.want(number(at(props, "concurrencyConfig", "reservedConcurrency")) == 1, "janitor: reservedConcurrency: want 1")
	return out
}

// checkCallbacks returns where s.yaml and the code disagree about callbacks.
func checkCallbacks(f functions, sender config.Accept) []string {
	var out report
	for _, line := range checkVariables(f.notify, config.Variables(&config.Notify{})) {
		out = append(out, "notify: "+line)
	}
	bell, err := config.LoadNotify(environment(f.notify))
	out.want(err == nil, "notify: %v", err)
	out.want(sender.Prefix == bell.Prefix, "accept is configured with the prefix %s, notify with %s", sender.Prefix, bell.Prefix)
	out.want(sender.Queue == bell.Queue, "notify is configured with different queues: %+v, %+v", sender.Queue, bell.Queue)
	same := sender.Receivers.HTTP == bell.Receivers.HTTP && slices.Equal(sender.Receivers.Networks, bell.Receivers.Networks)
	out.want(same, "accept lets callbacks go to %+v, notify to %+v", sender.Receivers, bell.Receivers)
	// A callback that takes its whole time must still be put back, or on the dead letters.
	needed := bell.Timeout + bell.Queue.Timeout
	out.want(seconds(f.notify) > needed, "notify: timeout %s, a callback and an MNS call take %s", seconds(f.notify), needed)
	return append(out, checkTrigger("notify", f.notify, bell.Prefix.CallbackQueue(), bell.Function)...)
}

// checkLedger compares the ledger's endpoint with the region. It is the one inside the region: Tablestore's host names carry instance and
// region (endpoints page of Tablestore).
func checkLedger(props map[string]any, record config.Ledger) []string {
	var out report
	want := fmt.Sprintf("https://%s.%v.ots-internal.aliyuncs.com", record.Instance, props["region"])
	out.want(record.Endpoint == want, "provision: the Tablestore endpoint is %s, want %s", record.Endpoint, want)
	return out
}

// checkTrigger compares the trigger of a function with the queue it is for, and with what the function knows of the queues.
func checkTrigger(name string, props map[string]any, from string, cfg config.Function) []string {
	var out report
	triggers := list(props["triggers"])
	out.want(len(triggers) == 1, "%s: %d triggers", name, len(triggers))
	for _, trigger := range triggers {
		settings := object(at(trigger, "triggerConfig"))
		source := object(at(settings, "eventSourceConfig", "eventSourceParameters", "sourceMNSParameters"))
		out.want(source["QueueName"] == from, "%s: takes messages from %v and sends them to %s", name, source["QueueName"], from)
		out.want(source["RegionId"] == props["region"], "%s: the queue's region is %v, the function's %v", name, source["RegionId"], props["region"])
		letters := fmt.Sprint(at(settings, "runOptions", "deadLetterQueue", "Arn"))
		want := fmt.Sprintf("acs:mns:%v:%s:/queues/%s", props["region"], account["ROUTINELY_ACCOUNT_ID"], cfg.Prefix.DeadLetterQueue())
		out.want(letters == want, "%s: EventBridge's dead letters go to %s, the function's to %s", name, letters, want)
		// MNS's host names carry account and region (endpoints page of Simple Message Queue).
		host := fmt.Sprintf("%s.mns.%v", account["ROUTINELY_ACCOUNT_ID"], props["region"])
		out.want(strings.Contains(cfg.Queue.Endpoint, "//"+host), "%s: the MNS endpoint %s is not of %s", name, cfg.Queue.Endpoint, host)
	}
	return out
}

func seconds(props map[string]any) time.Duration {
	return time.Duration(number(props["timeout"])) * time.Second
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

// with is the environment of somebody who sets one more variable.
func with(name, value string) map[string]string {
	environ := maps.Clone(account)
	environ[name] = value
	return environ
}

func TestServiceFileFitsTheCode(t *testing.T) {
	for _, test := range []struct {
		name    string
		environ map[string]string
	}{
		{"with its defaults", nil},
		{"with other values from the environment", map[string]string{
			"ROUTINELY_REGION": "ap-southeast-1", "ROUTINELY_PREFIX": "other-2", "ROUTINELY_ESA_ENDPOINT": "esa.ap-southeast-1.aliyuncs.com",
			"ROUTINELY_TABLESTORE_INSTANCE": "another-1", "ROUTINELY_RETENTION": "0", "ROUTINELY_DELETE": "expired-too", "ROUTINELY_EXPIRY_GRACE": "1h",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			environ := maps.Clone(account)
			maps.Copy(environ, test.environ)
			deployed := properties(t, read(t, "s.yaml"), environ)
			for _, line := range checkFunctions(deployed, accept.LongestWait) {
				t.Error(line)
			}
			checkAccepted(t, deployed)
		})
	}
	t.Run("lets the HTTP trigger take every method of the interface", func(t *testing.T) {
		accept := properties(t, read(t, "s.yaml"), account).accept
		allowed := list(at(list(accept["triggers"])[0], "triggerConfig", "methods"))
		for _, method := range interfaceMethods(t) {
			if !slices.Contains(allowed, any(method)) {
				t.Errorf("the trigger does not take %s", method)
			}
		}
	})
	t.Run("says nothing that is a default anyway", func(t *testing.T) {
		deployed := properties(t, read(t, "s.yaml"), account)
		// These follow a value that s.yaml uses elsewhere too, or one of whoever deploys, so they are spelt out.
		shared := []string{
			"ROUTINELY_PREFIX", "ROUTINELY_ESA_ENDPOINT", "ROUTINELY_RETENTION", "ROUTINELY_QUEUE_LIMITS", "ROUTINELY_EXPIRY_MIN", "ROUTINELY_EXPIRY_MAX",
			"ROUTINELY_EXPIRY_SETTLE", "ROUTINELY_EXPIRY_GRACE", "ROUTINELY_EXPIRY_PER_HOUR",
		}
		for _, variable := range slices.Concat(
			config.Variables(&config.Accept{}), config.Variables(&config.Provision{}), config.Variables(&config.Notify{}), config.Variables(&config.Janitor{}),
		) {
			for _, props := range deployed.all() {
				value, given := object(props["environmentVariables"])[variable.Name]
				if given && !slices.Contains(shared, variable.Name) && value == variable.Default {
					t.Errorf("%v: %s is set to its default", props["functionName"], variable.Name)
				}
			}
		}
	})
}

// checkAccepted hands the configuration to the clients that will read it.
func checkAccepted(t *testing.T, deployed functions) {
	t.Helper()
	cfg, err := config.LoadProvision(environment(deployed.provision))
	if err != nil {
		t.Fatal(err)
	}
	noKey := func() (string, string, string) { return "", "", "" }
	jobs, err := queue.Open(cfg.Queue, cfg.Prefix, "", noKey)
	if err != nil {
		t.Fatal(err)
	}
	jobs.Close()
	record, err := ledger.Open(cfg.Ledger, cfg.Prefix, noKey)
	if err != nil {
		t.Fatal(err)
	}
	record.Close()
	bell, err := config.LoadNotify(environment(deployed.notify))
	if err != nil {
		t.Fatal(err)
	}
	sender := callback.Config{Timeout: bell.Timeout, Policy: callback.PolicyOf(bell.Receivers)}
	for _, secret := range bell.Secrets {
		sender.Secrets = append(sender.Secrets, secret.Reveal())
	}
	if _, err := callback.New(sender); err != nil {
		t.Error(err)
	}
}

func TestServiceFileCodeChecksFail(t *testing.T) {
	for _, test := range []struct{ name, from, to, want string }{
		{"on a variable nobody reads", "ROUTINELY_ESA_ENDPOINT: $", "ROUTINELY_ESA_HOST: $", "provision: ROUTINELY_ESA_HOST: the function does not read it"},
		{"on functions that differ in what is deleted", "ROUTINELY_DELETE: ${vars.deletion}\n      triggers", "ROUTINELY_DELETE: never\n      triggers", "what is deleted: accept is configured with requested, provision with never, janitor with requested"},
		{"on another grace", "ROUTINELY_EXPIRY_GRACE: ${vars.expiryGrace}\n        ROUTINELY_EXPIRY_PER_HOUR", "ROUTINELY_EXPIRY_GRACE: 1h\n        ROUTINELY_EXPIRY_PER_HOUR", "janitor: deletes 1h0m0s after host names were unbound, accept says 24h0m0s"},
		{"on a janitor at another ESA", "ROUTINELY_ESA_ENDPOINT: ${vars.esaEndpoint}\n        ROUTINELY_DELETE", "ROUTINELY_ESA_ENDPOINT: esa.ap-southeast-1.aliyuncs.com\n        ROUTINELY_DELETE", "janitor: reads ESA at esa.ap-southeast-1.aliyuncs.com, provision works at esa.cn-hangzhou.aliyuncs.com"},
		{"on a variable of the other function", "      triggers:\n        - triggerName: http", "        ROUTINELY_ESA_TIMEOUT: 30s\n      triggers:\n        - triggerName: http", "accept: ROUTINELY_ESA_TIMEOUT: the function does not read it"},
		{"on a secret that stands in the file", "ROUTINELY_AUTH: \"${env('ROUTINELY_AUTH')}\"", "ROUTINELY_AUTH: open", "accept: ROUTINELY_AUTH: a secret does not belong into the file, but into the environment of whoever deploys"},
		{"on a secret", "ROUTINELY_ESA_ENDPOINT: $", "ALIBABA_CLOUD_SECURITY_TOKEN: $", "provision: ALIBABA_CLOUD_SECURITY_TOKEN: the platform sets it, and a secret does not belong into the file"},
		{"on too little time for a job", "timeout: 300", "timeout: 75", "provision: timeout 1m15s, two steps and the reserve take 1m20s"},
		{"on a missing variable", "ROUTINELY_MNS_ENDPOINT: ${vars.mnsEndpoint}\n", "ROUTINELY_LOG_LEVEL: debug\n", "provision: ROUTINELY_MNS_ENDPOINT: missing"},
		{"on a function without a ledger", "ROUTINELY_TABLESTORE_ENDPOINT: ${vars.tablestoreEndpoint}\n", "ROUTINELY_LOG_LEVEL: debug\n", "provision: ROUTINELY_TABLESTORE_ENDPOINT: missing"},
		{"on too little time for a caller who waits", "timeout: 60\n      # deploy/ram/accept", "timeout: 50\n      # deploy/ram/accept", "accept: timeout 50s, an MNS call and the longest wait take 58s"},
		{"on a ledger in another region", "${vars.tablestoreInstance}.${vars.region}.", "${vars.tablestoreInstance}.cn-beijing.", "provision: the Tablestore endpoint is https://routinely-test.cn-beijing.ots-internal.aliyuncs.com, want https://routinely-test.cn-hangzhou.ots-internal.aliyuncs.com"},
		{"on a function of another deployment", "ROUTINELY_PREFIX: ${vars.prefix}", "ROUTINELY_PREFIX: other", "accept is configured with the prefix routinely, provision with other"},
		{"on another job queue", "QueueName: ${vars.prefix}-jobs\n", "QueueName: jobs\n", "provision: takes messages from jobs and sends them to routinely-jobs"},
		{"on another dead-letter queue", "${vars.prefix}-jobs-dead\n", "${vars.prefix}-jobs-lost\n", "provision: EventBridge's dead letters go to acs:mns:cn-hangzhou:1234567890123456:/queues/routinely-jobs-lost, the function's to acs:mns:cn-hangzhou:1234567890123456:/queues/routinely-jobs-dead"},
		{"on a trigger of the job queue", "QueueName: ${vars.prefix}-jobs-callbacks", "QueueName: ${vars.prefix}-jobs", "notify: takes messages from routinely-jobs and sends them to routinely-jobs-callbacks"},
		{"on runs that overlap", "@every 1m", "@every 40s", "janitor: a run may take 50s, the next begins after 40s"},
		{"on a timer that is off", "            enable: true", "            enable: false", "janitor: the timer is off"},
		{"on runs that are repeated", "maxAsyncRetryAttempts: 0", "maxAsyncRetryAttempts: 3", "janitor: maxAsyncRetryAttempts: want 0, the next run is the repetition"},
		{"on runs that pile up", "        maxAsyncEventAgeInSeconds: 60\n", "", "janitor: maxAsyncEventAgeInSeconds: want 1 to 60, or runs pile up while none can begin"},
		{"on a janitor that counts on another retention", "        ROUTINELY_RETENTION: ${vars.retention}\n        ROUTINELY_ESA", "        ROUTINELY_RETENTION: 720h\n        ROUTINELY_ESA", "janitor: counts on a retention of 720h0m0s, accept on 2160h0m0s"},
		{"on another region", "RegionId: ${vars.region}", "RegionId: cn-beijing", "provision: the queue's region is cn-beijing, the function's cn-hangzhou"},
		{"on an endpoint of another region", "mns.${vars.region}.", "mns.cn-beijing.", "provision: the MNS endpoint https://1234567890123456.mns.cn-beijing.aliyuncs.com is not of 1234567890123456.mns.cn-hangzhou"},
		{"on a notify without a secret", "ROUTINELY_CALLBACK_SECRETS: \"${env('ROUTINELY_CALLBACK_SECRETS')}\"", "ROUTINELY_LOG_LEVEL: debug", "notify: ROUTINELY_CALLBACK_SECRETS: missing"},
		{"on a signing secret that stands in the file", "\"${env('ROUTINELY_CALLBACK_SECRETS')}\"", "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=", "notify: ROUTINELY_CALLBACK_SECRETS: a secret does not belong into the file, but into the environment of whoever deploys"},
		{"on a variable that notify does not read", "        # What", "        ROUTINELY_AUTH: \"${env('ROUTINELY_AUTH')}\"\n        # What", "notify: ROUTINELY_AUTH: the function does not read it"},
		{"on receivers that accept refuses", "        # What", "        ROUTINELY_CALLBACK_NETWORKS: 10.0.0.0/8\n        # What", "accept lets callbacks go to {HTTP:false Networks:[]}, notify to {HTTP:false Networks:[10.0.0.0/8]}"},
		{"on too little time for a callback", "        # What", "        ROUTINELY_CALLBACK_TIMEOUT: 55s\n        # What", "notify: timeout 1m0s, a callback and an MNS call take 1m0s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			good := string(read(t, "s.yaml"))
			if !strings.Contains(good, test.from) {
				t.Fatalf("s.yaml has no %q to break", test.from)
			}
			deployed := properties(t, []byte(strings.Replace(good, test.from, test.to, 1)), account)
			if got := checkFunctions(deployed, accept.LongestWait); !slices.Contains(got, test.want) {
				t.Errorf("differences %q lack %q", got, test.want)
			}
		})
	}
	t.Run("on a value that cannot be read", func(t *testing.T) {
		file := strings.Replace(string(read(t, "s.yaml")), "ROUTINELY_ESA_ENDPOINT: $", "ROUTINELY_ESA_TIMEOUT: soon # $", 1)
		deployed := properties(t, []byte(file), account)
		if got := strings.Join(checkFunctions(deployed, accept.LongestWait), "\n"); !strings.Contains(got, "ROUTINELY_ESA_TIMEOUT") {
			t.Errorf("differences: %s", got)
		}
	})
}
