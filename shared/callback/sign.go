package callback

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"routinely/shared/webhook"
)

// maxSecrets keeps the header short; there is more than one only while secrets are being replaced.
const maxSecrets = 8

// signer returns the value of the header webhook-signature. It hides the secrets better than a field could: however it is
// printed, a function is an address.
type signer func(id string, at time.Time, body []byte) string

// newSigner signs with all the secrets. The error names every one that is wrong by its place and quotes none.
func newSigner(secrets []string) (signer, error) {
	if len(secrets) < 1 || len(secrets) > maxSecrets {
		return nil, fmt.Errorf("callback secrets: want 1 to %d, not %d", maxSecrets, len(secrets))
	}
	keys, errs := make([][]byte, len(secrets)), make([]error, len(secrets))
	for i, secret := range secrets {
		key, ok := webhook.ReadSecret(secret)
		switch {
		case !ok:
			errs[i] = fmt.Errorf("callback secret %d: want %s and %d to %d bytes in base64", i+1, webhook.SecretPrefix, webhook.MinSecret, webhook.MaxSecret)
		case slices.Contains(secrets[:i], secret):
			errs[i] = fmt.Errorf("callback secret %d: is there already", i+1)
		}
		keys[i] = key
	}
	return func(id string, at time.Time, body []byte) string {
		signatures := make([]string, len(keys))
		for i, key := range keys {
			mac := hmac.New(sha256.New, key)
			_, _ = fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body) // a hash never fails
			signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		}
		return strings.Join(signatures, " ")
	}, errors.Join(errs...)
}
