// Package webhook is what signing and checking Standard Webhooks 1.0
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md) have in common: what a secret is,
// and how its text is read. It neither signs nor checks.
package webhook

import (
	"encoding/base64"
	"strings"
)

// SecretPrefix begins the text of a secret. Some senders leave it out, and the reference libraries read what is left.
const SecretPrefix = "whsec_"

// MinSecret and MaxSecret are the bounds of a secret, 192 and 512 bits, in bytes.
const (
	MinSecret = 24
	MaxSecret = 64
)

// ReadSecret reads the text of a secret; ok is false for anything else.
func ReadSecret(text string) (key []byte, ok bool) {
	key, ok = Decode(strings.TrimPrefix(text, SecretPrefix))
	return key, ok && len(key) >= MinSecret && len(key) <= MaxSecret
}

// Decode reads base64 in the one spelling that encoding gives. The decoder alone would pass over line breaks and stray bits,
// which some libraries read and others do not.
func Decode(text string) (content []byte, ok bool) {
	content, err := base64.StdEncoding.DecodeString(text)
	return content, err == nil && base64.StdEncoding.EncodeToString(content) == text
}
