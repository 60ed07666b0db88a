package deploy_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/observability"
	"routinely/shared/config"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// fires reports whether an alert would fire if these were the lines of its time.
func fires(t *testing.T, a observability.Alert, lines []map[string]any) bool {
	t.Helper()
	matches, _, err := parseSearch(strings.ReplaceAll(a.Search, "${PREFIX}", prefix))
	if err != nil {
		t.Fatalf("%s: %v", a.ID, err)
	}
	hits := 0
	for _, line := range lines {
		if matches(entryOf(prefix, line)) {
			hits++
		}
	}
	condition := regexp.MustCompile(`^hits ([<>]=?) ([0-9]+)$`).FindStringSubmatch(a.When)
	if condition == nil {
		t.Fatalf("%s: %q is no condition", a.ID, a.When)
	}
	than, err := strconv.ParseFloat(condition[2], 64)
	if err != nil {
		t.Fatal(err)
	}
	return comparison(condition[1])(float64(hits), than)
}

// down makes all calls of the ledger fail.
func (d *deployment) down(set *faults.Set) {
	d.t.Helper()
	if _, err := set.Add(faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: http.StatusServiceUnavailable, Code: "OTSServerBusy"}}); err != nil {
		d.t.Fatal(err)
	}
}

// minute starts a run of the janitor, whatever becomes of it.
func (d *deployment) minute() {
	d.t.Helper()
	d.as("janitor", func() { d.send("POST", d.fc+"/2023-03-30/functions/janitor/invocations", "{}") })
}

// ledger opens the ledger as the functions do.
func (d *deployment) ledger() *ledger.Ledger {
	d.t.Helper()
	book, err := ledger.Open(config.Ledger{
		Endpoint: d.env["ROUTINELY_TABLESTORE_ENDPOINT"], Instance: localtest.Instance, Timeout: 10 * time.Second,
	}, config.Prefix(prefix), localtest.Credentials)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(book.Close)
	return book
}

