package esa_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/esa"
	"routinely/shared/fault"
)

// calls are the client's calls by ESA's names of the actions, about the routine pr-1 and a record of it.
func calls() map[string]func(context.Context, *esa.Client) error {
	const name, record = "pr-1", "a.example.com"
	return map[string]func(context.Context, *esa.Client) error{
		"CreateRoutine": func(ctx context.Context, c *esa.Client) error { return c.CreateRoutine(ctx, name, nil, nil) },
		"CreateRoutineRelatedRecord": func(ctx context.Context, c *esa.Client) error {
			_, err := c.CreateRoutineRelatedRecord(ctx, name, localtest.SiteID, record)
			return err
		},
		"DeleteRoutine": func(ctx context.Context, c *esa.Client) error { return c.DeleteRoutine(ctx, name) },
		"DeleteRoutineRelatedRecord": func(ctx context.Context, c *esa.Client) error {
			return c.DeleteRoutineRelatedRecord(ctx, name, localtest.SiteID, 1, record)
		},
		"UpdateRoutineConfigDescription": func(ctx context.Context, c *esa.Client) error { return c.UpdateDescription(ctx, name, "new") },
		"ListRoutineRelatedRecords": func(ctx context.Context, c *esa.Client) error {
			_, err := c.RelatedRecords(ctx, name)
			return err
		},
		"ListRoutineRoutes": func(ctx context.Context, c *esa.Client) error {
			_, err := c.Routes(ctx, name)
			return err
		},
		"ListUserRoutines": func(ctx context.Context, c *esa.Client) error {
			_, err := c.Routines(ctx)
			return err
		},
		"ListSites": func(ctx context.Context, c *esa.Client) error {
			_, _, err := c.Sites(ctx)
			return err
		},
	}
}

// pageRow is a row of an error table as the official page prints it: status, code, text.
var pageRow = regexp.MustCompile(`(?m)^400 ([A-Za-z]+) `)

