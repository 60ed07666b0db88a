package esa

import (
	"net/http"
	"strings"

	"routinely/shared/accesskey"
	"routinely/shared/fault"
)

// Codes the two-step workflow acts on. All others it only reports.
const (
	// CodeRoutineAlreadyExist answers CreateRoutine for a name that is taken in the account.
	CodeRoutineAlreadyExist = "RoutineAlreadyExist"
	// CodeParameterAlreadyExist answers CreateRoutineRelatedRecord when something else is unique already; ESA does not say what.
	CodeParameterAlreadyExist = "ParameterAlreadyExist"
	// CodeRoutineNotExist answers every action on a routine ESA does not know.
	CodeRoutineNotExist = "RoutineNotExist"
	// CodeSiteParameterNotMatch answers CreateRoutineRelatedRecord for a site that is not the account's, or a record name outside of its zone.
	CodeSiteParameterNotMatch = "SiteParameterNotMatch"
	// CodeParameterNotExist answers DeleteRoutineRelatedRecord for a record that is not there, or not bound to the routine.
	CodeParameterNotExist = "ParameterNotExist"
	// CodeDependedByOthers answers a deletion, and perhaps says that something uses what is to be deleted; ESA does not say what.
	CodeDependedByOthers = "DependedByOthers"
	// CodeServiceNotOpen says that edge routines are not activated for the account, and CodeServiceHalt that its payments are overdue. No
	// request of a caller can bring about either.
	CodeServiceNotOpen = "ServiceNotOpen"
	CodeServiceHalt    = "RoutineUserServiceStatusHalt"
	// CodeRoutineQuota says that the account has as many routines as it may.
	CodeRoutineQuota = "RoutineNumberExceedQuotaLimit"
)

// What to do next, for the operator who reads a dead letter.
const (
	hintUnavailable   = "ESA or the network failed, each time the job was tried. Redrive it once ESA answers again."
	hintSupport       = "ESA failed to run the operation. Redrive later; if it persists, open a ticket with the ESA request id."
	hintNameTaken     = "Another routine of the account has this name. Choose another name, or delete or align that routine and redrive."
	hintRecordTaken   = "The record name is taken on this site by another record or routine. Remove it or choose another record name."
	hintHeldName      = "ESA says that others depend on it. An ordinary DNS record of the site may hold the record name: remove it or choose another record name. Otherwise redrive later; if it persists, open a ticket with the ESA request id."
	hintParameter     = "ESA refused a value of the request. Correct the request and submit it again."
	hintNothingSuch   = "ESA says that something the request refers to does not exist. Check the request and submit it again."
	hintActivate      = "Activate Edge Routine for the account (console, or OpenErService). The jobs then go on by themselves."
	hintRoutineQuota  = "The account's routine quota is used up: 20 on the free plan, 100 on the paid one. Delete unused routines or change the plan, then redrive."
	hintRecordQuota   = "The routine's quota is used up: 20 bound sites on the free plan, 100 on the paid one. Remove records or change the plan, then redrive."
	hintOverdue       = "The account has overdue payments and is halted. Pay the bill. The jobs then go on by themselves."
	hintRoutineGone   = "ESA does not know the routine, though it was created. Was it deleted meanwhile? Redrive to create it again."
	hintSite          = "Check that siteId is a site of this account and that recordName lies in that site's zone, then redrive or resubmit."
	hintLocked        = "Another routine operation of the account was running all the time. Find out who holds it, then redrive."
	hintThrottled     = "The account calls ESA too often. Redrive at a slower rate, or raise the API quota."
	hintCredentials   = "ESA refused the function's credentials. Check the function's role and its RAM policy (deploy/ram)."
	hintDenied        = "The function's role may not do this. Allow the action, on the resource that the message names, in its RAM policy (deploy/ram), then redrive."
	hintClock         = "ESA refused the request's timestamp. Check the clock of the machine."
	hintUnlistedCode  = "ESA answered with a code its page does not list. Look it up in Alibaba Cloud's error center, then redrive."
	hintEndpoint      = "ESA does not know the API called. Check ROUTINELY_ESA_ENDPOINT."
	hintNoRoutine     = "ESA does not know the routine. It may have been deleted meanwhile."
	hintNoRecord      = "ESA does not know the record, or it is bound to another routine. It may have been deleted meanwhile."
	hintUsed          = "ESA says that others depend on it. Look for records and routes that use the routine and remove them, then redrive."
	hintUpload        = "The storage did not take the code, each time the job was tried. Redrive; if it persists, open a ticket with the request id."
	hintVersionQuota  = "The routine has as many code versions as the plan allows: 5 on the free plan, 20 on the paid one. Delete versions that are not used, or change the plan, then redrive."
	hintDeployed      = "ESA says that others depend on the version. Is it deployed? Deploy another one first."
	hintAnotherUpdate = "Another change of the same object was running. Redrive."
)

