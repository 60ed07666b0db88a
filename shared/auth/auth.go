// Package auth says who is calling, what they may do, and how fast. It fails closed: what cannot be proved, read or
// understood is refused, and only the word none, said out loud in the configuration, lets everybody in.
//
// A caller is shown by a bearer token, by a signature of Standard Webhooks 1.0, or by one of GitHub's webhooks. A token stands
// for its caller. A signature vouches for the body alone and says nothing of method, path or query: whoever sees a signed
// request could send its body elsewhere. So a signature gives the scope submit and no other, and for a caller that nothing but
// signatures shows, what is not signed decides nothing.
//
// Nothing here prints, logs or returns a secret: keys live inside functions, and errors quote nothing of what was sent.
package auth

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Scope is one thing that a caller may do.
type Scope string

// The scopes.
const (
	// Submit: ask for routines, one or many, change and delete one's own, and cancel one's own jobs.
	Submit Scope = "submit"
	// Read: see jobs, routines and dead letters.
	Read Scope = "read"
	// Operate: claim routines, change and delete anybody's, redrive, correct and drop dead letters, send callbacks again, and cancel anybody's jobs.
	Operate Scope = "operate"
)

// NumberPlace stands for the number of a pull request in Caller.DeleteOnClose.
const NumberPlace = "{number}"

// Anonymous is the name of the caller that everybody is if the configuration says none.
const Anonymous = "anonymous"

// Codes of the faults.
const (
	// CodeMissingCredentials: the request carries none.
	CodeMissingCredentials = "MissingCredentials"
	// CodeMalformedCredentials: credentials that are not of the form they should have.
	CodeMalformedCredentials = "MalformedCredentials"
	// CodeBadToken: a bearer token that belongs to no caller.
	CodeBadToken = "BadToken"
	// CodeBadSignature: no signature fits body and secret of one caller.
	CodeBadSignature = "BadSignature"
	// CodeStaleTimestamp: a webhook that was rightly signed too long ago, or in the future.
	CodeStaleTimestamp = "StaleTimestamp"
	// CodeConflictingCredentials: several kinds of credentials that belong to different callers.
	CodeConflictingCredentials = "ConflictingCredentials"
	// CodeExpired: the caller is known, and was one until the time in its limits.
	CodeExpired = "CallerExpired"
	// CodeMissingScope: the caller is known and may not do this.
	CodeMissingScope = "MissingScope"
	// CodeTooManyRequests: the caller has used up what it may send for now.
	CodeTooManyRequests = "TooManyRequests"
)

// Caller is who sent a request. The zero Caller may do nothing.
type Caller struct {
	// Name is the caller's name in the configuration.
	Name string
	// Key is the idempotency key in what is signed, the same each time it is sent again: the id of the webhook, which is signed
	// with the body, or, since GitHub signs the body alone, sha256: and the hash of the body in hexadecimal. Empty if nothing is
	// signed. It has at most 200 letters, digits and - _ : alone: a webhook's id
	// that has others stands by its hash.
	Key string
	// Delivery is GitHub's id of the delivery. It is not signed, so it is for the log alone; empty if there is none.
	Delivery string
	// Limits are what the caller may name and bind.
	Limits routine.Limits
	// DeleteOnClose is the name of the routine that a closed pull request deletes, with NumberPlace for the request's number; empty if none does.
	DeleteOnClose string

	scopes []Scope
	signed bool
}

// Signed reports whether nothing but signatures shows who the caller is. Then whoever saw a request can send what is signed again, with
// anything else around it.
func (c Caller) Signed() bool { return c.signed }

// May returns nil if the caller has the scope, else a fault of kind Denied that names it.
func (c Caller) May(scope Scope) error {
	usable := scope == Submit || !c.signed
	if usable && slices.Contains(c.scopes, scope) {
		return nil
	}
	hint := "Use a caller that has the scope, or give it to this one in " + variable + "."
	if !usable {
		hint = "A signature shows who wrote the body, not what is asked for, and gives the scope submit alone: send a bearer token."
	}
	return &fault.Error{
		Kind: fault.Denied, Code: CodeMissingScope, Message: fmt.Sprintf("this needs the scope %s", scope), Hint: hint,
	}
}

// MayCancel returns nil if the caller may cancel a job of the owner, a caller's name: its own with a token and the scope
// Submit, anybody's with Operate. A signature does not do, since it could be that of another request.
func (c Caller) MayCancel(owner string) error {
	if c.Name == owner && !c.signed && c.May(Submit) == nil {
		return nil
	}
	return c.May(Operate)
}

