package secret_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"routinely/shared/secret"
)

const (
	asExample = "is an example of the documentation, which everybody knows: make one of your own"
	// vector is the secret of the reference libraries of Standard Webhooks, in Base64.
	vector = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

func TestGuessable(t *testing.T) {
	decode := func(decode func(string) ([]byte, error), text string) string {
		content, err := decode(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	weak := func(why string) string { return "is too weak, it " + why + ": make it of random bytes" }
	for name, tt := range map[string]struct{ content, want string }{
		"the bytes of a published secret":     {decode(base64.StdEncoding.DecodeString, vector), asExample},
		"the text of a published secret":      {vector, asExample},
		"the text of one with its prefix":     {"whsec_" + vector, asExample},
		"the bytes of a published hash":       {decode(hex.DecodeString, "5E884898DA28047151D0E56F8DC6292773603D0D6AABBDD62A11EF721D1542D8"), asExample},
		"published words":                     {"It's a Secret to Everybody", asExample},
		"the former key of the local stack":   {"routinely-local-callback-secret!", asExample},
		"zeros":                               {strings.Repeat("\x00", 32), weak("has too few different characters")},
		"seven different characters":          {"0120345601640512346025134602", weak("has too few different characters")},
		"what repeats itself":                 {strings.Repeat("0123456789abcdef", 2), weak("repeats itself")},
		"what repeats itself, and breaks off": {strings.Repeat("0123456789abcdef", 3)[:40], weak("repeats itself")},
		"bytes that count":                    {"@ABCDEFGHIJKLMNOPQRSTUVWXYZ", weak("counts on")},
		"bytes that count down":               {"zyxwvutsrqponmlkjihgfedcba98", weak("counts on")},
		"a common word":                       {"Xk29-my-Password-aWk20Qp", weak("holds a common word")},
		"words":                               {"correct horse battery staple", weak("is made of words")},
		"words in capitals":                   {"CorrectHorseBatteryStaple", weak("is made of words")},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if got := secret.Guessable([]byte(tt.content)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRandomSecrets(t *testing.T) {
	random := func(size int) []byte {
		content := make([]byte, size)
		_, _ = rand.Read(content) // never fails
		return content
	}
	weak := 0 // of 1,600: one in a hundred thousand looks like words
	for range 200 {
		for name, content := range map[string][]byte{
			"the fewest bytes":           random(24),
			"bytes of a message key":     random(32),
			"the most bytes":             random(64),
			"hexadecimal digits":         []byte(hex.EncodeToString(random(16))),
			"many hexadecimal digits":    []byte(hex.EncodeToString(random(20))),
			"Base64":                     []byte(base64.StdEncoding.EncodeToString(random(24))),
			"Base64 for addresses":       []byte(base64.RawURLEncoding.EncodeToString(random(24))),
			"Base64 of the fewest bytes": []byte(base64.StdEncoding.EncodeToString(random(18))),
		} {
			why := secret.Guessable(content)
			if why != "" {
				weak++
			}
			if weak > 1 {
				t.Fatalf("the second: %s: %q %s", name, content, why)
			}
		}
	}
}
