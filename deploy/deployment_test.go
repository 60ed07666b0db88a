package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/fcemu"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/local/otsemu"
	"routinely/deploy/sim"
	"routinely/deploy/sim/management"
)

// Names of the deployment, and its time limits: a job fits into the usual one, and not into the short one.
const (
	prefix               = "test"
	queueName            = prefix + "-jobs"
	shortOfTime          = "short-of-time"
	usualTime, shortTime = 300 * time.Second, 20 * time.Second
)

// deployment is the programs on the local servers, without triggers: every call of a service is then made by the program that
// the test is using at the moment, and the test does what the triggers would.
type deployment struct {
	t       *testing.T
	bin     string
	env     map[string]string
	mns     *mnsemu.Server
	esa     *esaemu.Server
	ots     *otsemu.Server
	account *management.Server
	client  *mnsclient.Client
	fc, url string
	// receiver is where callbacks go; it answers each with the next of answers.
	receiver string
	answers  chan int
	// calls are the calls made so far, by principal.
	calls map[string][]grant
	// functions are programs by name. stop ends those that run; log is what they have printed.
	functions map[string]string
	stop      func()
	log       outcomes
}

func deploy(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{t: t, calls: map[string][]grant{}}
	var mnsURL, esaURL, otsURL string
	d.mns, mnsURL = localtest.MNS(t, hurried{time.Now()})
	d.esa, esaURL = localtest.ESA(t, nil, 0)
	d.ots, otsURL = localtest.OTS(t, nil)
	d.client = localtest.MNSClient(t, mnsURL)
	d.account = management.New(localtest.AccessKeyID, localtest.AccessKeySecret)
	d.env = map[string]string{
		"ROUTINELY_PREFIX": prefix, "ROUTINELY_ACCOUNT_ID": localtest.AccountID,
		"ROUTINELY_TABLESTORE_MANAGEMENT_ENDPOINT": localtest.Listen(t, d.account, nil), "ROUTINELY_CALLBACK_SECRETS": "whsec_e57Dom2p9KYclb2uQBHEPjThzIAuPliyQ97RIhlFI80=",
		"ROUTINELY_CALLBACK_HTTP": "true", "ROUTINELY_CALLBACK_NETWORKS": "127.0.0.0/8",
		"ROUTINELY_MNS_ENDPOINT": mnsURL, "ROUTINELY_ESA_ENDPOINT": esaURL, "ROUTINELY_AUTH": "none", "ROUTINELY_DELETE": "expired-too", "ROUTINELY_MESSAGE_KEYS": sim.KeysText(sim.Key),
		"ROUTINELY_TABLESTORE_ENDPOINT": otsURL, "ROUTINELY_TABLESTORE_INSTANCE": localtest.Instance,
	}
	d.answers = make(chan int, 3)
	d.receiver = localtest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-d.answers) }), nil)
	var programs []string
	d.functions = map[string]string{shortOfTime: "functions/provision/main"}
	for _, each := range recordings {
		programs = append(programs, each.program)
		if strings.HasPrefix(each.program, "functions/") {
			d.functions[each.principal] = each.program
		}
	}
	var err error
	if d.bin, err = localtest.Build(programs...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(d.bin) })
	d.start()
	return d
}

// start runs Function Compute with the functions.
func (d *deployment) start() {
	d.t.Helper()
	cfg := fcemu.Config{
		AccountID: localtest.AccountID, Region: "cn-hangzhou", AccessKeyID: localtest.AccessKeyID, AccessKeySecret: localtest.AccessKeySecret,
		Stdout: &d.log,
	}
	for name, program := range d.functions {
		f := fcemu.Function{Name: name, Command: []string{filepath.Join(d.bin, filepath.Base(strings.TrimSuffix(program, "/main")))}, Env: d.env, Timeout: usualTime}
		if name == shortOfTime {
			f.Timeout = shortTime
		}
		cfg.Functions = append(cfg.Functions, f)
	}
	server, err := fcemu.New(cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(d.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	d.stop = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			d.t.Error(err)
		}
	})
	d.t.Cleanup(d.stop)
	d.fc, d.url = localtest.Listen(d.t, server.API(), nil), localtest.Listen(d.t, server.HTTP("accept"), nil)
	d.env["ROUTINELY_FC_ENDPOINT"], d.env["ROUTINELY_EVENTBRIDGE_ENDPOINT"] = d.fc, d.fc
}

// hurried is a clock that goes twenty times as fast as the machine's: dead letters that were looked at come back to their queue
// after a second, and a look at an empty queue takes one.
type hurried struct{ since time.Time }

func (h hurried) Now() time.Time { return h.since.Add(20 * time.Since(h.since)) }

func (h hurried) AfterFunc(d time.Duration, f func()) clock.Timer { return time.AfterFunc(d/20, f) }

// as books what is called meanwhile to a principal.
func (d *deployment) as(principal string, do func()) {
	d.t.Helper()
	services := map[*faults.Set]func(faults.Record) []grant{d.mns.Faults(): onMNS, d.esa.Faults(): onESA, d.ots.Faults(): onOTS}
	for set := range services {
		set.Reset()
	}
	do()
	for _, call := range d.account.Calls() {
		d.calls[principal] = append(d.calls[principal], onInstance(call)...)
	}
	for set, grants := range services {
		for _, call := range set.Calls() {
			d.calls[principal] = append(d.calls[principal], grants(call)...)
		}
	}
}

