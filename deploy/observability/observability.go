// Package observability holds what makes the functions' log lines into alerts and a dashboard of Simple Log Service: the schema of the outcome lines,
// the index, the dashboard and the alert rules, as the files beside it. `routinely setup alerts` installs them. It calls nobody, and says nothing about
// who is told of an alert.
package observability

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

//go:embed index.json dashboard.json alerts.json
var files embed.FS

// runbooks are the pages that explain alerts and the doctor's findings, each in a section named by its id.
const runbooks = "docs/operations/runbook"

// Runbook is the section about an alert or a finding, by its id: a page of the repository and a place in it.
func Runbook(id string) string { return runbooks + ".md#" + id }

// Language is that of what an alert is called and of the page that it leads to.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// Names are what something is called.
type Names struct {
	English string `json:"en"`
	Chinese string `json:"zh"`
}

// Alert is one rule: it fires when When is true of the number of log entries that Search found in the last Minutes.
type Alert struct {
	// ID names the alert and its section of the runbook; it does not change between versions.
	ID   string `json:"id"`
	Name Names  `json:"name"`
	// Severity is that of Simple Log Service: 10 critical, 8 high, 6 medium, 4 low, 2 report only.
	Severity int `json:"severity"`
	// Minutes are 1 to 1440.
	Minutes int `json:"minutes"`
	// Search is a search statement, with the place holder ${PREFIX}.
	Search string `json:"search"`
	// When compares hits with a number: hits > 0.
	When string `json:"when"`
}

// Alerts are all rules, as the file has them.
func Alerts() ([]Alert, error) {
	text, err := files.ReadFile("alerts.json")
	if err != nil {
		return nil, err
	}
	var out []Alert
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&out); err != nil {
		return nil, fmt.Errorf("alerts: %w", err)
	}
	return out, nil
}

// Deployment is what the files are filled with. All but ActionPolicy and Pages is required.
type Deployment struct {
	Prefix, Region, Project, Logstore string
	// ActionPolicy is the id of the action policy that says who is told; empty means that nobody is, and the alerts are seen in the console alone.
	ActionPolicy string
	// Pages is where the repository's pages are read, such as https://git.example.com/routinely/blob/main; empty leaves their paths.
	Pages string
	// Language is that of the alerts.
	Language Language
}

// name is what a name in Simple Log Service may be made of, so that nothing is added to a query.
var name = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// Check says what is wrong with a deployment; nil if nothing is.
func (d Deployment) Check() error {
	var failed []error
	for what, value := range map[string]string{"prefix": d.Prefix, "region": d.Region, "log project": d.Project, "log store": d.Logstore} {
		if !name.MatchString(value) {
			failed = append(failed, fmt.Errorf("%s: %q is not lower-case letters, digits, hyphens and underscores", what, value))
		}
	}
	if d.Language != English && d.Language != Chinese {
		failed = append(failed, fmt.Errorf("language: %q is neither %s nor %s", d.Language, English, Chinese))
	}
	return errors.Join(failed...)
}

// Document is a body of the service's API, as decoded JSON.
type Document = map[string]any

// Index is the body of CreateIndex.
func (d Deployment) Index() (Document, error) { return d.fill("index.json") }

// Dashboard is the body of CreateDashboard; its dashboardName identifies it.
func (d Deployment) Dashboard() (Document, error) { return d.fill("dashboard.json") }

func (d Deployment) fill(file string) (Document, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	text, err := files.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return decode([]byte(d.replace(string(text))))
}

func (d Deployment) replace(text string) string {
	return strings.NewReplacer("${PREFIX}", d.Prefix, "${LOGSTORE}", d.Logstore).Replace(text)
}

func decode(text []byte) (out Document, err error) {
	err = json.Unmarshal(text, &out)
	return out, err
}

// Rules are the bodies of CreateAlert, in the order of Alerts; the name of each identifies it.
func (d Deployment) Rules() ([]Document, error) {
	alerts, err := Alerts()
	if err = errors.Join(err, d.Check()); err != nil {
		return nil, err
	}
	var out []Document
	for _, a := range alerts {
		text, err := json.Marshal(d.rule(a))
		if err != nil {
			return nil, err
		}
		body, err := decode(text)
		if err != nil {
			return nil, err
		}
		out = append(out, body)
	}
	return out, nil
}

// repeat is after how long somebody is told again of an alert that goes on.
const repeat = "4h"

// rule is the body of one alert, as the pages "CreateAlert" and "Data structure of an alert rule" (version 2020-12-30) have it.
func (d Deployment) rule(a Alert) Document {
	title, page := a.Name.English, Runbook(a.ID)
	if d.Language == Chinese {
		title, page = a.Name.Chinese, runbooks+".zh-CN.md#"+a.ID
	}
	if d.Pages != "" {
		page = strings.TrimSuffix(d.Pages, "/") + "/" + page
	}
	pair := func(key, value string) Document { return Document{"key": key, "value": value} }
	return Document{
		"name": d.Prefix + "-" + a.ID, "displayName": d.Prefix + ": " + title, "description": page,
		"schedule": Document{"type": "FixedRate", "interval": "1m"},
		"configuration": Document{
			"version": "2.0", "type": "default", "dashboard": "internal-alert-analysis",
			"queryList": []Document{{
				"storeType": "log", "region": d.Region, "project": d.Project, "store": d.Logstore,
				"query":        d.replace(a.Search) + " | select count(*) as hits",
				"timeSpanType": "Relative", "start": fmt.Sprintf("-%dm", a.Minutes), "end": "now", "powerSqlMode": "auto",
			}},
			"groupConfiguration": Document{"type": "no_group", "fields": []string{}}, "joinConfigurations": []string{},
			"severityConfigurations": []Document{{"severity": a.Severity, "evalCondition": Document{"condition": a.When, "countCondition": ""}}},
			"labels":                 []Document{pair("deployment", d.Prefix)},
			"annotations":            []Document{pair("title", title), pair("desc", "${hits}"), pair("runbook", page)},
			"autoAnnotation":         true, "sendResolved": true, "threshold": 1, "noDataFire": false, "noDataSeverity": 6,
			"policyConfiguration": Document{"alertPolicyId": "sls.builtin.dynamic", "actionPolicyId": d.ActionPolicy, "repeatInterval": repeat},
		},
	}
}
