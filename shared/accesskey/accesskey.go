// Package accesskey is how calls of Alibaba Cloud get the key that they are signed with, and what is done about a temporary key that has
// expired. It neither keeps keys nor knows where they come from.
package accesskey

import (
	"errors"
	"strings"

	"github.com/aliyun/credentials-go/credentials"
	"github.com/aliyun/credentials-go/credentials/providers"

	"routinely/shared/fault"
)

// Source returns the access key to sign the next call with. The token is that of a temporary key, which STS has made; it is empty for a
// long-lived one.
type Source func() (accessKeyID, accessKeySecret, securityToken string)

// Credential is the source as Alibaba Cloud's SDKs take it. They ask it for each call.
func (s Source) Credential() credentials.Credential {
	return credentials.FromCredentialsProvider(providerName, provider(s))
}

const providerName = "routinely"

type provider Source

func (p provider) GetCredentials() (*providers.Credentials, error) {
	id, secret, token := p()
	return &providers.Credentials{AccessKeyId: id, AccessKeySecret: secret, SecurityToken: token, ProviderName: providerName}, nil
}

func (p provider) GetProviderName() string { return providerName }

// Call makes a call, which asks the source for its key. If that key had expired and the source has another one by now, as it does once a
// new invocation has brought one, the call is made again.
func (s Source) Call(do func() error) error {
	err := do()
	var old *expired
	if !errors.As(err, &old) {
		return err
	}
	if id, _, _ := s(); id == old.keyID {
		return err
	}
	return do()
}

// expired is the cause of the faults of expired keys.
type expired struct{ keyID string }

func (e *expired) Error() string { return "the temporary key " + e.keyID + " is not valid any more" }

// Expired is the fault of a call that was refused because its temporary key, of the id given, is not valid any more. Nothing was executed.
// It is of kind Unavailable: the next invocation of a function brings another key, so what failed is tried again.
func Expired(keyID, code, message string) fault.Error {
	return fault.Error{
		Kind: fault.Unavailable, Code: code, Message: message, Err: &expired{keyID},
		Hint: "The temporary key has expired or is not known any more. Each invocation of a function brings a new one: try again. If that does " +
			"not help, check the function's role; outside of a function, set a new key in the environment.",
	}
}

// Refused reports whether an API of Alibaba Cloud's common gateway says that it does not know a key, or its token, or not any more. A
// temporary key that has expired is answered with any of these: InvalidSecurityToken.Expired, .Malformed or .MismatchWithAccessKey (codes
// that the public SDKs handle), InvalidAccessKeyId.NotFound or .Inactive (https://www.alibabacloud.com/help/doc-detail/42775.htm; an
// expired id no longer exists: https://help.aliyun.com/zh/oss/support/0002-00000002), and InvalidParameter with the text `The specified
// parameter "SecurityToken.Expired" is not valid.` (https://github.com/kubevela/terraform-controller/issues/52).
func Refused(code, message string) bool {
	return strings.HasPrefix(code, "InvalidSecurityToken") || strings.HasPrefix(code, "InvalidAccessKeyId") ||
		code == "SecurityTokenExpired" || strings.Contains(message, `"SecurityToken.Expired"`)
}
