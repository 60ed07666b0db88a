package main

import (
	"net/http/httptest"

	"github.com/rogpeppe/go-internal/testscript"

	"routinely/deploy/local/stack"
	"routinely/deploy/sim/management"
)

// startManagement starts the management APIs of an account that has the users ann and bob: management. The address is in variables.
func startManagement(ts *testscript.TestScript, _ bool, _ []string) {
	account := management.New(stack.AccessKeyID, stack.AccessKeySecret)
	account.Attached["user/ann"], account.Attached["user/bob"] = nil, nil
	server := httptest.NewServer(account)
	ts.Defer(server.Close)
	for _, name := range []string{"ROUTINELY_RAM_ENDPOINT", "ROUTINELY_RESOURCE_MANAGER_ENDPOINT", "ROUTINELY_TABLESTORE_MANAGEMENT_ENDPOINT"} {
		ts.Setenv(name, server.URL)
	}
	ts.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", stack.AccessKeyID)
	ts.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", stack.AccessKeySecret)
}
