package queue_test

import (
	"testing"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/queue"
	"routinely/shared/fault"
)

// TestExpiredKeys: the local MNS refuses the key STS.old, which is not the account's, as the service does an id that no longer exists.
func TestExpiredKeys(t *testing.T) {
	for name, refusal := range map[string]*faults.Fault{
		"does not exist any more":  nil,
		"has an unknown token":     {Answer: faults.Error, Status: 403, Code: "InvalidSecurityToken", Message: "The security token is invalid."},
		"has a token that expired": {Answer: faults.Error, Status: 403, Code: "SecurityTokenExpired"},
		"is denied for its token":  {Answer: faults.Error, Status: 403, Code: "AccessDenied", Message: "The security token has expired."},
	} {
		for action, call := range map[string]func(*queue.Client) error{
			"SendMessage": func(c *queue.Client) error { return c.Send(t.Context(), envelope(), 0) },
			"BatchSendMessage": func(c *queue.Client) error {
				return c.SendBatch(t.Context(), []queue.Envelope{envelope(), envelope()})[0]
			},
		} {
			for next, calls := range map[string]int{"and is made again with the next key": 2, "and is tried again later if there is no other key": 1} {
				t.Run(action+" with a temporary key that "+name+" fails, "+next, func(t *testing.T) {
					server, url := start(t)
					if refusal != nil {
						breaks(t, server, action, 1, *refusal)
					}
					err := call(newClient(t, url, func(c *queue.Config) {
						c.Credentials = func() (string, string, string) {
							if calls == 2 && server.Faults().Count(action) > 0 { // another invocation has brought a new one
								return localtest.Credentials()
							}
							return "STS.old", "secret", "token"
						}
					}))
					same(t, "calls", server.Faults().Count(action), calls)
					if calls == 2 && err != nil {
						t.Error(err)
					} else if calls == 1 && failed(t, err, fault.Unavailable, fault.From(err).Code, false).RequestID == "" {
						t.Errorf("no request id: %v", err)
					}
				})
			}
		}
	}
	for name, test := range map[string]struct{ id, secret, token, code, message string }{
		"a long-lived key that does not exist": {"nobody", localtest.AccessKeySecret, "", "InvalidAccessKeyId", ""},
		"a wrong secret":                       {localtest.AccessKeyID, "wrong", "", "SignatureDoesNotMatch", ""},
		"a right that is missing": {
			localtest.AccessKeyID, localtest.AccessKeySecret, "token", "AccessDenied",
			"The OwnerId that your Access Key Id associated to is forbidden for this operation.",
		},
	} {
		t.Run(name+" is for the account's owner", func(t *testing.T) {
			server, url := start(t)
			if test.message != "" {
				breaks(t, server, "SendMessage", 1, faults.Fault{Answer: faults.Error, Status: 403, Code: test.code, Message: test.message})
			}
			client := newClient(t, url, func(c *queue.Config) {
				c.Credentials = func() (string, string, string) { return test.id, test.secret, test.token }
			})
			if failure := failed(t, send(t, client), fault.Account, test.code, false); failure.RequestID == "" {
				t.Errorf("got %+v", failure)
			}
		})
	}
}