// restore makes a deployment well again: no call fails, the lane runs, and no message is on its way.
func (d *deployment) restore() {
	d.t.Helper()
	for _, set := range []*faults.Set{d.mns.Faults(), d.esa.Faults(), d.ots.Faults()} {
		set.Clear()
	}
	_, err := d.ledger().ChangeAccount(d.t.Context(), func(a *routine.Account) error {
		a.Stop(nil, nil, time.Now())
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, queue := range []string{queueName, queueName + "-dead", queueName + "-callbacks"} {
		d.send("DELETE", d.env["ROUTINELY_MNS_ENDPOINT"]+"/_local/queues/"+queue+"/messages", "")
	}
}

// planted are the faults by the alert that reports them, each on a deployment that is well.
var planted = map[string]func(*deployment){
	"jobs-dead": func(d *deployment) {
		d.submit(request("dead", "dead", noSite))
		d.work("provision", "dead-lettered")
	},
	"dead-letter-queue-not-empty": func(d *deployment) {
		if _, err := d.client.Send(d.t.Context(), queueName+"-dead", "rubbish", 0); err != nil {
			d.t.Fatal(err)
		}
		d.down(d.ots.Faults())
		for range 3 {
			d.minute()
		}
	},
	"lane-parked": func(d *deployment) {
		d.fail("CreateRoutine", faults.Fault{Answer: faults.Error, Status: 400, Code: "RoutineUserServiceStatusHalt"})
		d.submit(request("halted", "halted", site))
		d.work("provision", "again")
		d.minute()
	},
	"job-too-old": func(d *deployment) {
		row := ledger.NewRow(routine.Job{
			ID: "old", Caller: "ci", AcceptedAt: time.Now().Add(-2 * time.Hour),
			Request: routine.Request{Name: "old", Records: []routine.Record{{SiteID: site, RecordName: "old." + localtest.SiteName}}},
		})
		if made := d.ledger().Create(d.t.Context(), row)[0]; made.Err != nil {
			d.t.Fatal(made.Err)
		}
		d.minute()
	},
	"janitor-silent": func(d *deployment) { d.submit(request("alone", "alone", site)) },
	"function-failed": func(d *deployment) {
		d.down(d.ots.Faults())
		d.minute()
	},
	"callbacks-failing": func(d *deployment) {
		d.submit(d.told("unheard", site))
		d.work("provision", "succeeded")
		for range 6 {
			d.answers <- http.StatusServiceUnavailable
			d.work("notify", "again")
		}
	},
	"quota-nearly-used": func(d *deployment) {
		few := 1
		if err := d.esa.SetAccount(esaemu.AccountChange{RoutineQuota: &few}); err != nil {
			d.t.Fatal(err)
		}
		d.submit(request("one-too-many", "one-too-many", site))
		d.work("provision", "dead-lettered")
		d.minute()
	},
	"ledger-unreachable": func(d *deployment) {
		d.down(d.ots.Faults())
		for range 3 {
			d.ask("POST", "/v1/routines", request("lost", "lost", site), 503)
		}
	},
	"callers-refused": func(d *deployment) {
		for range 16 {
			d.ask("GET", "/v1/jobs", "", 401)
		}
	},
	"messages-unreadable": func(d *deployment) {
		if _, err := d.client.Send(d.t.Context(), queueName, "rubbish", 0); err != nil {
			d.t.Fatal(err)
		}
		d.work("provision", "dead-lettered")
	},
}

// well is what a deployment does that is well.
func well(d *deployment) {
	d.submit(d.told("well", site))
	d.work("provision", "succeeded")
	d.answers <- http.StatusNoContent
	d.work("notify", "delivered")
	d.clean()
}

// strangers lets nobody in but whom the document names.
func strangers(d *deployment) {
	file := filepath.Join(d.t.TempDir(), "callers.json")
	if out, err := d.run("deployer", "callers", "add", "ops", "--scope", "read", "--file", file); err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
	document, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	d.env["ROUTINELY_AUTH"] = string(document)
}

func TestAlerts(t *testing.T) {
	alerts, err := observability.Alerts()
	if err != nil {
		t.Fatal(err)
	}
	schema := outcomeSchema(t)
	valid := func(t *testing.T, lines []map[string]any) {
		t.Helper()
		for _, line := range lines {
			if err := schema.Validate(line); err != nil {
				t.Errorf("%v: %v", line, err)
			}
		}
	}
	d := deploy(t)
	d.env["ROUTINELY_PARK_WAIT"] = "1ms" // an invocation that finds the lane parked does not wait for ESA
	if out, err := d.run("deployer", "setup"); err != nil {
		t.Fatalf("setup: %v\n%s", err, out)
	}
	lines := d.said(func() { well(d) })
	valid(t, lines)
	for _, a := range alerts {
		t.Run(a.ID+" is quiet while all is well", func(t *testing.T) {
			if fires(t, a, lines) {
				t.Errorf("it fires: %v", lines)
			}
		})
		t.Run(a.ID+" fires when what it is about happens", func(t *testing.T) {
			plant := planted[a.ID]
			if plant == nil {
				t.Fatal("no fault is planted for it")
			}
			d.t = t
			defer d.restore()
			if a.ID == "callers-refused" {
				strangers(d)
				defer func() { d.env["ROUTINELY_AUTH"] = "none" }()
			}
			lines := d.said(func() { plant(d) })
			valid(t, lines)
			if !fires(t, a, lines) {
				t.Errorf("%s, %s: it is quiet:\n%v", a.Search, a.When, lines)
			}
		})
	}
}

func TestObservedFields(t *testing.T) {
	fields := outcomeFields(t)
	var index struct {
		Keys map[string]struct {
			JSONKeys map[string]struct{ Type string } `json:"json_keys"`
		}
	}
	if err := json.Unmarshal(read(t, "deploy", "observability", "index.json"), &index); err != nil {
		t.Fatal(err)
	}
	keys := index.Keys["message"].JSONKeys
	t.Run("of the index are those of the schema, and numbers are numbers", func(t *testing.T) {
		for name, key := range keys {
			number, known := fields[name]
			if !known || number != (key.Type == "long" || key.Type == "double") {
				t.Errorf("%s: %s", name, key.Type)
			}
		}
	})
	check := func(t *testing.T, text string) {
		t.Helper()
		matching, analysis, _ := strings.Cut(text, "|")
		_, named, err := parseSearch(strings.ReplaceAll(matching, "${PREFIX}", prefix))
		if err != nil {
			t.Fatal(err)
		}
		for _, column := range regexp.MustCompile(`"(message\.[^"]+)"`).FindAllStringSubmatch(analysis, -1) {
			if _, there := named[column[1]]; !there {
				named[column[1]] = keys[strings.TrimPrefix(column[1], "message.")].Type == "text"
			}
		}
		for field, text := range named {
			name, inside := strings.CutPrefix(field, "message.")
			if key, there := keys[name]; inside && (!there || text != (key.Type == "text")) || !inside && index.Keys[field].JSONKeys == nil && field != "functionName" {
				t.Errorf("%s is not in the index as it is used", field)
			}
		}
	}
	alerts, err := observability.Alerts()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts {
		t.Run("of the alert "+a.ID+" are in the index", func(t *testing.T) { check(t, a.Search) })
	}
	var dashboard struct {
		Charts []struct {
			Title  string
			Search struct{ Query string }
		}
	}
	if err := json.Unmarshal(read(t, "deploy", "observability", "dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, chart := range dashboard.Charts {
		t.Run("of the chart "+chart.Title+" are in the index", func(t *testing.T) { check(t, chart.Search.Query) })
	}
	t.Run("and each alert has an id of its own, a fault that is planted, and a severity that there is", func(t *testing.T) {
		ids := map[string]bool{}
		for _, a := range alerts {
			if ids[a.ID] || planted[a.ID] == nil || a.Name.English == "" || a.Name.Chinese == "" || !slices.Contains([]int{2, 4, 6, 8, 10}, a.Severity) {
				t.Errorf("%+v", a)
			}
			ids[a.ID] = true
		}
		if len(ids) != len(planted) {
			t.Errorf("%d alerts, %d faults", len(ids), len(planted))
		}
	})
}
