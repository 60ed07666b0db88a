package cloud_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/cloud"
	"routinely/deploy/local/localtest"
	"routinely/deploy/sim/management"
	"routinely/shared/fault"
)

const (
	trust      = `{"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":["fc.aliyuncs.com"]}}]}`
	document   = `{"Version":"1","Statement":[{"Effect":"Allow","Action":["mns:SendMessage"],"Resource":["acs:mns:*:*:/queues/a b+c"]}]}`
	sameSpaced = "{ \"Statement\": [{\"Action\": [\"mns:SendMessage\"], \"Effect\": \"Allow\",\n\"Resource\": [\"acs:mns:*:*:/queues/a b+c\"]}], \"Version\": \"1\" }"
)

func access(secret string) cloud.Access {
	return cloud.Access{Timeout: 10 * time.Second, Credentials: func() (string, string, string) { return localtest.AccessKeyID, secret, "" }}
}

func rights(t *testing.T) (*management.Server, *cloud.Rights) {
	t.Helper()
	server := management.New(localtest.AccessKeyID, localtest.AccessKeySecret)
	url := localtest.Listen(t, server, nil)
	r, err := cloud.NewRights(cloud.RightsConfig{Access: access(localtest.AccessKeySecret), RAM: url, ResourceManager: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return server, r
}

// twice sets something up: a dry run says what is wanted and changes nothing, the first run says and does the same, the second nothing.
func twice(t *testing.T, server *management.Server, setUp func(dryRun bool) ([]string, error), want ...string) {
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
			if run.dryRun && !strings.HasPrefix(call, "Get") && !strings.HasPrefix(call, "List") {
				t.Errorf("a dry run calls %s", call)
			}
		}
	}
}

