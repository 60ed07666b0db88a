package queue

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"routinely/shared/secret"
)

// Keys seal our messages and tell them from those that somebody else wrote: whoever may write to a queue could pass for any caller otherwise.
// The first key seals, every key verifies, so that one can take the place of another. Without a key no message of ours is valid, and none can
// be sent. Keys print as stars.
type Keys struct{ all []messageKey }

type messageKey struct {
	id     string
	secret []byte
}

const (
	// keyBytes is the length of a key: that of the hash it is for (RFC 2104 section 3).
	keyBytes = sha256.Size
	// maxKeyID is the length of the longest id of a key, in bytes.
	maxKeyID = 32
)

// ParseKeys reads keys with commas between them, each an id of 1 to 32 letters, digits, hyphens and underscores, a colon, and 32 random bytes in
// base64url without padding, which nobody can know or guess as package secret has it. The error names the key by its place and id, and quotes no secret.
func ParseKeys(text string) (Keys, error) {
	var keys Keys
	for i, one := range strings.Split(text, ",") {
		id, text, found := strings.Cut(strings.TrimSpace(one), ":")
		bytes, err := base64.RawURLEncoding.Strict().DecodeString(text)
		switch {
		case !found || !isKeyID(id):
			return Keys{}, fmt.Errorf("key %d: want ID:SECRET, the id of 1 to %d letters, digits, hyphens and underscores", i+1, maxKeyID)
		case err != nil || len(bytes) != keyBytes:
			return Keys{}, fmt.Errorf("key %d, %q: want %d bytes in base64url without padding; routinely message-key makes one", i+1, id, keyBytes)
		case secret.Guessable(bytes) != "":
			return Keys{}, fmt.Errorf("key %d, %q: %s; routinely message-key makes one", i+1, id, secret.Guessable(bytes))
		case slices.ContainsFunc(keys.all, func(k messageKey) bool { return k.id == id }):
			return Keys{}, fmt.Errorf("key %d: %q is the id of two keys", i+1, id)
		}
		keys.all = append(keys.all, messageKey{id, bytes})
	}
	return keys, nil
}

// NewKey makes a random key, as ParseKeys reads it. The error says what is wrong with the id; without one the key gets a random id.
func NewKey(id string) (string, error) {
	random := make([]byte, keyBytes+4)
	_, _ = rand.Read(random) // never fails: without randomness the process ends
	if id == "" {
		id = "k" + hex.EncodeToString(random[keyBytes:])
	}
	if !isKeyID(id) {
		return "", fmt.Errorf("%.40q is not the id of a key: want 1 to %d letters, digits, hyphens and underscores", id, maxKeyID)
	}
	return id + ":" + base64.RawURLEncoding.EncodeToString(random[:keyBytes]), nil
}

func isKeyID(id string) bool {
	return id != "" && len(id) <= maxKeyID && !strings.ContainsFunc(id, func(r rune) bool {
		letter := (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z')
		return r != '-' && r != '_' && !letter && (r < '0' || r > '9')
	})
}

const hidden = "***"

// String hides the keys.
func (Keys) String() string { return hidden }

// GoString hides the keys from %#v.
func (Keys) GoString() string { return hidden }

// seal is what tells a message of ours: the id of a key, and the message's MAC under it.
type seal struct {
	KeyID string `json:"keyid,omitempty"`
	MAC   string `json:"mac,omitempty"`
}

// longest is a seal of the greatest length, for sizes that hold under every key.
func longest() seal {
	return seal{strings.Repeat("k", maxKeyID), base64.RawURLEncoding.EncodeToString(make([]byte, sha256.Size))}
}

// seal seals the data of an event. It covers the event's type, the key's id and every byte of data: all that is read of a message of ours.
func (k Keys) seal(eventType string, data []byte) seal {
	first := k.all[0]
	return seal{first.id, base64.RawURLEncoding.EncodeToString(first.mac(eventType, data))}
}

// valid reports whether the seal is that of one of the keys.
func (k Keys) valid(s seal, eventType string, data []byte) bool {
	given, err := base64.RawURLEncoding.DecodeString(s.MAC)
	for _, key := range k.all {
		if err == nil && key.id == s.KeyID {
			return hmac.Equal(given, key.mac(eventType, data))
		}
	}
	return false
}

func (k messageKey) mac(eventType string, data []byte) []byte {
	mac := hmac.New(sha256.New, k.secret)
	fmt.Fprintf(mac, "%s\n%s\n", eventType, k.id) // neither holds a line feed
	mac.Write(data)
	return mac.Sum(nil)
}

// Sealing names the key that seals: its id and the beginning of a hash of it, so that two keys with one id have two names.
func (k Keys) Sealing() string {
	if len(k.all) == 0 {
		return ""
	}
	return k.all[0].name()
}

// Know reports whether a name that Sealing returned is that of one of the keys.
func (k Keys) Know(name string) bool {
	return slices.ContainsFunc(k.all, func(key messageKey) bool { return key.name() == name })
}

func (k messageKey) name() string {
	return k.id + "." + hex.EncodeToString(k.mac("name", nil)[:4])
}
