// Package secret says of the configuration's secrets how others can know or guess them. It neither reads their texts nor knows what they
// are for.
package secret

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
)

// Guessable says how others can know a secret, or the hash of a token, given its bytes; empty if they cannot. The answer quotes nothing
// of it, and ends a sentence that begins with where the secret stands.
func Guessable(content []byte) string {
	if published(content) {
		return "is an example of the documentation, which everybody knows: make one of your own"
	}
	if why := weakness(content); why != "" {
		return "is too weak, it " + why + ": make it of random bytes"
	}
	return ""
}

// published reports whether a secret, however it is spelled, stands in documentation: here, or in what people copy from. Whoever has
// read it can be its owner.
func published(content []byte) bool {
	text, inBase64, inHex := string(content), base64.StdEncoding.EncodeToString(content), hex.EncodeToString(content)
	return slices.ContainsFunc(documented(), func(known string) bool {
		return strings.Contains(text, known) || inBase64 == known || inHex == known
	})
}

// documented are those secrets as texts, in Base64 without the prefix of webhook secrets, and in hexadecimal digits without that of hashes.
func documented() []string {
	return []string{
		"5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		"cm91dGluZWx5LWxvY2FsLWNhbGxiYWNrLXNlY3JldCE=",
		"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", // Standard Webhooks' specification and libraries
		"C2FVsBQIhrscChlQIMV+b5sSYspob7oD", // the former, and pages of those who use it
		"It's a Secret to Everybody",       // GitHub's page on validating deliveries
		"a text of at least some twenty characters",
	}
}

const (
	// minDifferent is how many different bytes a secret must have. Random ones have more; those typed to fill a form have not.
	minDifferent = 8
	// perCapital is how many characters of words there are for each capital, at least.
	perCapital = 5
)

// weakness says how a secret can be guessed; empty if nothing is seen. Random bytes, and random texts of hexadecimal digits or Base64,
// pass but for one in a hundred thousand.
func weakness(secret []byte) string {
	switch text := strings.ToLower(string(secret)); {
	case differentBytes(secret) < minDifferent:
		return "has too few different characters"
	case repeats(secret):
		return "repeats itself"
	case countsOn(secret):
		return "counts on"
	case slices.ContainsFunc(commonWords(), func(word string) bool { return strings.Contains(text, word) }):
		return "holds a common word"
	case isWords(string(secret)):
		return "is made of words"
	}
	return ""
}

func differentBytes(secret []byte) int {
	seen := map[byte]bool{}
	for _, b := range secret {
		seen[b] = true
	}
	return len(seen)
}

// repeats reports whether a secret is a shorter one, once and again.
func repeats(secret []byte) bool {
	for period := 1; period <= len(secret)/2; period++ {
		if slices.Equal(secret[period:], secret[:len(secret)-period]) {
			return true
		}
	}
	return false
}

// countsOn reports whether nearly each byte follows from the one before by the same step: 0123…, abcd…, or bytes that were counted.
func countsOn(secret []byte) bool {
	steps := map[byte]int{}
	most := 0
	for i := 1; i < len(secret); i++ {
		step := secret[i] - secret[i-1]
		steps[step]++
		most = max(most, steps[step])
	}
	return most*4 > len(secret)*3
}

// commonWords are some that people type where a secret is asked for, long enough to be in no random text.
func commonWords() []string {
	return []string{"password", "passw0rd", "secret", "changeme", "change-me", "example", "qwerty", "123456", "letmein", "routinely", "webhook", "placeholder"}
}

// isWords reports whether a text is letters and what stands between words, with as few capitals as words have: a random text of
// letters has as many capitals as small letters, and nearly always digits.
func isWords(text string) bool {
	upper := 0
	for _, r := range text {
		switch {
		case unicode.IsUpper(r):
			upper++
		case !unicode.IsLower(r) && !strings.ContainsRune(" -_.,;:'!?", r):
			return false
		}
	}
	return upper*perCapital <= len(text)
}
