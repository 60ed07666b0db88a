package esaemu

import (
	"cmp"
	"fmt"
	"net/http"

	"routinely/deploy/local/signature"
)

// Error codes of the routine operations and of the gateway before them.
const (
	codeRoutineAlreadyExist = "RoutineAlreadyExist"
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
	codeVersionQuota        = "CodeVersionNumberExceedQuotaLimit"
	codeMissingParameter    = "MissingParameter"
	codeInvalidConfigID     = "InvalidConfigId"
	codeConfigNotFound      = "ConfigNotFound"
	codeHasOpened           = "ErService.HasOpened"

	codeUnknownAction  = "InvalidAction.NotFound"
	codeInvalidVersion = "InvalidVersion"
	codeInternal       = "InternalError"
)

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

// ofGateway is a refusal of the gateway, which stands in front of the operations.
func ofGateway(r *signature.Refusal) *apiError {
	return &apiError{status: r.Status, code: r.Code, message: r.Message, detail: r.Detail}
}

// statusOf is 400 for what the operations' pages list but ConfigNotFound; the gateway in front of them uses others too.
func statusOf(code string) int {
	switch code {
	case codeUnknownAction, codeConfigNotFound:
		return http.StatusNotFound
	case codeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// textOf is the English text of a code. Those of the routine operations are the official pages' to the letter, the missing space in
// SiteParameterNotMatch included. Of the last group of these the pages were not read to their end; the wording is this server's.
func textOf(code string) string {
	text, known := map[string]string{
		codeRoutineAlreadyExist: "The routine name already exists.",
		codeRoutineNotExist:     "The routine name does not exist. Check the routine name and try again.",
		codeRoutineQuota:        "The maximum number of configuration items for the feature has been reached. Adjust your configurations and try again.",
		codeRecordQuota: "The maximum number of records associated with the routine has been reached. " +
			"Check your plan quota and upgrade the plan to request a quota increase.",
		codeParameterExists:   "Parameter uniqueness verification failed. Check for duplicate parameter values.",
		codeParameterNotExist: "The specified parameter does not exist. Check your configurations and try again.",
		codeInvalidParameter:  "The specified parameter is invalid.",
		codeSiteMismatch:      "Failed to verify website parameters.Check the parameters and try again.",
		codeServiceNotOpen:    "You have not activated Edge Routine. Activate the service and try again.",
		codeOverdue:           "Failed to update the configurations because you have overdue payments.",
		codeLocked:            "You are calling an another routine related api. Please wait for the api finished, and try again later.",
		codeDepended:          "Failed to call the service. Try again later or contact technical support.",

		codeVersionQuota:     "The maximum number of code versions has been reached. Upgrade the plan, or delete versions that are not used.",
		codeMissingParameter: "A required parameter is missing.",
		codeInvalidConfigID:  "The specified configuration ID is invalid.",
		codeConfigNotFound:   "The specified configuration does not exist.",
		codeHasOpened:        "Edge Routine is already activated.",

		codeUnknownAction:  "Specified api is not found, please check your url and method.",
		codeInvalidVersion: "Specified parameter Version is not valid.",
	}[code]
	if !known {
		return "The request processing has failed due to some unknown error."
	}
	return text
}
