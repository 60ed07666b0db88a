package auth_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"testing"

	"routinely/shared/auth"
)

func TestRandomSecrets(t *testing.T) {
	random := func(size int) []byte {
		secret := make([]byte, size)
		_, _ = rand.Read(secret) // never fails
		return secret
	}
	for range 200 {
		for name, secrets := range map[string][2]string{
			"bytes, and hexadecimal digits as OpenSSL and Ruby make them": {base64.StdEncoding.EncodeToString(random(24)), hex.EncodeToString(random(20))},
			"hexadecimal digits, and Base64":                              {base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(random(16)))), base64.StdEncoding.EncodeToString(random(24))},
			"bytes of the largest size, and Base64 for addresses":         {base64.StdEncoding.EncodeToString(random(64)), base64.RawURLEncoding.EncodeToString(random(24))},
		} {
			h := newHolder("ci")
			h.config["webhookSecrets"], h.config["githubSecrets"] = []string{"whsec_" + secrets[0]}, []string{secrets[1]}
			if _, err := auth.Parse(configure(h.config)); err != nil {
				t.Fatalf("%s: %q: %v", name, secrets, err)
			}
		}
	}
}