// row classifies one code. unknown means that the operation may have taken effect although ESA answered with the code.
type row struct {
	code    string
	kind    fault.Kind
	unknown bool
	hint    string
}

// createRoutineRows is the error table of the CreateRoutine page, in its order.
// https://help.aliyun.com/zh/edge-security-acceleration/esa/api-esa-2024-09-10-createroutine
var createRoutineRows = []row{
	{CodeRoutineAlreadyExist, fault.Conflict, false, hintNameTaken},
	{"InternalOperationError", fault.Unavailable, true, hintSupport},
	{CodeParameterNotExist, fault.Invalid, false, hintNothingSuch},
	{CodeServiceNotOpen, fault.Account, false, hintActivate},
	{CodeRoutineQuota, fault.Quota, false, hintRoutineQuota},
	{CodeDependedByOthers, fault.Internal, true, hintSupport},
	{CodeServiceHalt, fault.Account, false, hintOverdue},
	{"InternalException", fault.Unavailable, true, hintSupport},
	{"InvalidParameter", fault.Invalid, false, hintParameter},
	{"UserOperationStatusIsLocked", fault.Locked, false, hintLocked},
}

// createRelatedRecordRows is the error table of the CreateRoutineRelatedRecord page, in its order.
// https://help.aliyun.com/zh/edge-security-acceleration/esa/api-esa-2024-09-10-createroutinerelatedrecord
var createRelatedRecordRows = []row{
	{"InternalException", fault.Unavailable, true, hintSupport},
	{"InvalidParameter", fault.Invalid, false, hintParameter},
	{CodeRoutineNotExist, fault.NotFound, false, hintRoutineGone},
	{CodeDependedByOthers, fault.Internal, true, hintHeldName},
	{CodeSiteParameterNotMatch, fault.NotFound, false, hintSite},
	{"InternalOperationError", fault.Unavailable, true, hintSupport},
	{CodeParameterAlreadyExist, fault.Conflict, false, hintRecordTaken},
	{"RelatedRecordNumberExceedQuotaLimit", fault.Quota, false, hintRecordQuota},
	{CodeServiceHalt, fault.Account, false, hintOverdue},
	{"UserOperationStatusIsLocked", fault.Locked, false, hintLocked},
}

// deleteRelatedRecordRows is the error table of the DeleteRoutineRelatedRecord page, in its order. The copy that was read ends in the last
// code, after "Us".
// https://help.aliyun.com/zh/edge-security-acceleration/esa/api-esa-2024-09-10-deleteroutinerelatedrecord
var deleteRelatedRecordRows = []row{
	{"InternalException", fault.Unavailable, true, hintSupport},
	{"InvalidParameter", fault.Invalid, false, hintParameter},
	{CodeRoutineNotExist, fault.NotFound, false, hintNoRoutine},
	{CodeDependedByOthers, fault.Internal, true, hintSupport},
	{CodeSiteParameterNotMatch, fault.NotFound, false, hintSite},
	{CodeServiceHalt, fault.Account, false, hintOverdue},
	{"InternalOperationError", fault.Unavailable, true, hintSupport},
	{CodeParameterNotExist, fault.NotFound, false, hintNoRecord},
	{"UserOperationStatusIsLocked", fault.Locked, false, hintLocked},
}

