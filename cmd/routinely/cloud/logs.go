package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"reflect"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sls "github.com/alibabacloud-go/sls-20201230/v6/client"
	"github.com/alibabacloud-go/tea/dara"

	"routinely/shared/endpoint"
	"routinely/shared/fault"
)

// LogsConfig is what Logs needs. All is required.
type LogsConfig struct {
	Access
	// Endpoint is that of Simple Log Service, such as cn-hangzhou.log.aliyuncs.com.
	Endpoint string
	// Project is the log project.
	Project string
}

// Logs makes the index, dashboards and alert rules of a log project. It makes one call at a time.
//
// The bodies are sent as they are: the types of the SDK have no member for the keys of a JSON index, and misspell others.
type Logs struct {
	caller
	api     *sls.Client
	project string
}

// NewLogs checks the configuration and returns a client. It makes no call.
func NewLogs(cfg LogsConfig) (*Logs, error) {
	if cfg.Project == "" {
		return nil, errors.New("log service: a project is required")
	}
	w := newWire()
	settings, err := cfg.settings(cfg.Endpoint, w)
	if err != nil {
		return nil, fmt.Errorf("log service: %w", err)
	}
	w.silent = true
	dialItself(w, cfg.Endpoint)
	api, err := sls.NewClient(settings)
	if err != nil {
		return nil, fmt.Errorf("log service: %w", err)
	}
	api.DisableSDKError = dara.Bool(true) // errors pass through as they are instead of being flattened to text
	return &Logs{caller: caller{w, cfg.Timeout}, api: api, project: cfg.Project}, nil
}

// dialItself connects to the endpoint whatever the host of a request is, if it is an IP address: the host of the service begins with the project, and
// addresses have no such names.
func dialItself(w *wire, given string) {
	address, err := endpoint.HostOrOrigin(given)
	if err != nil {
		return
	}
	if host := (&url.URL{Host: address.Host}).Hostname(); net.ParseIP(host) == nil {
		return
	}
	w.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address.Host)
	}
}

// SetUpIndex makes the index of a log store, or adds to one what it lacks and changes what differs; other fields keep their index. It says what it
// changed.
func (l *Logs) SetUpIndex(ctx context.Context, store string, want map[string]any, dryRun bool) (changes []string, err error) {
	path := "/logstores/" + store + "/index"
	have, err := l.get(ctx, "GetIndex", path)
	if fault.HasKind(err, fault.NotFound) && fault.HasCode(err, "IndexConfigNotExist") {
		return l.put(ctx, dryRun, "create the index of log store "+store, "CreateIndex", "POST", path, want)
	}
	if err != nil {
		return nil, err
	}
	keys, _ := want["keys"].(map[string]any)
	if within(keys, have["keys"]) {
		return nil, nil
	}
	body := map[string]any{"keys": merged(have["keys"], keys), "ttl": want["ttl"]}
	for _, name := range []string{"line", "ttl", "log_reduce", "log_reduce_white_list", "log_reduce_black_list", "max_text_len"} {
		if value, there := have[name]; there {
			body[name] = value
		}
	}
	return l.put(ctx, dryRun, "change the index of log store "+store, "UpdateIndex", "PUT", path, body)
}

// SetUpDashboard makes a dashboard, or makes it what it should be, and says so.
func (l *Logs) SetUpDashboard(ctx context.Context, want map[string]any, dryRun bool) (changes []string, err error) {
	return l.setUp(ctx, "dashboard", "Dashboard", "/dashboards", fmt.Sprint(want["dashboardName"]), want, dryRun)
}

// SetUpAlert makes an alert rule, or makes it what it should be, and says so. Whether it is enabled stays as it is.
func (l *Logs) SetUpAlert(ctx context.Context, want map[string]any, dryRun bool) (changes []string, err error) {
	return l.setUp(ctx, "alert", "Alert", "/alerts", fmt.Sprint(want["name"]), want, dryRun)
}

func (l *Logs) setUp(ctx context.Context, kind, noun, path, name string, want map[string]any, dryRun bool) ([]string, error) {
	have, err := l.get(ctx, "Get"+noun, path+"/"+name)
	switch {
	case fault.HasKind(err, fault.NotFound) && !fault.HasCode(err, "ProjectNotExist"):
		return l.put(ctx, dryRun, "create "+kind+" "+name, "Create"+noun, "POST", path, want)
	case err != nil:
		return nil, err
	case within(want, have):
		return nil, nil
	}
	body := maps.Clone(want)
	if noun == "Alert" {
		delete(body, "name") // it is in the path
	}
	return l.put(ctx, dryRun, "change "+kind+" "+name, "Update"+noun, "PUT", path+"/"+name, body)
}

// within reports whether all that is wanted is there. The service adds members of its own.
func within(want, have any) bool {
	switch want := want.(type) {
	case map[string]any:
		there, ok := have.(map[string]any)
		for name, value := range want {
			if !ok || !within(value, there[name]) {
				return false
			}
		}
		return ok || len(want) == 0
	case []any:
		there, _ := have.([]any)
		if len(want) != len(there) {
			return false
		}
		for i := range want {
			if !within(want[i], there[i]) {
				return false
			}
		}
		return true
	case string:
		return have == want || want == "" && have == nil // an answer may leave out what is empty
	case bool:
		return have == want || !want && have == nil
	}
	return reflect.DeepEqual(want, have)
}

func merged(have any, want map[string]any) map[string]any {
	out := map[string]any{}
	if there, ok := have.(map[string]any); ok {
		maps.Copy(out, there)
	}
	maps.Copy(out, want)
	return out
}

func (l *Logs) get(ctx context.Context, action, path string) (out map[string]any, err error) {
	err = l.call(ctx, action, func() error {
		answer, err := l.api.Execute(l.params(action, "GET", path, "json"), l.request(nil), &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		text, err := json.Marshal(answer["body"])
		if err == nil {
			err = json.Unmarshal(text, &out)
		}
		return err
	})
	return out, err
}

func (l *Logs) put(ctx context.Context, dryRun bool, text, action, method, path string, body map[string]any) ([]string, error) {
	return l.change(ctx, dryRun, text, action, func() error {
		_, err := l.api.Execute(l.params(action, method, path, "none"), l.request(body), &dara.RuntimeOptions{})
		return err
	})
}

func (l *Logs) request(body map[string]any) *openapiutil.OpenApiRequest {
	out := &openapiutil.OpenApiRequest{HostMap: map[string]*string{"project": &l.project}, Headers: map[string]*string{}}
	if body != nil {
		out.Body = body
	}
	return out
}

func (l *Logs) params(action, method, path, answer string) *openapiutil.Params {
	return &openapiutil.Params{
		Action: dara.String(action), Version: dara.String("2020-12-30"), Protocol: dara.String("HTTPS"), Pathname: dara.String(path),
		Method: dara.String(method), AuthType: dara.String("AK"), Style: dara.String("ROA"), ReqBodyType: dara.String("json"),
		BodyType: dara.String(answer),
	}
}
