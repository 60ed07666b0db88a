package callback_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"routinely/shared/callback"
	"routinely/shared/fault"
)

// TestSign compares with the vector of the reference libraries.
func TestSign(t *testing.T) {
	got := callback.Sign(published, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	same(t, "signature", got, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
}

func TestNew(t *testing.T) {
	encode := func(length int) string {
		random := make([]byte, length)
		_, _ = rand.Read(random) // never fails
		return "whsec_" + base64.StdEncoding.EncodeToString(random)
	}
	t.Run("takes secrets of 24 to 64 bytes, and no other texts", func(t *testing.T) {
		for _, good := range []string{encode(24), encode(64), secret, strings.TrimPrefix(secret, "whsec_")} {
			newSender(t, callback.Config{Secrets: []string{good}})
		}
		for _, bad := range []string{
			"", "whsec_", encode(23), encode(65), "WHSEC_" + secret[6:], secret + "\n", secret[:20] + "\r\n" + secret[20:],
			encode(25)[:len("whsec_")+34] + "9=", strings.ReplaceAll(encode(25), "=", ""), "whsk_" + secret[6:], "whsec_-_" + secret[8:],
		} {
			_, err := callback.New(callback.Config{Secrets: []string{olderSecret, bad}})
			if err == nil || !strings.Contains(err.Error(), "secret 2") || strings.Contains(err.Error(), secret[6:10]) {
				t.Errorf("%q: got %v", bad, err)
			}
		}
	})
	t.Run("takes 1 to 8 different secrets, and no negative time", func(t *testing.T) {
		if _, err := callback.New(callback.Config{Secrets: []string{secret}, Timeout: -1}); err == nil {
			t.Error("a negative time is accepted")
		}
		var many []string
		for length := 24; length < 33; length++ {
			many = append(many, encode(length))
		}
		newSender(t, callback.Config{Secrets: many[:8]})
		for _, bad := range [][]string{nil, many, {secret, secret}, {secret, strings.TrimPrefix(secret, "whsec_")}} {
			if _, err := callback.New(callback.Config{Secrets: bad}); err == nil {
				t.Errorf("%d secrets are accepted", len(bad))
			}
		}
	})
	t.Run("takes no secret that is published or can be guessed, also beside a good one, and derives none from it", func(t *testing.T) {
		counted := "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789:;<=>?@ABCDEFGHIJKLMNO"))
		for bad, want := range map[string]string{
			published: "secret 2: is an example of the documentation", strings.TrimPrefix(published, "whsec_"): "secret 2: is an example of the documentation",
			counted: "secret 2: is too weak, it counts on",
		} {
			if _, err := callback.New(callback.Config{Secrets: []string{secret, bad}}); !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("New(%q): got %v", bad, err)
			}
			if its, err := callback.SecretOf(bad, "shop"); its != "" || !strings.Contains(fmt.Sprint(err), strings.TrimPrefix(want, "secret 2: ")) {
				t.Errorf("SecretOf(%q): got %q, %v", bad, its, err)
			}
		}
	})
	t.Run("makes a sender that shows no secret", func(t *testing.T) {
		shown := fmt.Sprintf("%v %+v %#v", newSender(t, callback.Config{}), *newSender(t, callback.Config{}), newSender(t, callback.Config{}))
		key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		for _, part := range []string{secret[6:], string(key), fmt.Sprint(key), fmt.Sprintf("%x", key)} {
			if strings.Contains(shown, part) {
				t.Error("the secret is shown")
			}
		}
	})
}

func TestNext(t *testing.T) {
	lost := &fault.Error{Kind: fault.Unavailable}
	t.Run("follows the schedule of Standard Webhooks", func(t *testing.T) {
		var since time.Duration
		var got []string
		for attempt := 1; attempt < 100; attempt++ {
			delay, again := callback.Next(lost, attempt, 0)
			if !again {
				break
			}
			since += delay
			got = append(got, since.String())
		}
		same(t, "attempts", len(got), callback.MaxAttempts-1)
		same(t, "schedule", strings.Join(got, " "), "5s 5m5s 35m5s 2h35m5s 7h35m5s 17h35m5s 31h35m5s 51h35m5s 75h35m5s")
	})
	t.Run("adds up to a tenth", func(t *testing.T) {
		if got, _ := callback.Next(lost, 5, 0.5); got != 5*time.Hour+15*time.Minute {
			t.Errorf("got %s", got)
		}
	})
	t.Run("waits for as long as the receiver asks, for a day at most", func(t *testing.T) {
		for asked, want := range map[time.Duration]time.Duration{time.Second: 5 * time.Minute, time.Hour: time.Hour, 100 * time.Hour: 24 * time.Hour} {
			if got, again := callback.Next(&fault.Error{Kind: fault.Throttled, RetryAfter: asked}, 2, 0); got != want || !again {
				t.Errorf("%s: got %s, %t", asked, got, again)
			}
		}
	})
	t.Run("does not repeat what cannot work", func(t *testing.T) {
		for _, kind := range []fault.Kind{fault.Invalid, fault.Denied, fault.NotFound} {
			if delay, again := callback.Next(&fault.Error{Kind: kind}, 1, 0); again || delay != 0 {
				t.Errorf("%s is sent again", kind)
			}
		}
	})
}
