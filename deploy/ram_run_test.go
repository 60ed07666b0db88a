package deploy_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/ram"
	"routinely/deploy/sim"
	"routinely/deploy/sim/logs"
	"routinely/queue"
)

// recordings are the principals that a program works as. Each has a chapter of what the programs do; all chapters together are
// everything that they do. An operator works by hand.
var recordings = []struct {
	principal, program string
	chapter            func(*deployment)
	// beside are rights that the program's code names and a run does not use.
	beside []grant
}{
	{"deployer", "cmd/routinely", (*deployment).setUp, nil},
	{"accept", "functions/accept/main", (*deployment).accept, nil},
	// What sends a job sends many as well; the worker has one at a time.
	{"provision", "functions/provision/main", (*deployment).provision, onMessages("BatchSendMessage", jobQueue)},
	{"notify", "functions/notify/main", (*deployment).notify, nil},
	{"janitor", "functions/janitor/main", (*deployment).janitor, nil},
	{"remover", "cmd/routinely", (*deployment).tearDown, nil},
}

// recorded are the services whose calls the local servers see.
var recorded = []string{"mns", "ots", "esa"}

func TestPoliciesAreWhatTheProgramsNeed(t *testing.T) {
	d := deploy(t)
	for _, each := range recordings {
		each.chapter(d)
	}
	for _, each := range recordings {
		t.Run(each.principal+" is allowed exactly the calls that it made", func(t *testing.T) {
			called, allowed := append(d.calls[each.principal], each.beside...), loadPolicy(t, each.principal).of(recorded...)
			if each.principal == ram.Deleter {
				allowed = append(allowed, loadPolicy(t, ram.Deletion).of(recorded...)...)
			}
			if diff := cmp.Diff([]string(nil), compare(allowed, sorted(called))); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// compare returns the calls that are not allowed, and what is allowed and was never called.
func compare(allowed, called []grant) []string {
	var out report
	for _, c := range called {
		out.want(slices.ContainsFunc(allowed, func(a grant) bool { return a.covers(c) }), "%s on %s: called, not allowed", c.action, c.resource)
	}
	for _, a := range allowed {
		out.want(slices.ContainsFunc(called, a.covers), "%s on %s: allowed, never called", a.action, a.resource)
	}
	return out
}

// covers reports whether a grant allows a call. In RAM an asterisk stands for any text; here it comes last only.
func (g grant) covers(call grant) bool {
	prefix, open := strings.CutSuffix(g.resource, "*")
	return g.action == call.action && (g.resource == call.resource || open && strings.HasPrefix(call.resource, prefix))
}

func TestWatcherIsAllowedWhatItCalls(t *testing.T) {
	bin, err := localtest.Build("cmd/routinely")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(bin) })
	const project = "serverless-cn-hangzhou-1"
	server := logs.New(localtest.AccessKeyID, localtest.AccessKeySecret, project, "default-logs")
	url := localtest.Listen(t, server, nil, project+".127.0.0.1")
	setup := func(language string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "routinely"), "setup", "alerts", "--log-project", project, "--language", language)
		cmd.Env = append(os.Environ(), "ROUTINELY_LOG_ENDPOINT="+url,
			"ALIBABA_CLOUD_ACCESS_KEY_ID="+localtest.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+localtest.AccessKeySecret)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	setup("en")
	// Somebody has changed the index and the dashboard, and the alerts get other names.
	server.Change(func(server *logs.Server) {
		server.Index["keys"] = map[string]any{}
		for _, dashboard := range server.Dashboards {
			dashboard["displayName"] = "another"
		}
	})
	setup("zh")
	var called []string
	for _, call := range server.Calls() {
		called = append(called, "log:"+call)
	}
	if diff := cmp.Diff(loadPolicy(t, "watcher").actions("log"), distinct(called)); diff != "" {
		t.Errorf("-allowed +called:\n%s", diff)
	}
}

func TestComparisonFails(t *testing.T) {
	send, take := grant{"mns:SendMessage", jobMessages}, grant{"mns:ReceiveMessage", deadMessages}
	bind := grant{"esa:CreateRoutineRelatedRecord", "acs:esa:*:${ACCOUNT_ID}:site/7"}
	allSites := grant{bind.action, "acs:esa:*:${ACCOUNT_ID}:site/*"}
	for _, test := range []struct {
		name            string
		allowed, called []grant
		want            []string
	}{
		{"not on what is needed", []grant{send, allSites}, []grant{bind, send}, nil},
		{"on a call too many", []grant{send}, []grant{send, take}, []string{"mns:ReceiveMessage on " + deadMessages + ": called, not allowed"}},
		{"on a right too many", []grant{send, take}, []grant{send}, []string{"mns:ReceiveMessage on " + deadMessages + ": allowed, never called"}},
		{"on another resource", []grant{{send.action, deadMessages}}, []grant{send}, []string{
			"mns:SendMessage on " + jobMessages + ": called, not allowed", "mns:SendMessage on " + deadMessages + ": allowed, never called",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, compare(test.allowed, test.called)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// run runs the tool as somebody.
func (d *deployment) run(principal string, args ...string) (out []byte, err error) {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), filepath.Join(d.bin, "routinely"), args...)
	cmd.Env = append(os.Environ(), "ALIBABA_CLOUD_ACCESS_KEY_ID="+localtest.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+localtest.AccessKeySecret)
	for name, value := range d.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	d.as(principal, func() { out, err = cmd.CombinedOutput() })
	return out, err
}

// tearDown is the remover's chapter: as long as a job is unfinished nothing is deleted.
func (d *deployment) tearDown() {
	id := d.submit(request("unfinished", "unfinished", site))
	if out, err := d.run("remover", "teardown", "--yes"); err == nil || !bytes.Contains(out, []byte("Unfinished")) {
		d.t.Fatalf("teardown while a job is unfinished: %v\n%s", err, out)
	}
	d.ask("POST", "/v1/jobs/"+id+":cancel", "", 200)
	if out, err := d.run("remover", "teardown", "--yes", "--instance"); err != nil || bytes.Count(out, []byte("delete ")) != 6 {
		d.t.Fatalf("teardown: %v\n%s", err, out)
	}
}

// setUp is the deployer's chapter.
func (d *deployment) setUp() {
	setup := func(want int, args ...string) {
		d.t.Helper()
		out, err := d.run("deployer", append([]string{"setup"}, args...)...)
		changes := bytes.Count(out, []byte("\n")) - bytes.Count(out, []byte("nothing was changed")) - bytes.Count(out, []byte("everything is as it should be"))
		if changes != want || err != nil {
			d.t.Fatalf("setup %v: %d changes, want %d: %v\n%s", args, changes, want, err, out)
		}
	}
	setup(5, "--dry-run", "--tablestore-networks", "INTERNET")
	setup(6, "--tablestore-networks", "INTERNET")
	setup(0, "--tablestore-networks", "INTERNET")
	setup(1, "--tablestore-networks", "INTERNET,CLASSIC")
	setup(1, "--retention", "720h")
	// Somebody gave each queue the settings of another.
	mixed := queue.Config{
		Endpoint: d.env["ROUTINELY_MNS_ENDPOINT"], Queue: queueName + "-callbacks", DeadLetterQueue: queueName, CallbackQueue: queueName + "-dead",
	}
	if _, err := sim.Queue(d.t, mixed).Setup(d.t.Context(), false); err != nil {
		d.t.Fatal(err)
	}
	setup(4)
	if out, err := d.run("deployer", "doctor", "--url", "http://127.0.0.1:1"); err == nil || !bytes.Contains(out, []byte("\nesa          ok\n")) { // accept is deployed later
		d.t.Fatalf("doctor: %v\n%s", err, out)
	}
}

// The site that there is, and one that there is not.
const (
	site   = localtest.SiteID
	noSite = 7
)

// request asks for the routine of that name and a record on the site.
func request(routine, record string, site int64) string {
	return fmt.Sprintf(`{"name":%q,"siteId":%d,"recordName":%q}`, routine, site, record+"."+localtest.SiteName)
}

// accept is the chapter of what callers and operators ask for.
func (d *deployment) accept() {
	first := d.submit(request("one", "one", site))
	d.ask("POST", "/v1/routines:batch", "["+request("two", "two", site)+","+request("three", "three", site)+"]", 202)
	d.work("provision", "succeeded", "succeeded", "succeeded")
	for _, path := range []string{"/v1/jobs/" + first, "/v1/jobs", "/v1/jobs?state=succeeded&limit=1", "/v1/routines/one", "/healthz"} {
		d.ask("GET", path, "", 200)
	}
	d.ask("POST", "/v1/jobs/"+d.submit(request("four", "four", site))+":cancel", `{"reason":"not needed"}`, 200)
	d.work("provision", "cancelled")

	d.ask("POST", "/v1/routines:batch", "["+request("five", "five", noSite)+","+request("six", "six", noSite)+","+request("seven", "seven", noSite)+"]", 202)
	d.work("provision", "dead-lettered", "dead-lettered", "dead-lettered")
	letters := d.letters(3)
	d.ask("GET", "/v1/dead-letters/"+letters["five"], "", 200)
	d.ask("POST", "/v1/dead-letters:redrive", `{"all":true,"dryRun":true}`, 200)
	d.ask("POST", "/v1/dead-letters/"+letters["five"]+":redrive", "", 200)
	d.ask("DELETE", "/v1/dead-letters/"+letters["six"], "", 200)
	d.ask("POST", "/v1/dead-letters:redrive", `{"all":true,"reason":"try again"}`, 200)
	d.letters(0)
	d.work("provision", "dead-lettered", "dead-lettered")
	d.ask("DELETE", "/v1/dead-letters?all=true", "", 200)

	d.ask("POST", "/v1/account:pause", `{"reason":"not now"}`, 200)
	d.ask("POST", "/v1/account:resume", "", 200)
	d.ask("GET", "/v1/account", "", 200)
}

// provision is the chapter of how jobs end.
func (d *deployment) provision() {
	d.submit(request("adopted", "adopted", site))
	d.work("provision", "succeeded")
	d.submit(request("adopted", "adopted", site))
	d.work("provision", "succeeded")

	d.fail("CreateRoutine", faults.Fault{Answer: faults.Error, Code: "InternalException"})
	d.fail("CreateRoutineRelatedRecord", faults.Fault{Answer: faults.Reset, Execute: true})
	d.submit(request("again", "again", site))
	d.work("provision", "again")
	d.work("provision", "succeeded")

	d.submit(request("late", "late", site))
	d.submit(request("later", "later", site))
	d.work(shortOfTime, "handed-back", "handed-back")
	d.work("provision", "succeeded", "succeeded")

	// The routine of the first step seems to be gone when the second is tried again, and is made or found again.
	d.fail("CreateRoutineRelatedRecord", faults.Fault{Answer: faults.Error, Code: "InternalException"})
	d.submit(request("gone", "gone", site))
	d.work("provision", "again")
	d.fail("CreateRoutineRelatedRecord", faults.Fault{Answer: faults.Error, Code: "RoutineNotExist"})
	d.work("provision", "again")
	d.work("provision", "succeeded")

	// A routine gets another description, loses its host name and is deleted.
	d.submit(strings.Replace(request("again", "again", site), "{", `{"ifExists":"update","description":"another",`, 1))
	d.work("provision", "succeeded")
	d.ask("DELETE", "/v1/routines/again/records/again."+localtest.SiteName, "", 202)
	d.work("provision", "succeeded")
	d.ask("DELETE", "/v1/routines/again", "", 202)
	d.work("provision", "succeeded")

	// A routine gets more code than it has versions, and goes back.
	versions := 3
	if err := d.esa.SetAccount(esaemu.AccountChange{VersionQuota: &versions}); err != nil {
		d.t.Fatal(err)
	}
	for _, source := range []string{"one", "two", "three", "four"} {
		d.submit(strings.Replace(request("coded", "coded", site), "{", fmt.Sprintf(`{"code":{"source":%q},`, source), 1))
		d.work("provision", "succeeded")
	}
	d.ask("POST", "/v1/routines/coded:rollback", `{"to":"previous"}`, 202)
	d.work("provision", "succeeded")

	// A message of another program, and one that nobody can read.
	for _, body := range []string{request("foreign", "foreign", site), "rubbish"} {
		if _, err := d.client.Send(d.t.Context(), queueName, body, 0); err != nil {
			d.t.Fatal(err)
		}
	}
	d.work("provision", "succeeded", "dead-lettered")
}

// notify is the chapter of those who are told of the ends of jobs.
func (d *deployment) notify() {
	d.submit(d.told("told", site))
	d.work("provision", "succeeded")
	d.answers <- http.StatusServiceUnavailable
	d.work("notify", "again")
	d.answers <- http.StatusNoContent
	d.work("notify", "delivered")

	// Nobody is told of a job that died, and then somebody is.
	id := d.submit(d.told("told-of-its-death", noSite))
	d.work("provision", "dead-lettered")
	d.answers <- http.StatusNotFound
	d.work("notify", "given-up")
	d.clean()
	d.ask("POST", "/v1/jobs/"+id+":notify", "", 200)
	d.answers <- http.StatusNoContent
	d.work("notify", "delivered")
}

// janitor is the chapter of what others could not finish: two jobs and a callback that the queue did not take, and what the trigger gave up.
func (d *deployment) janitor() {
	id := d.submit(d.told("due-callback", site))
	d.work("provision", "succeeded")
	d.answers <- http.StatusNoContent
	d.work("notify", "delivered")

	down := faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"}}
	if _, err := d.mns.Faults().Add(down); err != nil {
		d.t.Fatal(err)
	}
	d.ask("POST", "/v1/routines:batch", "["+request("due", "due", site)+","+request("due-too", "due-too", site)+"]", 202)
	d.ask("POST", "/v1/jobs/"+id+":notify", "", 200)
	d.mns.Faults().Clear()
	for _, body := range []string{"rubbish", "more rubbish"} {
		if _, err := d.client.Send(d.t.Context(), queueName+"-dead", body, 0); err != nil {
			d.t.Fatal(err)
		}
	}
	d.clean()
	d.work("provision", "succeeded", "succeeded")
	d.answers <- http.StatusNoContent
	d.work("notify", "delivered")
}