// updateDescriptionRows is the error table of the UpdateRoutineConfigDescription page, complete, in its order. It does not list the lock;
// commonRows has it all the same.
// https://help.aliyun.com/zh/edge-security-acceleration/esa/api-esa-2024-09-10-updateroutineconfigdescription
var updateDescriptionRows = []row{
	{"InternalException", fault.Unavailable, true, hintSupport},
	{"InvalidParameter", fault.Invalid, false, hintParameter},
	{CodeRoutineNotExist, fault.NotFound, false, hintNoRoutine},
	{"InternalOperationError", fault.Unavailable, true, hintSupport},
	{CodeServiceHalt, fault.Account, false, hintOverdue},
}

// deleteRoutineRows are the codes to which DeleteRoutine gives a meaning of its own. No copy of its page shows the table; what the pages
// beside it list is in commonRows.
// https://help.aliyun.com/zh/edge-security-acceleration/esa/api-esa-2024-09-10-deleteroutine
var deleteRoutineRows = []row{
	{CodeRoutineNotExist, fault.NotFound, false, hintNoRoutine},
	{CodeDependedByOthers, fault.Internal, true, hintUsed},
}

// commitRows is the error table of the CommitRoutineStagingCode page as far as it was read, in its order.
// https://help.aliyun.com/zh/edge-security-acceleration/esa/api-esa-2024-09-10-commitroutinestagingcode
var commitRows = []row{
	{"InternalException", fault.Unavailable, true, hintSupport},
	{"InvalidParameter", fault.Invalid, false, hintParameter},
	{CodeRoutineNotExist, fault.NotFound, false, hintRoutineGone},
	{"InternalOperationError", fault.Unavailable, true, hintSupport},
	{CodeVersionQuota, fault.Quota, false, hintVersionQuota},
}

// deleteVersionRows is the error table of the DeleteRoutineCodeVersion page as far as it was read, in its order.
// https://help.aliyun.com/zh/edge-security-acceleration/esa/api-esa-2024-09-10-deleteroutinecodeversion
var deleteVersionRows = []row{
	{"InternalException", fault.Unavailable, true, hintSupport},
	{"InvalidParameter", fault.Invalid, false, hintParameter},
	{CodeRoutineNotExist, fault.NotFound, false, hintNoRoutine},
	{CodeDependedByOthers, fault.Conflict, false, hintDeployed},
	{CodeSiteParameterNotMatch, fault.NotFound, false, hintSite},
	{CodeServiceHalt, fault.Account, false, hintOverdue},
}

// listRelatedRecordsRows is the error table of the ListRoutineRelatedRecords page as far as it was read, in its order.
// https://help.aliyun.com/zh/edge-security-acceleration/esa/api-esa-2024-09-10-listroutinerelatedrecords
var listRelatedRecordsRows = []row{
	{"InternalException", fault.Unavailable, true, hintSupport},
	{"InvalidParameter", fault.Invalid, false, hintParameter},
	{CodeDependedByOthers, fault.Internal, true, hintSupport},
	{CodeRoutineNotExist, fault.NotFound, false, hintRoutineGone},
}

