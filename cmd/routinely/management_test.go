package main

import (
	"net/http/httptest"
	"slices"

	"github.com/rogpeppe/go-internal/testscript"

	"routinely/deploy/local/stack"
	"routinely/deploy/sim/logs"
	"routinely/deploy/sim/management"
)

// accountKey is where a script has its account.
type accountKey struct{}

// startManagement starts the management APIs of an account that has the users ann and bob: management. The address is in variables.
func startManagement(ts *testscript.TestScript, _ bool, _ []string) {
	account := ts.Value(accountKey{}).(*management.Server)
	account.Attached["user/ann"], account.Attached["user/bob"] = nil, nil
	server := httptest.NewServer(account)
	ts.Defer(server.Close)
	for _, name := range []string{"ROUTINELY_RAM_ENDPOINT", "ROUTINELY_RESOURCE_MANAGER_ENDPOINT", "ROUTINELY_TABLESTORE_MANAGEMENT_ENDPOINT"} {
		ts.Setenv(name, server.URL)
	}
	ts.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", stack.AccessKeyID)
	ts.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", stack.AccessKeySecret)
}

// changeAccount does what somebody does in RAM's console: account add-role ROLE, drop-role ROLE, trust ROLE DOCUMENT, add-version POLICY DOCUMENT,
// detach ROLE POLICY. Or it decides whether an action is refused: refuse ACTION CODE, allow ACTION.
func changeAccount(ts *testscript.TestScript, _ bool, args []string) {
	ts.Value(accountKey{}).(*management.Server).Change(func(account *management.Server) {
		switch what, on := args[0], args[1]; what {
		case "add-role":
			account.Roles[on] = ""
		case "drop-role":
			delete(account.Roles, on)
		case "trust":
			account.Roles[on] = args[2]
		case "add-version":
			policy := account.Policies[on]
			policy.Versions = append(policy.Versions, args[2])
			policy.Default = len(policy.Versions) - 1
		case "detach":
			account.Attached["role/"+on] = slices.DeleteFunc(account.Attached["role/"+on], func(policy string) bool { return policy == args[2] })
		case "refuse":
			account.Refuse[on] = args[2]
		case "allow":
			delete(account.Refuse, on)
		default:
			ts.Fatalf("%s is nothing that is done in an account", what)
		}
	})
}

// startLogs starts Simple Log Service with a project and its log store: logservice PROJECT STORE. The address is in variables.
func startLogs(ts *testscript.TestScript, _ bool, args []string) {
	server := httptest.NewServer(logs.New(stack.AccessKeyID, stack.AccessKeySecret, args[0], args[1]))
	ts.Defer(server.Close)
	ts.Setenv("ROUTINELY_LOG_ENDPOINT", server.URL)
	ts.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", stack.AccessKeyID)
	ts.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", stack.AccessKeySecret)
}
