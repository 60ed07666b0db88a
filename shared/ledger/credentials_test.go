package ledger_test

import (
	"testing"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/fault"
	"routinely/shared/ledger"
)

// TestExpiredKeys: the local Tablestore refuses the key STS.old, which is not the account's, as the service does an id that no longer exists.
func TestExpiredKeys(t *testing.T) {
	const action = "BatchGetRow"
	// read makes one call with the key STS.old, and with the account's once a call was made if there is another.
	read := func(t *testing.T, another bool, refusal *faults.Fault) (failure *fault.Error, calls int) {
		b := newBook(t)
		if refusal != nil {
			b.breaks(t, faults.Rule{Action: action, Fault: *refusal})
		}
		b.server.Faults().Reset()
		l := b.connect(t, func(c *ledger.Config) {
			c.Credentials = func() (string, string, string) {
				if another && b.server.Faults().Count(action) > 0 { // another invocation has brought a new one
					return localtest.Credentials()
				}
				return "STS.old", "secret", "token"
			}
		})
		_, err := l.Row(t.Context(), "nosuch")
		return fault.From(err), b.server.Faults().Count(action)
	}
	answer := func(code, message string) *faults.Fault {
		return &faults.Fault{Answer: faults.Error, Status: 403, Code: code, Message: message}
	}
	for name, refusal := range map[string]*faults.Fault{
		"does not exist any more":  nil,
		"is disabled":              answer("OTSAuthFailed", "The AccessKey ID is disabled."),
		"has a token that expired": answer("OTSAuthFailed", "The STS token is expired."),
		"has an unknown token":     answer("OTSInvalidSTSToken", "invalid"),
	} {
		t.Run("a temporary key that "+name+" is refreshed, and the call made again", func(t *testing.T) {
			failure, calls := read(t, true, refusal)
			check(t, failure, failure.Code == ledger.CodeUnknownJob && calls == 2)
		})
		t.Run("a temporary key that "+name+" is tried again later if there is no other", func(t *testing.T) {
			failure, calls := read(t, false, refusal)
			check(t, failure, failure.Kind == fault.Unavailable && !failure.OutcomeUnknown && failure.RequestID != "" && calls == 1)
		})
	}
	for _, message := range []string{
		"Signature mismatch.", "The instance does not exist.", "The user does not have permission to access the instance.",
		"Request denied by instance ACL policies.",
	} {
		t.Run("is not what is wrong when the service says: "+message, func(t *testing.T) {
			failure, calls := read(t, true, answer("OTSAuthFailed", message))
			check(t, failure, failure.Kind == fault.Account && calls == 1)
		})
	}
	t.Run("is not what is wrong with a long-lived key", func(t *testing.T) {
		_, err := newBook(t).killed(t, 1).Row(t.Context(), "nosuch")
		wantCode(t, err, "account OTSAuthFailed")
	})
}
