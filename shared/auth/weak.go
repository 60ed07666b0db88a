package auth

import (
	"slices"
	"strings"
	"unicode"

	"routinely/shared/webhook"
)

// guessable says how others can know a secret of the configuration, given its text and its bytes; empty if they cannot.
func guessable(text, secret string) string {
	if published(text) {
		return "is an example of the documentation, which everybody knows: make one of your own"
	}
	if why := weakness([]byte(secret)); why != "" {
		return "is too weak, it " + why + ": make it of random bytes"
	}
	return ""
}

// published reports whether a secret, or the hash of a token, stands in documentation: here, or in what people copy from. Whoever has
// read it can be the caller.
func published(text string) bool {
	return slices.ContainsFunc([]string{
		"sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
		"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		"whsec_cm91dGluZWx5LWxvY2FsLWNhbGxiYWNrLXNlY3JldCE=",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", // Standard Webhooks' specification and libraries
		"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", // the former, and pages of those who use it
		"It's a Secret to Everybody",             // GitHub's page on validating deliveries
		"a text of at least some twenty characters",
	}, func(known string) bool { return strings.EqualFold(bare(known), bare(text)) })
}

// bare is a secret without the prefix that webhook secrets may have.
func bare(secret string) string { return strings.TrimPrefix(secret, webhook.SecretPrefix) }

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