// onMNS is what a call of MNS needs.
func onMNS(call faults.Record) []grant {
	queue := "acs:mns:${REGION}:${ACCOUNT_ID}:/queues/" + strings.Replace(call.Params["queue"], prefix, "${PREFIX}", 1)
	if aboutMessages(call.Action) {
		return onMessages(call.Action, queue)
	}
	return []grant{{"mns:" + call.Action, queue}}
}

// onESA is what a call of ESA needs. An upload of code needs what ESA hands out for it, and no right.
func onESA(call faults.Record) []grant {
	if call.Action == "PostObject" {
		return nil
	}
	action := "esa:" + call.Action
	if slices.Contains(withoutResource, action) {
		return []grant{{action, "*"}}
	}
	return []grant{{action, "acs:esa:*:${ACCOUNT_ID}:site/" + call.Params["SiteId"]}}
}

// onOTS is what a call of Tablestore needs. Its tables must be the ledger's.
func onOTS(call faults.Record) []grant {
	for table := range strings.SplitSeq(call.Params["table"], ",") {
		if table != prefix+"_jobs" && table != prefix+"_state" {
			return []grant{{"ots:" + call.Action, table}}
		}
	}
	return onTables("ots:" + call.Action)
}

// fail breaks the next call of an ESA action.
func (d *deployment) fail(action string, f faults.Fault) {
	d.t.Helper()
	if _, err := d.esa.Faults().Add(faults.Rule{Action: action, Fault: f}); err != nil {
		d.t.Fatal(err)
	}
}

// ask calls accept and returns the answer, which must have the status.
func (d *deployment) ask(method, path, body string, want int) []byte {
	d.t.Helper()
	var status int
	var answer []byte
	d.as("accept", func() { status, answer = d.send(method, d.url+path, body) })
	if status != want {
		d.t.Fatalf("%s %s: %d, want %d: %s", method, path, status, want, answer)
	}
	return answer
}

// told is a request whose end the receiver is told of.
func (d *deployment) told(name string, site int64) string {
	return strings.Replace(request(name, name, site), "{", fmt.Sprintf(`{"callbackUrl":%q,`, d.receiver+"/hook"), 1)
}

// clean starts a run of the janitor, as its timer does. No task may fail.
func (d *deployment) clean() {
	d.t.Helper()
	var answer []byte
	d.as("janitor", func() { _, answer = d.send("POST", d.fc+"/2023-03-30/functions/janitor/invocations", "{}") })
	var report struct{ Failed []any }
	d.decode(answer, &report)
	if len(report.Failed) > 0 {
		d.t.Fatalf("the janitor failed: %s", answer)
	}
}

// submit asks for a routine and returns the job's id.
func (d *deployment) submit(request string) (id string) {
	d.t.Helper()
	var job struct{ ID string }
	d.decode(d.ask("POST", "/v1/routines", request, 202), &job)
	return job.ID
}

// letters lists the dead letters: their ids by the names of the routines that were asked for.
func (d *deployment) letters(want int) map[string]string {
	d.t.Helper()
	var list struct {
		DeadLetters []struct {
			ID      string
			Request struct{ Name string }
		}
	}
	d.decode(d.ask("GET", "/v1/dead-letters", "", 200), &list)
	out := map[string]string{}
	for _, letter := range list.DeadLetters {
		out[letter.Request.Name] = letter.ID
	}
	if len(list.DeadLetters) != want {
		d.t.Fatalf("%d dead letters, want %d", len(list.DeadLetters), want)
	}
	return out
}

// work takes all messages off a function's queue, delayed ones too, and gives them to it, as its trigger does. What becomes of each
// must be as wanted.
func (d *deployment) work(function string, want ...string) {
	d.t.Helper()
	principal, queue := function, queueName
	switch function {
	case shortOfTime:
		principal = "provision"
	case "notify":
		queue += "-callbacks"
	}
	type data struct {
		MessageID   string `json:"messageId"`
		MessageBody string `json:"messageBody"`
	}
	type event struct {
		ID          string `json:"id"`
		SpecVersion string `json:"specversion"`
		Data        data   `json:"data"`
	}
	path := d.env["ROUTINELY_MNS_ENDPOINT"] + "/_local/queues/" + queue + "/messages"
	var waiting []struct{ ID, Body string }
	_, stored := d.send("GET", path, "")
	d.decode(stored, &waiting)
	d.send("DELETE", path, "")
	var events []event
	for i, m := range waiting {
		events = append(events, event{strconv.Itoa(i), "1.0", data{m.ID, m.Body}})
	}
	text, err := json.Marshal(events)
	if err != nil {
		d.t.Fatal(err)
	}
	var answer []byte
	d.as(principal, func() {
		_, answer = d.send("POST", d.fc+"/2023-03-30/functions/"+function+"/invocations", string(text))
	})
	var settled struct{ Messages []struct{ Outcome string } }
	d.decode(answer, &settled)
	var got []string
	for _, m := range settled.Messages {
		got = append(got, m.Outcome)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.t.Fatalf("outcomes (-want +got):\n%s%s", diff, answer)
	}
}

func (d *deployment) send(method, url, body string) (status int, answer []byte) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil {
		d.t.Fatal(err)
	}
	return res.StatusCode, answer
}

func (d *deployment) decode(text []byte, into any) {
	d.t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		d.t.Fatalf("%v: %s", err, text)
	}
}