func TestCodes(t *testing.T) {
	type class struct {
		Kind    fault.Kind
		Unknown bool
	}
	perm, account, locked := class{fault.Invalid, false}, class{fault.Account, false}, class{fault.Locked, false}
	quota, denied, absent := class{fault.Quota, false}, class{fault.Denied, false}, class{fault.NotFound, false}
	unavailable, few := class{fault.Unavailable, true}, class{fault.Internal, true}
	pages := map[string]struct {
		page string
		want map[string]class
	}{
		"CreateRoutine": {"../../../shared/facts/esa-createroutine.zh.txt", map[string]class{
			"RoutineAlreadyExist": {fault.Conflict, false}, "InternalOperationError": unavailable, "ParameterNotExist": perm,
			"ServiceNotOpen": account, "RoutineNumberExceedQuotaLimit": quota, "DependedByOthers": few,
			"RoutineUserServiceStatusHalt": account, "InternalException": unavailable, "InvalidParameter": perm,
			"UserOperationStatusIsLocked": locked,
		}},
		"DeleteRoutineRelatedRecord": {"", map[string]class{
			"InternalException": unavailable, "InvalidParameter": perm, "RoutineNotExist": absent, "DependedByOthers": few,
			"SiteParameterNotMatch": absent, "RoutineUserServiceStatusHalt": account, "InternalOperationError": unavailable,
			"ParameterNotExist": absent, "UserOperationStatusIsLocked": locked,
		}},
		"UpdateRoutineConfigDescription": {"", map[string]class{
			"InternalException": unavailable, "InvalidParameter": perm, "RoutineNotExist": absent, "InternalOperationError": unavailable,
			"RoutineUserServiceStatusHalt": account, "UserOperationStatusIsLocked": locked,
		}},
		"DeleteRoutine": {"", map[string]class{
			"InternalException": unavailable, "InvalidParameter": perm, "RoutineNotExist": absent, "DependedByOthers": few,
			"RoutineUserServiceStatusHalt": account, "InternalOperationError": unavailable, "UserOperationStatusIsLocked": locked,
			"LockFailed": locked, "Site.ServiceBusy": locked, "TooManyRequests": locked,
		}},
		"ListRoutineRelatedRecords": {"", map[string]class{
			"InternalException": unavailable, "InvalidParameter": perm, "DependedByOthers": few, "RoutineNotExist": absent,
		}},
		"ListRoutineRoutes": {"", map[string]class{"InternalException": unavailable, "RoutineNotExist": absent}},
		"ListUserRoutines":  {"", map[string]class{"InternalException": unavailable, "Throttling.User": {fault.Throttled, false}}},
		"CreateRoutineRelatedRecord": {"../../../shared/facts/esa-createroutinerelatedrecord.zh.txt", map[string]class{
			"InternalException": unavailable, "InvalidParameter": perm, "RoutineNotExist": absent,
			"DependedByOthers": few, "SiteParameterNotMatch": absent, "InternalOperationError": unavailable,
			"ParameterAlreadyExist": {fault.Conflict, false}, "RelatedRecordNumberExceedQuotaLimit": quota,
			"RoutineUserServiceStatusHalt": account, "UserOperationStatusIsLocked": locked,
		}},
	}
	call := func(t *testing.T, action string, injected faults.Fault) *fault.Error {
		t.Helper()
		server, client := start(t)
		inject(t, server, faults.Rule{Action: action, Fault: injected})
		return fault.From(calls()[action](t.Context(), client))
	}
	for action, test := range pages {
		for code, want := range test.want {
			t.Run(action+" answers "+code, func(t *testing.T) {
				failure := call(t, action, faults.Fault{Answer: faults.Error, Code: code, Message: "said ESA"})
				if diff := cmp.Diff(want, class{failure.Kind, failure.OutcomeUnknown}); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if failure.Code != code || failure.Message != "said ESA" || failure.RequestID == "" || failure.Hint == "" || failure.Step != action {
					t.Errorf("got %+v", failure)
				}
			})
		}
		if test.page == "" {
			continue
		}
		t.Run("the table of "+action+" is the official page's", func(t *testing.T) {
			text, err := os.ReadFile(test.page)
			if err != nil {
				t.Skip("the official page is not beside the project")
			}
			var listed, tested []string
			for _, row := range pageRow.FindAllStringSubmatch(string(text), -1) {
				listed = append(listed, row[1])
			}
			for _, code := range listed {
				if _, ok := test.want[code]; ok {
					tested = append(tested, code)
				}
			}
			if diff := cmp.Diff(listed, tested); diff != "" || len(listed) != len(test.want) {
				t.Errorf("%d rows on the page, %d here; -page +here:\n%s", len(listed), len(test.want), diff)
			}
		})
	}
	for _, test := range []struct{ action, code, says string }{
		{"CreateRoutineRelatedRecord", "DependedByOthers", "An ordinary DNS record of the site may hold the record name"},
		{"DeleteRoutine", "DependedByOthers", "Look for records and routes that use the routine"},
		{"DeleteRoutine", "RoutineNotExist", "may have been deleted meanwhile"},
		{"DeleteRoutineRelatedRecord", "ParameterNotExist", "may have been deleted meanwhile"},
		{"CreateRoutine", "RoutineNumberExceedQuotaLimit", "20 on the free plan, 100 on the paid one"},
		{"CreateRoutineRelatedRecord", "RelatedRecordNumberExceedQuotaLimit", "20 bound sites on the free plan, 100 on the paid one"},
	} {
		t.Run(test.action+" explains "+test.code, func(t *testing.T) {
			if failure := call(t, test.action, faults.Fault{Answer: faults.Error, Code: test.code}); !strings.Contains(failure.Hint, test.says) {
				t.Errorf("got %q", failure.Hint)
			}
		})
	}
	for code, test := range map[string]struct {
		status int
		want   class
	}{
		"RoutineNameAlreadyExist": {400, class{fault.Conflict, false}}, "RoutineNameAlreadyExists": {400, class{fault.Conflict, false}},
		"LockFailed": {400, locked}, "Site.ServiceBusy": {400, locked}, "TooManyRequests": {400, locked}, "Record.ServiceBusy": {400, locked},
		"Throttling": {400, class{fault.Throttled, false}}, "Throttling.User": {400, class{fault.Throttled, false}},
		"Throttling.Api": {429, class{fault.Throttled, false}}, "Rejected.Throttling": {400, class{fault.Throttled, false}},
		"SomethingElse": {429, class{fault.Throttled, false}}, "ServiceUnavailable": {503, unavailable}, "InternalError": {500, unavailable},
		"NeverHeardOf": {500, unavailable}, "SignatureNonceUsed": {400, unavailable}, "InvalidAccessKeyId.NotFound": {404, account},
		"SignatureDoesNotMatch": {403, account}, "Forbidden.RAM": {403, denied}, "NoPermission": {403, denied},
		"InvalidTimeStamp.Expired": {400, account}, "WhateverElse": {403, denied}, "NobodyKnows": {400, few},
	} {
		t.Run("outside the pages: "+code, func(t *testing.T) {
			failure := call(t, "CreateRoutine", faults.Fault{Answer: faults.Error, Status: test.status, Code: code})
			if diff := cmp.Diff(test.want, class{failure.Kind, failure.OutcomeUnknown}); diff != "" || failure.Hint == "" {
				t.Errorf("hint %q, -want +got:\n%s", failure.Hint, diff)
			}
		})
	}
}