func TestRights(t *testing.T) {
	t.Run("makes a role, and corrects who may take it", func(t *testing.T) {
		server, r := rights(t)
		setUp := func(dryRun bool) ([]string, error) {
			return r.SetUpRole(t.Context(), cloud.Role{Name: "one", Description: "d", Trust: trust}, dryRun)
		}
		twice(t, server, setUp, "create role one")
		server.Roles["one"] = strings.Replace(trust, "fc.", "ecs.", 1)
		twice(t, server, setUp, "change who may take the role one")
		if server.Roles["one"] != trust {
			t.Errorf("got %s", server.Roles["one"])
		}
	})
	t.Run("makes a policy, and puts a new version in force when it says something else", func(t *testing.T) {
		server, r := rights(t)
		setUp := func(dryRun bool) ([]string, error) {
			return r.SetUpPolicy(t.Context(), cloud.Policy{Name: "p", Document: document}, dryRun)
		}
		twice(t, server, setUp, "create policy p")
		server.Policies["p"].Versions[0] = sameSpaced
		twice(t, server, setUp)
		server.Policies["p"].Versions[0] = strings.Replace(document, "SendMessage", "PeekMessage", 1)
		twice(t, server, setUp, "change policy p")
		if got := server.Policies["p"]; got.Default != 1 || got.Versions[1] != document {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("changes a policy that has as many versions as RAM keeps", func(t *testing.T) {
		server, r := rights(t)
		old := strings.Replace(document, "SendMessage", "PeekMessage", 1)
		server.Policies["p"] = &management.Policy{Versions: slices.Repeat([]string{old}, 5), Default: 0}
		got, err := r.SetUpPolicy(t.Context(), cloud.Policy{Name: "p", Document: document}, false)
		if diff := cmp.Diff([]string{"change policy p"}, got); diff != "" || err != nil {
			t.Errorf("error %v, changes -want +got:\n%s", err, diff)
		}
		if p := server.Policies["p"]; len(p.Versions) != 5 || p.Versions[p.Default] != document {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("attaches a policy once", func(t *testing.T) {
		server, r := rights(t)
		server.Roles["one"], server.Policies["p"], server.Attached["user/ann"] = trust, &management.Policy{Versions: []string{document}}, nil
		twice(t, server, func(dryRun bool) ([]string, error) { return r.AttachToRole(t.Context(), "p", "one", dryRun) }, "attach policy p to role one")
		twice(t, server, func(dryRun bool) ([]string, error) { return r.AttachToUser(t.Context(), "p", "ann", dryRun) }, "attach policy p to user ann")
		_, err := r.AttachToUser(t.Context(), "p", "bob", true)
		if !fault.HasCode(err, "EntityNotExist.User") || !fault.HasKind(err, fault.NotFound) {
			t.Errorf("of a user that is not there: %v", err)
		}
	})
	t.Run("says in a dry run what it would attach to a role that it would make", func(t *testing.T) {
		_, r := rights(t)
		got, err := r.AttachToRole(t.Context(), "p", "one", true)
		if len(got) != 1 || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := r.AttachToRole(t.Context(), "p", "one", false); !fault.HasCode(err, "EntityNotExist.Role") {
			t.Errorf("without a dry run: %v", err)
		}
	})
	t.Run("removes a policy from whoever has it, with its versions, and then the role", func(t *testing.T) {
		server, r := rights(t)
		server.Roles["one"], server.Policies["p"] = trust, &management.Policy{Versions: []string{document, document}, Default: 1}
		server.Attached["user/ann"], server.Attached["role/one"] = []string{"p", "q"}, []string{"p"}
		twice(t, server, func(dryRun bool) ([]string, error) { return r.RemovePolicy(t.Context(), "p", dryRun) },
			"detach policy p from role one", "detach policy p from user ann", "delete version v1 of policy p", "delete policy p")
		twice(t, server, func(dryRun bool) ([]string, error) { return r.RemoveRole(t.Context(), "one", dryRun) }, "delete role one")
		if diff := cmp.Diff([]string{"q"}, server.Attached["user/ann"]); diff != "" || len(server.Policies)+len(server.Roles) > 0 {
			t.Errorf("what is left: %v, %v; of the user -want +got:\n%s", server.Policies, server.Roles, diff)
		}
	})
	t.Run("lets the role of a service be made, once", func(t *testing.T) {
		server, r := rights(t)
		role := cloud.ServiceRole{Name: "AliyunServiceRoleForFC", Service: "fc.aliyuncs.com"}
		setUp := func(dryRun bool) ([]string, error) { return r.SetUpServiceRole(t.Context(), role, dryRun) }
		twice(t, server, setUp, "create role AliyunServiceRoleForFC of the service fc.aliyuncs.com")
		role.Name = "ANameThatChanged"
		if got, err := setUp(false); len(got) > 0 || err != nil {
			t.Errorf("under another name: %q, %v", got, err)
		}
	})
}

func instances(t *testing.T) (*management.Server, *cloud.Instances) {
	t.Helper()
	server := management.New(localtest.AccessKeyID, localtest.AccessKeySecret)
	i, err := cloud.NewInstances(cloud.InstancesConfig{Access: access(localtest.AccessKeySecret), Endpoint: localtest.Listen(t, server, nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return server, i
}

func TestInstances(t *testing.T) {
	t.Run("makes an instance that is open to the networks and no other", func(t *testing.T) {
		server, i := instances(t)
		networks := []string{"CLASSIC", "INTERNET"}
		twice(t, server, func(dryRun bool) ([]string, error) {
			changes, made, err := i.Open(t.Context(), "jobs", networks, dryRun)
			if made != (len(changes) > 0) {
				t.Errorf("made %t, changes %q", made, changes)
			}
			return changes, err
		}, "create Tablestore instance jobs, open to CLASSIC, INTERNET")
		if diff := cmp.Diff(networks, server.Instances["jobs"]); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("opens first and closes last", func(t *testing.T) {
		server, i := instances(t)
		server.Instances["jobs"] = []string{"VPC"}
		want := []string{"INTERNET"}
		twice(t, server, func(dryRun bool) ([]string, error) {
			changes, _, err := i.Open(t.Context(), "jobs", want, dryRun)
			return changes, err
		}, "open Tablestore instance jobs to VPC, INTERNET instead of VPC")
		twice(t, server, func(dryRun bool) ([]string, error) { return i.Narrow(t.Context(), "jobs", want, dryRun) },
			"open Tablestore instance jobs to INTERNET instead of VPC, INTERNET")
		if diff := cmp.Diff(want, server.Instances["jobs"]); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestFailures(t *testing.T) {
	for _, test := range []struct {
		name, secret, refused, code string
		kind                        fault.Kind
	}{
		{"a wrong key", "wrong", "", "SignatureDoesNotMatch", fault.Account},
		{"a key that does not exist", localtest.AccessKeySecret, "InvalidAccessKeyId.NotFound", "InvalidAccessKeyId.NotFound", fault.Account},
		{"a temporary key that expired", localtest.AccessKeySecret, "InvalidSecurityToken.Expired", "InvalidSecurityToken.Expired", fault.Account},
		{"a right that is missing", localtest.AccessKeySecret, "NoPermission", "NoPermission", fault.Denied},
		{"a throttle", localtest.AccessKeySecret, "Throttling.User", "Throttling.User", fault.Throttled},
	} {
		t.Run(test.name+" is told with code, request id and what to do", func(t *testing.T) {
			server := management.New(localtest.AccessKeyID, localtest.AccessKeySecret)
			if test.refused != "" {
				server.Refuse["GetRole"] = test.refused
			}
			url := localtest.Listen(t, server, nil)
			r, err := cloud.NewRights(cloud.RightsConfig{Access: access(test.secret), RAM: url, ResourceManager: url})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			_, err = r.SetUpRole(t.Context(), cloud.Role{Name: "one", Trust: trust}, false)
			got := fault.From(err)
			if got.Kind != test.kind || got.Code != test.code || got.RequestID == "" || got.Hint == "" || got.Step != "GetRole" {
				t.Errorf("got %+v", got)
			}
			if strings.Contains(err.Error(), "wrong") {
				t.Errorf("the secret can be read: %v", err)
			}
		})
	}
	t.Run("a server that does not answer is given up", func(t *testing.T) {
		hung := make(chan struct{})
		url := localtest.Listen(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung }), func() { close(hung) })
		a := access("s")
		a.Timeout = time.Millisecond
		i, err := cloud.NewInstances(cloud.InstancesConfig{Access: a, Endpoint: url})
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		if _, _, err := i.Open(context.Background(), "jobs", nil, true); !fault.HasCode(err, "Timeout") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an endpoint that is none is refused", func(t *testing.T) {
		for _, endpoint := range []string{"", "ftp://x", "https://x/path"} {
			if _, err := cloud.NewInstances(cloud.InstancesConfig{Access: access("s"), Endpoint: endpoint}); err == nil {
				t.Errorf("%q is accepted", endpoint)
			}
		}
	})
}
