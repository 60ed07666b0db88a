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
		for action, send := range map[string]func(*queue.Client) error{
			"SendMessage": func(c *queue.Client) error { return c.Send(t.Context(), envelope(), 0) },
			"BatchSendMessage": func(c *queue.Client) error {
				return c.SendBatch(t.Context(), []queue.Envelope{envelope(), envelope()})[0]
			},
		} {
			server, url := start(t)
			breakOnce := func() {
				if refusal == nil {
					return
				}
				if _, err := server.Faults().Add(faults.Rule{Action: action, Fault: *refusal}); err != nil {
					t.Fatal(err)
				}
			}
			t.Run(action+" with a temporary key that "+name+" is made again with the next", func(t *testing.T) {
				breakOnce()
				client := newClient(t, url, func(c *queue.Config) {
					c.Credentials = func() (string, string, string) {
						if server.Faults().Count(action) > 0 { // another invocation has brought a new one
							return localtest.Credentials()
						}
						return "STS.old", "secret", "token"
					}
				})
				if err := send(client); err != nil || server.Faults().Count(action) != 2 {
					t.Errorf("%d calls, %v", server.Faults().Count(action), err)
				}
			})
			t.Run(action+" with a temporary key that "+name+" is tried again later if there is no other", func(t *testing.T) {
				breakOnce()
				server.Faults().Reset()
				client := newClient(t, url, func(c *queue.Config) {
					c.Credentials = func() (string, string, string) { return "STS.old", "secret", "token" }
				})
				failure := fault.From(send(client))
				if failure == nil || failure.Kind != fault.Unavailable || failure.OutcomeUnknown || failure.RequestID == "" {
					t.Fatalf("got %+v", failure)
				}
				if n := server.Faults().Count(action); n != 1 {
					t.Errorf("%d calls with the same key", n)
				}
			})
		}
	}
	for name, test := range map[string]struct{ id, token, code, message string }{
		"a long-lived key that does not exist": {"nobody", "", "InvalidAccessKeyId", ""},
		"a right that is missing":              {localtest.AccessKeyID, "token", "AccessDenied", "The OwnerId that your Access Key Id associated to is forbidden for this operation."},
	} {
		t.Run(name+" is for the account's owner", func(t *testing.T) {
			server, url := start(t)
			if test.message != "" {
				rule := faults.Rule{Action: "SendMessage", Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: test.code, Message: test.message}}
				if _, err := server.Faults().Add(rule); err != nil {
					t.Fatal(err)
				}
			}
			client := newClient(t, url, func(c *queue.Config) {
				c.Credentials = func() (string, string, string) { return test.id, localtest.AccessKeySecret, test.token }
			})
			if failure := fault.From(client.Send(t.Context(), envelope(), 0)); failure == nil || failure.Kind != fault.Account || failure.Code != test.code {
				t.Errorf("got %+v", failure)
			}
		})
	}
}