// account is a caller as configured.
type account struct {
	name   string
	scopes []Scope
	limit  *bucket // nil if there is no limit
	may    routine.Limits
	// onClose is Caller.DeleteOnClose.
	onClose string
}

// Guard knows the callers. It is safe for concurrent use. The zero Guard knows nobody and refuses every request.
type Guard struct {
	everybody bool
	accounts  []account
	// Everything that a caller can be known by.
	tokens, webhooks, github []candidate
}

// Format writes how many callers there are, whatever the verb: nothing else of a guard may be seen. As JSON, a guard is {}.
func (g Guard) Format(f fmt.State, _ rune) {
	text := fmt.Sprintf("guard of %d callers", len(g.accounts))
	if g.everybody {
		text = "guard that lets everybody in"
	}
	_, _ = f.Write([]byte(text))
}

// Everybody reports whether the configuration lets everybody in.
func (g *Guard) Everybody() bool { return g.everybody }

// Limits are those of the caller of a name; none for a name that is no caller's.
func (g *Guard) Limits(name string) routine.Limits {
	for _, a := range g.accounts {
		if a.name == name {
			return a.may
		}
	}
	return routine.Limits{}
}

// Authenticate finds out who sent a request, of which it takes the header and the body as they were received. If the request
// carries several kinds of credentials, all must be valid and belong to one caller. Errors are faults of kind Unauthenticated, or of
// kind Denied with CodeExpired.
//
// Checking a signature reads the body once for each secret there is: limit the body's length before.
func (g *Guard) Authenticate(header http.Header, body []byte, now time.Time) (Caller, error) {
	if g.everybody {
		key, err := deliveryID(header, headerWebhookID)
		if err != nil {
			return Caller{}, err
		}
		return Caller{Name: Anonymous, Key: key, Delivery: deliveryOf(header), scopes: []Scope{Submit, Read, Operate}}, nil
	}
	var shown []*proof
	for _, check := range []func() (*proof, error){
		func() (*proof, error) { return g.bearer(header) },
		func() (*proof, error) { return g.webhook(header, body, now) },
		func() (*proof, error) { return g.delivery(header, body) },
	} {
		found, err := check()
		if err != nil {
			return Caller{}, err
		}
		if found != nil {
			shown = append(shown, found)
		}
	}
	caller, err := g.agreed(shown)
	if err != nil {
		return Caller{}, err
	}
	if caller.Limits.Expired(now) {
		return Caller{}, &fault.Error{
			Kind: fault.Denied, Code: CodeExpired, Message: fmt.Sprintf("the caller %q ended at %s", caller.Name, caller.Limits.ExpiresAt.Format(time.RFC3339)),
			Hint: "Give it a later expiresAt in " + variable + ", or use another caller.",
		}
	}
	caller.Delivery = deliveryOf(header)
	return caller, nil
}

// agreed makes a caller of valid credentials, which must be those of one account.
func (g *Guard) agreed(shown []*proof) (Caller, error) {
	if len(shown) == 0 {
		return Caller{}, refusal(CodeMissingCredentials, "the request says nothing of who sends it",
			"Send the header Authorization: Bearer with a token, or sign the request as a webhook.")
	}
	owner := &g.accounts[shown[0].account]
	caller := Caller{Name: owner.name, Limits: owner.may, DeleteOnClose: owner.onClose, scopes: owner.scopes, signed: true}
	for _, p := range shown {
		if p.account != shown[0].account {
			return Caller{}, refusal(CodeConflictingCredentials, "the credentials are those of different callers",
				"Send those of one caller, or only one kind.")
		}
		caller.signed = caller.signed && p.signed
		if caller.Key == "" {
			caller.Key = p.key
		}
	}
	return caller, nil
}

// Challenge is the value of the header WWW-Authenticate of the answer to a fault of this package that is Unauthenticated or
// Denied, as RFC 6750 section 3 has it.
func Challenge(err error) string {
	const challenge = `Bearer realm="routinely"`
	switch {
	case fault.HasCode(err, CodeBadToken):
		return challenge + `, error="invalid_token"`
	case fault.HasCode(err, CodeMissingScope):
		return challenge + `, error="insufficient_scope"`
	}
	return challenge
}

func refusal(code, message, hint string) error {
	return &fault.Error{Kind: fault.Unauthenticated, Code: code, Message: message, Hint: hint}
}

func malformed(message, hint string) error { return refusal(CodeMalformedCredentials, message, hint) }
