package callback

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"routinely/shared/secret"
	"routinely/shared/webhook"
)

// maxSecrets keeps the header short; there is more than one only while secrets are being replaced.
const maxSecrets = 8

// signer returns the value of the header webhook-signature for the caller whose receiver it is. It hides the secrets better than
// a field could: however it is printed, a function is an address.
type signer func(caller, id string, at time.Time, body []byte) string

// SecretOf is the secret that a caller's receiver checks callbacks with, made of one of the sender's: a receiver can forge no
// callback for another, and no list of secrets must be kept. The error says what is wrong with a secret that New would refuse, and does
// not quote it.
func SecretOf(secret, caller string) (string, error) {
	key, err := read(secret)
	if err != nil {
		return "", fmt.Errorf("the callback secret: %w", err)
	}
	return webhook.SecretPrefix + base64.StdEncoding.EncodeToString(keyOf(key, caller)), nil
}

// read reads the text of one of the sender's secrets. What others know or can guess is none. The error does not quote it.
func read(text string) ([]byte, error) {
	key, ok := webhook.ReadSecret(text)
	if !ok {
		return nil, fmt.Errorf("want %s and %d to %d bytes in base64", webhook.SecretPrefix, webhook.MinSecret, webhook.MaxSecret)
	}
	if why := secret.Guessable(key); why != "" {
		return nil, errors.New(why)
	}
	return key, nil
}

// keyOf derives a caller's key.
func keyOf(key []byte, caller string) []byte {
	return digest(key, "routinely callback\x00%s", caller)
}

// sign is one signature of Standard Webhooks.
func sign(key []byte, id string, at time.Time, body []byte) string {
	return "v1," + base64.StdEncoding.EncodeToString(digest(key, "%s.%d.%s", id, at.Unix(), body))
}

func digest(key []byte, format string, values ...any) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, format, values...) // a hash never fails
	return mac.Sum(nil)
}

// newSigner signs with all the secrets. The error names every one that is wrong by its place and quotes none.
func newSigner(secrets []string) (signer, error) {
	if len(secrets) < 1 || len(secrets) > maxSecrets {
		return nil, fmt.Errorf("callback secrets: want 1 to %d, not %d", maxSecrets, len(secrets))
	}
	keys, errs := make([][]byte, len(secrets)), make([]error, len(secrets))
	for i, secret := range secrets {
		key, err := read(secret)
		switch {
		case err != nil:
			errs[i] = fmt.Errorf("callback secret %d: %w", i+1, err)
		case slices.ContainsFunc(keys[:i], func(other []byte) bool { return bytes.Equal(other, key) }):
			errs[i] = fmt.Errorf("callback secret %d: is there already", i+1)
		}
		keys[i] = key
	}
	return func(caller, id string, at time.Time, body []byte) string {
		signatures := make([]string, len(keys))
		for i, key := range keys {
			signatures[i] = sign(keyOf(key, caller), id, at, body)
		}
		return strings.Join(signatures, " ")
	}, errors.Join(errs...)
}
