package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

const (
	tokenPrefix = "rtly_"
	hashPrefix  = "sha256:"
	tokenBytes  = 32
)

// NewToken makes a bearer token, for its caller, and the hash of it, for the configuration: "sha256:" and the SHA-256 of the
// whole token in hexadecimal.
//
// A plain hash is right here. Salt and slow hashes protect what people choose, because it can be guessed; of 256 random bits
// the hash gives nothing away, and a slow one would only make every request slow.
func NewToken() (token, hash string) {
	random := make([]byte, tokenBytes)
	_, _ = rand.Read(random) // never fails: without randomness the process ends
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(token))
	return token, hashPrefix + hex.EncodeToString(sum[:])
}

// isToken reports whether a text has the form of what NewToken makes.
func isToken(text string) bool {
	random, found := strings.CutPrefix(text, tokenPrefix)
	return found && len(random) == base64.RawURLEncoding.EncodedLen(tokenBytes) && consistsOf(random, "-_")
}
