package auth_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"routinely/shared/auth"
)

func TestWebhook(t *testing.T) {
	ci, shop := newHolder("ci"), newHolder("shop")
	older := newHolder("older")
	ci.config["webhookSecrets"] = []string{older.webhookSecret, ci.webhookSecret}
	guard := parse(t, configure(ci.config, shop.config))

	t.Run("accepts the vector of the reference libraries", func(t *testing.T) {
		svix := newHolder("svix")
		svix.config["webhookSecrets"] = []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
		known(t, parsePublished(t, configure(svix.config)), headers(
			"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", "1614265330",
			"webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		), []byte(`{"test": 2432232314}`), "svix", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	})
	t.Run("takes the hash of an id that cannot be a key", func(t *testing.T) {
		const key = "webhook:f042c8d1f502edbb858b7328e46054790e2911a4c2cefc4bb4103493e415df2e"
		known(t, guard, ci.webhook("msg.1", now, body), body, "ci", key)
		known(t, parse(t, "none"), headers("webhook-id", "msg.1"), nil, auth.Anonymous, key)
		keys := map[string]bool{}
		for _, id := range []string{"msg.1", key, "msg_ü", "msg 1", "msg_1\n", "msg:1", strings.Repeat("x", 201), strings.Repeat("x", 8000)} {
			caller, err := guard.Authenticate(ci.webhook(id, now, body), body, now)
			if err != nil || len(caller.Key) != len(key) || keys[caller.Key] {
				t.Errorf("%q: got %+v, %v", id, caller, err)
			}
			keys[caller.Key] = true
		}
	})
	t.Run("refuses timestamps more than five minutes off, and shows its clock to nobody who cannot sign", func(t *testing.T) {
		for _, off := range []time.Duration{-301 * time.Second, 301 * time.Second} {
			refused(t, guard, ci.webhook("msg_1", now.Add(off), body), body, auth.CodeStaleTimestamp)
			refused(t, guard, newHolder("stranger").webhook("msg_1", now.Add(off), body), body, auth.CodeBadSignature)
		}
	})
	t.Run("accepts signatures of any of the caller's secrets", func(t *testing.T) {
		right := older.signature("msg_1", now, body)
		for _, list := range []string{right, right + " " + ci.signature("msg_1", now, body)} {
			header := ci.webhook("msg_1", now, body)
			header.Set("webhook-signature", list)
			known(t, guard, header, body, "ci", "msg_1")
		}
	})
	// A check that stopped at the first match would take these for its caller.
	t.Run("refuses signatures of two callers, whichever comes first", func(t *testing.T) {
		a, b := ci.signature("msg_1", now, body), shop.signature("msg_1", now, body)
		for _, list := range []string{a + " " + b, b + " " + a} {
			header := ci.webhook("msg_1", now, body)
			header.Set("webhook-signature", list)
			refused(t, guard, header, body, auth.CodeBadSignature)
			refused(t, parse(t, configure(shop.config, ci.config)), header, body, auth.CodeBadSignature)
		}
	})
	t.Run("refuses another body, id or timestamp than was signed", func(t *testing.T) {
		refused(t, guard, ci.webhook("msg_1", now, body), []byte(`{"test": 2432232315}`), auth.CodeBadSignature)
		for name, value := range map[string]string{"webhook-id": "msg_2", "webhook-timestamp": "1614265331"} {
			header := ci.webhook("msg_1", now, body)
			header.Set(name, value)
			refused(t, guard, header, body, auth.CodeBadSignature)
		}
	})
	t.Run("does not take one kind of secret for the other", func(t *testing.T) {
		mixed := newHolder("mixed")
		mixed.githubSecret, mixed.webhookSecret = ci.webhookSecret, shop.webhookSecret
		refused(t, guard, mixed.github("d-1", body), body, auth.CodeBadSignature)
	})
	right := ci.webhook("msg_1", now, body)
	signature := right.Get("webhook-signature")
	for name, change := range map[string][2]string{
		"no id": {"webhook-id", ""}, "a fraction": {"webhook-timestamp", "1614265330.0"},
		"a space": {"webhook-timestamp", " 1614265330"}, "no timestamp": {"webhook-timestamp", ""},
		"too large a timestamp": {"webhook-timestamp", "9223372036854775808"}, "no signature": {"webhook-signature", ""},
		"a signature of no version": {"webhook-signature", strings.TrimPrefix(signature, "v1,")},
		"another version alone":     {"webhook-signature", "v1a" + strings.TrimPrefix(signature, "v1")},
		"a tab between signatures":  {"webhook-signature", signature + "\t" + signature},
		"base64 cut short":          {"webhook-signature", signature[:len(signature)-1]},
		"a line break in base64":    {"webhook-signature", signature[:9] + "\n" + signature[9:]},
		"too short a signature":     {"webhook-signature", "v1,AAAA"},
		"more than all headers are": {"webhook-signature", signature + strings.Repeat(" v2,x", 8<<10/5)},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			header := merge(right)
			header.Set(change[0], change[1])
			refused(t, guard, header, body, auth.CodeMalformedCredentials)
		})
	}
	t.Run("refuses a header that is missing or there twice", func(t *testing.T) {
		for name, values := range right {
			header := merge(right)
			header.Del(name)
			refused(t, guard, header, body, auth.CodeMalformedCredentials)
			refused(t, guard, merge(right, http.Header{name: values}), body, auth.CodeMalformedCredentials)
		}
	})
}

// signed draws a request that may be rightly signed, in one of the many spellings of id, timestamp and list of signatures.
func signed(r *rapid.T, h, stranger holder, now time.Time) (header http.Header, body []byte) {
	id := rapid.OneOf(rapid.StringMatching(`msg_[A-Za-z0-9]{1,30}`), rapid.StringMatching(`[ -~]{0,300}`), rapid.String()).Draw(r, "id")
	off := rapid.OneOf(rapid.SampledFrom([]int64{-301, -300, -299, 0, 299, 300, 301}), rapid.Int64Range(-400, 400)).Draw(r, "seconds off")
	at := time.Unix(now.Unix()+off, 0)
	body = rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(r, "body")
	right := h.signature(id, at, body)
	one := rapid.SampledFrom([]string{
		right, right + ",v1", "v1," + right, stranger.signature(id, at, body), h.signature(id+"x", at, body), right[:len(right)-1], right + "=",
		right[:9] + "\n" + right[9:], strings.ToUpper(right), "v1a" + right[2:], "v2" + right[2:], "V1" + right[2:], "v1", "v1,", ",", "", "\t" + right,
		strings.TrimPrefix(right, "v1,"), strings.ReplaceAll(right, ",", ", "), "v1,AAAA",
	})
	list := strings.Join(rapid.SliceOfN(one, 0, 20).Draw(r, "signatures"), " ")
	seconds := strconv.FormatInt(at.Unix(), 10)
	timestamp := rapid.SampledFrom([]string{
		seconds, seconds, seconds, "+" + seconds, "0" + seconds, " " + seconds, seconds + ".0", "0x1", "", "-1", seconds + "0", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1_0",
	}).Draw(r, "timestamp")
	return headers("webhook-id", id, "webhook-timestamp", timestamp, "webhook-signature", list), body
}

func TestWebhookAcceptsWhatTheReferenceLibraryAccepts(t *testing.T) {
	ci, stranger := newHolder("ci"), newHolder("stranger")
	guard := parse(t, configure(ci.config))
	library, err := standardwebhooks.NewWebhook(ci.webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		// The clock of the bubble, since the library takes no other.
		began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		header, body := signed(r, ci, stranger, began)
		fraction := time.Duration(rapid.IntRange(0, 999).Draw(r, "milliseconds")) * time.Millisecond
		var got, want error
		synctest.Test(t, func(*testing.T) {
			time.Sleep(fraction)
			_, got = guard.Authenticate(header, body, time.Now())
			want = library.Verify(body, header)
		})
		if (got == nil) != (want == nil) {
			r.Fatalf("got %v, the reference says %v", got, want)
		}
	})
}

func TestDeleteOnClose(t *testing.T) {
	of := func(template any) holder {
		h := newHolder("ci")
		h.config["deleteOnClose"] = template
		return h
	}
	t.Run("is the caller's template", func(t *testing.T) {
		ci := of("pr-{number}")
		if got := known(t, parse(t, configure(ci.config)), ci.github("d-1", body), body, "ci", keyOf(body)).DeleteOnClose; got != "pr-{number}" {
			t.Errorf("got %q", got)
		}
	})
	for name, template := range map[string]any{
		"no number": "pr", "the number twice": "pr-{number}-{number}", "no name of a routine": "PR-{number}", "a name that is too long": "pull-request-of-a-long-name-here-{number}",
		"a number": 7, "nothing": "",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			_, err := auth.Parse(configure(of(template).config))
			if err == nil || !strings.Contains(err.Error(), `caller "ci" deleteOnClose: must be`) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("needs GitHub's signatures", func(t *testing.T) {
		ci := of("pr-{number}")
		delete(ci.config, "githubSecrets")
		if _, err := auth.Parse(configure(ci.config)); err == nil || !strings.Contains(err.Error(), "needs githubSecrets") {
			t.Errorf("got %v", err)
		}
	})
}

func TestGitHub(t *testing.T) {
	ci, shop := newHolder("ci"), newHolder("shop")
	guard := parse(t, configure(ci.config, shop.config))
	const delivery = "72d3162e-cc78-11e3-81ab-4c9367dc0958"

	t.Run("accepts the vector of GitHub's documentation", func(t *testing.T) {
		github := newHolder("github")
		github.config["githubSecrets"] = []string{"It's a Secret to Everybody"}
		known(t, parsePublished(t, configure(github.config)), headers(
			"X-GitHub-Delivery", delivery,
			"X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
		), []byte("Hello, World!"), "github", "sha256:dffd6021bb2bd5b0af676290809ec3a53191dd81c7f70a4b28688a362182986f")
	})
	t.Run("takes the key from what is signed, and the id of the delivery for the log alone", func(t *testing.T) {
		known(t, guard, shop.github(delivery, nil), nil, "shop", keyOf(nil))
		for id, logged := range map[string]string{
			delivery: delivery, "another": "another", "": "", "a b": "", "a\nb": "", strings.Repeat("x", 201): "",
		} {
			caller := known(t, guard, ci.github(id, body), body, "ci", keyOf(body))
			if caller.Delivery != logged || !caller.Signed() {
				t.Errorf("%q: got %+v", id, caller)
			}
		}
		known(t, guard, headers("X-Hub-Signature-256", ci.github("", body).Get("X-Hub-Signature-256")), body, "ci", keyOf(body))
	})
	t.Run("refuses another body and an unknown secret", func(t *testing.T) {
		refused(t, guard, ci.github(delivery, body), append([]byte(" "), body...), auth.CodeBadSignature)
		refused(t, guard, newHolder("stranger").github(delivery, body), body, auth.CodeBadSignature)
	})
	signature := ci.github(delivery, body).Get("X-Hub-Signature-256")
	for name, values := range map[string][]string{
		"no signature": {""}, "no prefix": {strings.TrimPrefix(signature, "sha256=")}, "SHA-1": {"sha1=126f2c800419c60137ce748d7672e77b65cf16d6"},
		"a digit too few": {signature[:len(signature)-1]}, "what is not hex": {signature[:len(signature)-1] + "g"}, "a byte too many": {signature + "00"},
		"a signature that is there twice": {signature, signature},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			header := ci.github(delivery, body)
			header["X-Hub-Signature-256"] = values
			refused(t, guard, header, body, auth.CodeMalformedCredentials)
		})
	}
}
