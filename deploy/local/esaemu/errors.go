package esaemu

import (
	"cmp"
	"fmt"
	"net/http"
)

// Error codes of the routine operations and of the gateway before them.
const (
	codeRoutineAlreadyExist = "RoutineAlreadyExist"
	codeNameAlreadyExist    = "RoutineNameAlreadyExist"
	codeNameAlreadyExists   = "RoutineNameAlreadyExists"
	codeRoutineNotExist     = "RoutineNotExist"
	codeRoutineQuota        = "RoutineNumberExceedQuotaLimit"
	codeRecordQuota         = "RelatedRecordNumberExceedQuotaLimit"
	codeParameterExists     = "ParameterAlreadyExist"
	codeParameterNotExist   = "ParameterNotExist"
	codeInvalidParameter    = "InvalidParameter"
	codeSiteMismatch        = "SiteParameterNotMatch"
	codeServiceNotOpen      = "ServiceNotOpen"
	codeOverdue             = "RoutineUserServiceStatusHalt"
	codeLocked              = "UserOperationStatusIsLocked"
	codeDepended            = "DependedByOthers"
	codeMissingParameter    = "MissingParameter"
	codeInvalidConfigID     = "InvalidConfigId"
	codeConfigNotFound      = "ConfigNotFound"
	codeHasOpened           = "ErService.HasOpened"

	codeUnknownAction  = "InvalidAction.NotFound"
	codeInvalidVersion = "InvalidVersion"
	codeUnknownKey     = "InvalidAccessKeyId.NotFound"
	codeBadSignature   = "SignatureDoesNotMatch"
	codeIncomplete     = "IncompleteSignature"
	codeExpired        = "InvalidTimeStamp.Expired"
	codeBadTime        = "InvalidTimeStamp.Format"
	codeNonceUsed      = "SignatureNonceUsed"
	codeInternal       = "InternalError"
)

// takenCodes are what CreateRoutine can answer for a name that is taken, the documented one first.
func takenCodes() []string {
	return []string{codeRoutineAlreadyExist, codeNameAlreadyExist, codeNameAlreadyExists}
}

// apiError is an answer that refuses a call.
type apiError struct {
	status  int
	code    string
	message string
	// detail says what exactly is wrong. The cloud's texts do not, so it travels in Recommend.
	detail string
}

func (e *apiError) Error() string { return e.code + ": " + cmp.Or(e.detail, e.message) }

// refusal is the error of a code with its documented status and text; detail may be empty.
func refusal(code, format string, args ...any) *apiError {
	return &apiError{status: statusOf(code), code: code, message: textOf(code), detail: fmt.Sprintf(format, args...)}
}

// missing is the gateway's error for a common parameter it cannot do without.
func missing(name string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "Missing" + name, message: name + " is mandatory for this action."}
}

// statusOf is 400 for what the operations' pages list but ConfigNotFound; the gateway in front of them uses others too.
func statusOf(code string) int {
	switch code {
	case codeBadSignature:
		return http.StatusForbidden
	case codeUnknownAction, codeUnknownKey, codeConfigNotFound:
		return http.StatusNotFound
	case codeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// textOf is the English text of a code. Those of the routine operations are the official pages' to the letter, the missing
// space in SiteParameterNotMatch included.
func textOf(code string) string {
	switch code {
	case codeRoutineAlreadyExist, codeNameAlreadyExist, codeNameAlreadyExists:
		return "The routine name already exists."
	case codeRoutineNotExist:
		return "The routine name does not exist. Check the routine name and try again."
	case codeRoutineQuota:
		return "The maximum number of configuration items for the feature has been reached. Adjust your configurations and try again."
	case codeRecordQuota:
		return "The maximum number of records associated with the routine has been reached. " +
			"Check your plan quota and upgrade the plan to request a quota increase."
	case codeParameterExists:
		return "Parameter uniqueness verification failed. Check for duplicate parameter values."
	case codeParameterNotExist:
		return "The specified parameter does not exist. Check your configurations and try again."
	case codeInvalidParameter:
		return "The specified parameter is invalid."
	case codeSiteMismatch:
		return "Failed to verify website parameters.Check the parameters and try again."
	case codeServiceNotOpen:
		return "You have not activated Edge Routine. Activate the service and try again."
	case codeOverdue:
		return "Failed to update the configurations because you have overdue payments."
	case codeLocked:
		return "You are calling an another routine related api. Please wait for the api finished, and try again later."
	case codeDepended:
		return "Failed to call the service. Try again later or contact technical support."
	}
	return configTextOf(code)
}

// configTextOf is the text of codes whose pages were not read to their end; the wording is this server's.
func configTextOf(code string) string {
	switch code {
	case codeMissingParameter:
		return "A required parameter is missing."
	case codeInvalidConfigID:
		return "The specified configuration ID is invalid."
	case codeConfigNotFound:
		return "The specified configuration does not exist."
	case codeHasOpened:
		return "Edge Routine is already activated."
	}
	return gatewayTextOf(code)
}

func gatewayTextOf(code string) string {
	switch code {
	case codeUnknownAction:
		return "Specified api is not found, please check your url and method."
	case codeInvalidVersion:
		return "Specified parameter Version is not valid."
	case codeUnknownKey:
		return "Specified access key is not found."
	case codeBadSignature:
		return "Specified signature is not matched with our calculation."
	case codeIncomplete:
		return "The request signature does not conform to Aliyun standards."
	case codeExpired:
		return "Specified time stamp or date value is expired."
	case codeBadTime:
		return "Specified time stamp or date value is not well formatted."
	case codeNonceUsed:
		return "Specified signature nonce was used already."
	}
	return "The request processing has failed due to some unknown error."
}
