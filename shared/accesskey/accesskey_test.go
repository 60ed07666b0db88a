package accesskey_test

import (
	"errors"
	"testing"

	"routinely/shared/accesskey"
	"routinely/shared/fault"
)

// now is a source that has a key by now.
func now(id string) accesskey.Source {
	return func() (string, string, string) { return id, "secret", "token" }
}

func TestCall(t *testing.T) {
	failure := accesskey.Expired("old", "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
	expired, other := error(&failure), errors.New("another failure")
	for name, test := range map[string]struct {
		key     accesskey.Source
		answers []error
		fails   bool
	}{
		"is made once if it succeeds":                                  {now("new"), []error{nil}, false},
		"is made once if it fails for another reason":                  {now("new"), []error{other}, true},
		"is made once if there is no other key than the one refused":   {now("old"), []error{expired}, true},
		"is made again with another key":                               {now("new"), []error{expired, nil}, false},
		"is not made a third time":                                     {now("new"), []error{expired, expired}, true},
		"is made again, and that says what became of it in the end":    {now("new"), []error{expired, other}, true},
		"knows the refusal of a key in what others have made of it":    {now("new"), []error{&fault.Error{Err: expired}, nil}, false},
		"is not made again for a fault that only looks like a refusal": {now("new"), []error{&fault.Error{Code: failure.Code}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			made := 0
			err := test.key.Call(func() error {
				made++
				return test.answers[min(made, len(test.answers))-1]
			})
			if made != len(test.answers) || (err != nil) != test.fails {
				t.Errorf("made %d times, which ended with %v", made, err)
			}
		})
	}
}

func TestExpired(t *testing.T) {
	failure := accesskey.Expired("id", "Code", "message")
	if !failure.Kind.Retryable() || failure.OutcomeUnknown || failure.Hint == "" || failure.Code != "Code" || failure.Message != "message" {
		t.Errorf("%+v", failure)
	}
}

func TestRefused(t *testing.T) {
	for code, message := range map[string]string{
		"InvalidSecurityToken.Expired":               "Specified SecurityToken is expired.",
		"InvalidSecurityToken.Malformed":             "Specified SecurityToken is malformed.",
		"InvalidSecurityToken.MismatchWithAccessKey": "Specified SecurityToken mismatch with the AccessKey.",
		"InvalidAccessKeyId.NotFound":                "Specified access key is not found.",
		"InvalidAccessKeyId.Inactive":                "Specified access key is disabled.",
		"InvalidAccessKeyId":                         "The AccessKey Id you provided is not exist.",
		"SecurityTokenExpired":                       "The security token you provided has expired.",
		"InvalidParameter":                           `The specified parameter "SecurityToken.Expired" is not valid.`,
	} {
		if !accesskey.Refused(code, message) {
			t.Errorf("%s: %s is not taken for a key that is not valid any more", code, message)
		}
	}
	for _, code := range []string{"InvalidParameter", "SignatureDoesNotMatch", "Forbidden.RAM", "InvalidTimeStamp.Expired", ""} {
		if accesskey.Refused(code, "anything else") {
			t.Errorf("%s is taken for a key that is not valid any more", code)
		}
	}
}
