package esa_test

import (
	"testing"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/esa"
	"routinely/shared/fault"
)

func TestCredentials(t *testing.T) {
	t.Run("refuses a wrong key, with ESA's own words", func(t *testing.T) {
		for code, key := range map[string][2]string{
			"SignatureDoesNotMatch":       {localtest.AccessKeyID, "wrong"},
			"InvalidAccessKeyId.NotFound": {"nobody", "wrong"},
		} {
			_, url := localtest.ESA(t, nil, 0)
			client := newClient(t, url, func(c *esa.Config) { c.Credentials = func() (string, string, string) { return key[0], key[1], "" } })
			failure := fault.From(client.CreateRoutine(t.Context(), "pr-1", nil, nil))
			if failure == nil || failure.Kind != fault.Account || failure.Code != code || failure.RequestID == "" {
				t.Errorf("%s: got %+v", code, failure)
			}
		}
	})
	t.Run("uses the newest key, with its token", func(t *testing.T) {
		_, url := localtest.ESA(t, nil, 0)
		secret := "old"
		client := newClient(t, url, func(c *esa.Config) {
			c.Credentials = func() (string, string, string) { return localtest.AccessKeyID, secret, "token" }
		})
		if client.CreateRoutine(t.Context(), "pr-1", nil, nil) == nil {
			t.Error("the old key was accepted")
		}
		secret = localtest.AccessKeySecret
		if err := client.CreateRoutine(t.Context(), "pr-1", nil, nil); err != nil {
			t.Error(err)
		}
	})
	for name, refusal := range map[string]*faults.Fault{
		"does not exist any more":  nil, // which the server itself says of a key that is not the account's
		"is inactive":              {Answer: faults.Error, Status: 403, Code: "InvalidAccessKeyId.Inactive"},
		"has a token that expired": {Answer: faults.Error, Status: 403, Code: "InvalidSecurityToken.Expired"},
		"has an unknown token":     {Answer: faults.Error, Status: 400, Code: "InvalidSecurityToken.Malformed"},
		"expired, in other words": {
			Answer: faults.Error, Code: "InvalidParameter", Message: `The specified parameter "SecurityToken.Expired" is not valid.`,
		},
	} {
		t.Run("a temporary key that "+name+" is refreshed, and the call made again", func(t *testing.T) {
			server, url := localtest.ESA(t, nil, 0)
			if refusal != nil {
				inject(t, server, faults.Rule{Action: "CreateRoutine", Fault: *refusal})
			}
			client := newClient(t, url, func(c *esa.Config) {
				c.Credentials = func() (string, string, string) {
					if server.Faults().Count("CreateRoutine") > 0 { // another invocation has brought a new one
						return localtest.Credentials()
					}
					return "STS.old", "secret", "token"
				}
			})
			if err := client.CreateRoutine(t.Context(), "pr-1", nil, nil); err != nil || server.Faults().Count("CreateRoutine") != 2 {
				t.Errorf("%d calls, %v", server.Faults().Count("CreateRoutine"), err)
			}
		})
		t.Run("a temporary key that "+name+" is tried again later if there is no other", func(t *testing.T) {
			server, url := localtest.ESA(t, nil, 0)
			if refusal != nil {
				inject(t, server, faults.Rule{Action: "CreateRoutine", Fault: *refusal})
			}
			client := newClient(t, url, func(c *esa.Config) {
				c.Credentials = func() (string, string, string) { return "STS.old", "secret", "token" }
			})
			failure := fault.From(client.CreateRoutine(t.Context(), "pr-1", nil, nil))
			if failure == nil || failure.Kind != fault.Unavailable || failure.OutcomeUnknown || failure.RequestID == "" {
				t.Fatalf("got %+v", failure)
			}
			if n := server.Faults().Count("CreateRoutine"); n != 1 {
				t.Errorf("%d calls with the same key", n)
			}
		})
	}
	t.Run("a signature that does not match is no expiry", func(t *testing.T) {
		_, url := localtest.ESA(t, nil, 0)
		client := newClient(t, url, func(c *esa.Config) {
			c.Credentials = func() (string, string, string) { return localtest.AccessKeyID, "wrong", "token" }
		})
		if failure := fault.From(client.CreateRoutine(t.Context(), "pr-1", nil, nil)); failure == nil || failure.Kind != fault.Account {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("says so when there is no key at all", func(t *testing.T) {
		_, url := localtest.ESA(t, nil, 0)
		client := newClient(t, url, func(c *esa.Config) { c.Credentials = func() (string, string, string) { return "", "", "" } })
		if failure := fault.From(client.CreateRoutine(t.Context(), "pr-1", nil, nil)); failure == nil || failure.Hint == "" {
			t.Errorf("got %+v", failure)
		}
	})
}
