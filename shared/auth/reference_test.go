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
)

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
