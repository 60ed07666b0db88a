package cloud_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/cloud"
	"routinely/deploy/local/localtest"
	"routinely/deploy/observability"
	"routinely/deploy/sim/logs"
	"routinely/shared/fault"
)

const (
	logProject = "serverless-cn-hangzhou-1"
	logStore   = "default-logs"
)

// logService returns a server of the log project and a client with the given secret of its key.
func logService(t *testing.T, secret string) (*logs.Server, *cloud.Logs) {
	t.Helper()
	server := logs.New(localtest.AccessKeyID, localtest.AccessKeySecret, logProject, logStore)
	client, err := cloud.NewLogs(cloud.LogsConfig{Access: access(secret), Endpoint: localtest.Listen(t, server, nil, logProject+".127.0.0.1"), Project: logProject})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return server, client
}

func watched() observability.Deployment {
	return observability.Deployment{Prefix: "routinely", Region: "cn-hangzhou", Project: logProject, Logstore: logStore, Language: observability.English}
}

// runs sets something up: a dry run says what is wanted and changes nothing, the first run says and does the same, the second nothing.
func runs(t *testing.T, server *logs.Server, setUp func(dryRun bool) ([]string, error), want ...string) {
	t.Helper()
	server.Calls()
	for _, run := range []struct {
		dryRun bool
		want   []string
	}{{true, want}, {false, want}, {false, nil}, {true, nil}} {
		got, err := setUp(run.dryRun)
		if diff := cmp.Diff(run.want, got); diff != "" || err != nil {
			t.Errorf("dry run %t: error %v, changes -want +got:\n%s", run.dryRun, err, diff)
		}
		for _, call := range server.Calls() {
			if run.dryRun && !strings.HasPrefix(call, "Get") {
				t.Errorf("a dry run calls %s", call)
			}
		}
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestLogs(t *testing.T) {
	t.Run("makes an index, and adds what one lacks without touching the rest", func(t *testing.T) {
		server, client := logService(t, localtest.AccessKeySecret)
		want := must[observability.Document](t)(watched().Index())
		setUp := func(dryRun bool) ([]string, error) { return client.SetUpIndex(t.Context(), logStore, want, dryRun) }
		runs(t, server, setUp, "create the index of log store default-logs")
		other := logs.Document{"type": "text", "token": []any{" "}, "doc_value": true}
		server.Index = logs.Document{"ttl": 7.0, "line": logs.Document{"token": []any{" "}}, "keys": logs.Document{"other": other, "message": other}}
		runs(t, server, setUp, "change the index of log store default-logs")
		keys := server.Index["keys"].(logs.Document)
		if diff := cmp.Diff(other, keys["other"]); diff != "" || server.Index["ttl"] != 7.0 || len(keys) != 3 {
			t.Errorf("got %v", server.Index)
		}
	})
	t.Run("makes a dashboard, and corrects one", func(t *testing.T) {
		server, client := logService(t, localtest.AccessKeySecret)
		want := must[observability.Document](t)(watched().Dashboard())
		setUp := func(dryRun bool) ([]string, error) { return client.SetUpDashboard(t.Context(), want, dryRun) }
		runs(t, server, setUp, "create dashboard routinely-routinely")
		charts := server.Dashboards["routinely-routinely"]["charts"].([]any)
		server.Dashboards["routinely-routinely"]["charts"] = charts[1:]
		runs(t, server, setUp, "change dashboard routinely-routinely")
	})
	t.Run("makes each alert, corrects one, and leaves it disabled", func(t *testing.T) {
		server, client := logService(t, localtest.AccessKeySecret)
		for _, want := range must[[]observability.Document](t)(watched().Rules()) {
			name := want["name"].(string)
			setUp := func(dryRun bool) ([]string, error) { return client.SetUpAlert(t.Context(), want, dryRun) }
			runs(t, server, setUp, "create alert "+name)
			server.Alerts[name]["status"] = "DISABLED"
			server.Alerts[name]["schedule"] = logs.Document{"type": "FixedRate", "interval": "1h"}
			runs(t, server, setUp, "change alert "+name)
			if server.Alerts[name]["status"] != "DISABLED" {
				t.Errorf("%s is enabled again", name)
			}
		}
	})
	for name, test := range map[string]struct {
		secret string
		change func(*logs.Server)
		kind   fault.Kind
		code   string
	}{
		"of the key":             {"wrong", nil, fault.Account, "SignatureNotMatch"},
		"of a right":             {localtest.AccessKeySecret, func(s *logs.Server) { s.Refuse["GetIndex"] = "Unauthorized" }, fault.Denied, "Unauthorized"},
		"of a project not there": {localtest.AccessKeySecret, func(s *logs.Server) { s.Project = "another" }, fault.NotFound, "ProjectNotExist"},
		"of a store not there":   {localtest.AccessKeySecret, func(s *logs.Server) { s.Store = "another" }, fault.NotFound, "LogStoreNotExist"},
	} {
		t.Run("tells a refusal "+name, func(t *testing.T) {
			server, client := logService(t, test.secret)
			if test.change != nil {
				test.change(server)
			}
			want := must[observability.Document](t)(watched().Index())
			_, err := client.SetUpIndex(t.Context(), logStore, want, false)
			got := fault.From(err)
			if got.Kind != test.kind || got.Code != test.code || got.RequestID != "REQUEST-1" || got.Hint == "" {
				t.Errorf("got %+v", got)
			}
			if slices.ContainsFunc(server.Calls(), func(call string) bool { return !strings.HasPrefix(call, "Get") }) {
				t.Error("something was written")
			}
		})
	}
}