// commonRows are codes for an action whose page does not list them, or was not read to its end: first those that most pages of routines
// have, then those that clients have met, on these and neighbouring actions. These are ESA's lock codes known to the Terraform provider, and
// the codes of the gateway all Alibaba Cloud APIs share (https://help.aliyun.com/en/dns/error-code). A code that ends in * stands for all
// that begin so.
var commonRows = []row{
	{"InternalException", fault.Unavailable, true, hintSupport},
	{"InternalOperationError", fault.Unavailable, true, hintSupport},
	{"InvalidParameter", fault.Invalid, false, hintParameter},
	{"UserOperationStatusIsLocked", fault.Locked, false, hintLocked},
	{"RoutineNameAlreadyExist*", fault.Conflict, false, hintNameTaken}, // two spellings that clients of CreateRoutine look for
	{CodeRoutineNotExist, fault.NotFound, false, hintRoutineGone},
	{CodeServiceNotOpen, fault.Account, false, hintActivate},
	{CodeServiceHalt, fault.Account, false, hintOverdue},
	{"LockFailed", fault.Locked, false, hintAnotherUpdate},
	{"Site.ServiceBusy", fault.Locked, false, hintAnotherUpdate},
	{"Record.ServiceBusy", fault.Locked, false, hintAnotherUpdate},
	{"TooManyRequests", fault.Locked, false, hintThrottled},
	{"Throttling*", fault.Throttled, false, hintThrottled},
	{"Rejected.Throttling*", fault.Throttled, false, hintThrottled},
	{"ServiceUnavailable*", fault.Unavailable, true, hintUnavailable},
	{"InternalError*", fault.Unavailable, true, hintUnavailable},
	{"SignatureNonceUsed", fault.Unavailable, true, hintUnavailable},
	{"InvalidAccessKeyId*", fault.Account, false, hintCredentials},
	{"InvalidSecurityToken*", fault.Account, false, hintCredentials},
	{"MissingAccessKeyId", fault.Account, false, hintCredentials},
	{"SignatureDoesNotMatch", fault.Account, false, hintCredentials},
	{"IncompleteSignature", fault.Account, false, hintCredentials},
	{"Forbidden*", fault.Denied, false, hintDenied},
	{"NoPermission*", fault.Denied, false, hintDenied},
	{"InvalidTimeStamp*", fault.Account, false, hintClock},
	{"IllegalTimestamp", fault.Account, false, hintClock},
	{"InvalidAction*", fault.Account, false, hintEndpoint},
	{"InvalidVersion*", fault.Account, false, hintEndpoint},
}

// rowsOf returns the table of an action's own page. An action without one has the common rows, and the HTTP status.
func rowsOf(action string) []row {
	switch action {
	case "CreateRoutine":
		return createRoutineRows
	case "CreateRoutineRelatedRecord":
		return createRelatedRecordRows
	case "DeleteRoutineRelatedRecord":
		return deleteRelatedRecordRows
	case "UpdateRoutineConfigDescription":
		return updateDescriptionRows
	case "DeleteRoutine":
		return deleteRoutineRows
	case "CommitRoutineStagingCode":
		return commitRows
	case "DeleteRoutineCodeVersion":
		return deleteVersionRows
	case "ListRoutineRelatedRecords":
		return listRelatedRecordsRows
	}
	return nil
}

// lookUp classifies an error in ESA's own shape: by the action's page, by the common codes, by the HTTP status. Before all it looks whether
// a temporary key has expired.
func lookUp(action string, e *coded) fault.Error {
	if e.temporaryKey != "" && accesskey.Refused(e.code, e.message) {
		return accesskey.Expired(e.temporaryKey, e.code, e.message)
	}
	r := find(rowsOf(action), e.code)
	if r == nil {
		r = find(commonRows, e.code)
	}
	if r == nil {
		r = byStatus(e.status)
	}
	return fault.Error{
		Kind: r.kind, Code: e.code, Message: e.message, OutcomeUnknown: r.unknown, Hint: r.hint, RetryAfter: e.retryAfter,
	}
}

func find(rows []row, code string) *row {
	for i := range rows {
		if prefix, open := strings.CutSuffix(rows[i].code, "*"); rows[i].code == code || (open && strings.HasPrefix(code, prefix)) {
			return &rows[i]
		}
	}
	return nil
}

// byStatus classifies a code nobody has listed. It is retried a few times, since most codes without a page are passing
// states, and read back first, since nothing says that it had no effect.
func byStatus(status int) *row {
	switch {
	case status >= http.StatusInternalServerError:
		return &row{kind: fault.Unavailable, unknown: true, hint: hintUnavailable}
	case status == http.StatusTooManyRequests:
		return &row{kind: fault.Throttled, hint: hintThrottled}
	case status == http.StatusUnauthorized:
		return &row{kind: fault.Account, hint: hintCredentials}
	case status == http.StatusForbidden:
		return &row{kind: fault.Denied, hint: hintDenied}
	}
	return &row{kind: fault.Internal, unknown: true, hint: hintUnlistedCode}
}
