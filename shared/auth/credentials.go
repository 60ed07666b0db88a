package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"routinely/shared/webhook"
)

// Headers that carry credentials.
const (
	headerAuthorization    = "Authorization"
	headerWebhookID        = "Webhook-Id"
	headerWebhookTimestamp = "Webhook-Timestamp"
	headerWebhookSignature = "Webhook-Signature"
	headerGitHubSignature  = "X-Hub-Signature-256"
	headerGitHubDelivery   = "X-GitHub-Delivery"
)

const (
	// tolerance is how far a webhook's timestamp may be off, either way: that of the reference libraries.
	tolerance = 5 * time.Minute
	// maxSigned bounds a webhook's id and signatures, in bytes. No longer ones arrive: that is Function Compute's limit for all headers.
	maxSigned = 8 << 10
	// maxID leaves room in an idempotency key for the index of a batch's item.
	maxID = 200
)

// digest is what a sender must show for some content. It hides a secret better than a field could: however it is printed, a
// function is an address.
type digest func(content ...[]byte) [sha256.Size]byte

// candidate is something that a caller can be known by.
type candidate struct {
	account int
	digest  digest
}

// hmacOf is the digest of both kinds of signature, HMAC-SHA256. Its hashes are used again, since one that is reset need not work
// through the secret each time: each signature is tried with the secrets of all callers.
func hmacOf(secret []byte) digest {
	idle := sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}
	return func(content ...[]byte) (sum [sha256.Size]byte) {
		mac := idle.Get().(hash.Hash) // nothing else is put there
		defer idle.Put(mac)
		mac.Reset()
		for _, part := range content {
			mac.Write(part)
		}
		mac.Sum(sum[:0])
		return sum
	}
}

// proof is what valid credentials of one kind show.
type proof struct {
	account int
	key     string
	signed  bool
}

// match returns the account whose candidate was shown, or -1. Every candidate is compared with everything that was shown,
// whatever has matched before. Digests of two accounts at once are as good as none.
func (g *Guard) match(candidates []candidate, shown [][sha256.Size]byte, content ...[]byte) int {
	hits := make([]int, len(g.accounts))
	for _, c := range candidates {
		want := c.digest(content...)
		for i := range shown {
			hits[c.account] |= subtle.ConstantTimeCompare(want[:], shown[i][:])
		}
	}
	found, total := -1, 0
	for account, hit := range hits {
		total += hit
		found = subtle.ConstantTimeSelect(hit, account, found)
	}
	if total != 1 {
		return -1
	}
	return found
}

// bearer checks a bearer token (RFC 6750 section 2.1). Only what NewToken makes is a token: of anything weaker, the plain hash
// in the configuration could be guessed.
func (g *Guard) bearer(header http.Header) (*proof, error) {
	value, there, err := only(header, headerAuthorization)
	if !there || err != nil {
		return nil, err
	}
	scheme, token, _ := strings.Cut(value, " ")
	if token = strings.TrimLeft(token, " "); !strings.EqualFold(scheme, "Bearer") || !isToken(token) {
		return nil, malformed("the header Authorization holds no token of Routinely",
			"Send Authorization: Bearer and a token as it was made: rtly_ and 43 letters, digits, - or _.")
	}
	found := g.match(g.tokens, [][sha256.Size]byte{sha256.Sum256([]byte(token))})
	if found < 0 {
		return nil, refusal(CodeBadToken, "the bearer token is that of no caller", "Check that the token is still in use by this deployment.")
	}
	return &proof{account: found}, nil
}

// webhook checks the signatures of Standard Webhooks 1.0
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md), of which v1, the symmetric
// one, is understood. It takes what the reference library takes. That library is not used: it copies the body twice for each secret, and
// has its own clock.
//
// An id may hold a full stop, so that what was signed can be read as another id, timestamp and body too. That body begins with a part of
// the id and a timestamp, or lacks its first characters up to a full stop after digits: neither is a request.
func (g *Guard) webhook(header http.Header, body []byte, now time.Time) (*proof, error) {
	id, withID, errID := only(header, headerWebhookID)
	timestamp, withTimestamp, errTimestamp := only(header, headerWebhookTimestamp)
	signatures, withSignatures, errSignatures := only(header, headerWebhookSignature)
	if !withID && !withTimestamp && !withSignatures {
		return nil, nil
	}
	sent, errSent := strconv.ParseInt(timestamp, 10, 64)
	shown := signaturesV1(signatures)
	if errID != nil || errTimestamp != nil || errSignatures != nil || id == "" || len(id)+len(signatures) > maxSigned || errSent != nil || shown == nil {
		return nil, malformed("the headers webhook-id, webhook-timestamp and webhook-signature are not those of a signed webhook",
			"Send each once: an id, the time in Unix seconds, and v1 signatures in base64 with spaces between them, at most 8 KiB in all.")
	}
	found := g.match(g.webhooks, shown, []byte(id+"."+strconv.FormatInt(sent, 10)+"."), body)
	if found < 0 {
		return nil, refusal(CodeBadSignature, "the webhook's signature fits no caller",
			"Sign webhook-id.webhook-timestamp.body, the body byte for byte as it is sent, with a secret that this deployment knows.")
	}
	// Only who can sign learns anything of our clock.
	if age := now.Sub(time.Unix(sent, 0)); age > tolerance || age < -tolerance {
		return nil, refusal(CodeStaleTimestamp, "the webhook's timestamp is more than five minutes off",
			"Sign each attempt again, and check the sender's clock.")
	}
	return &proof{account: found, key: webhookKey(id), signed: true}, nil
}

// webhookKey is the key of a webhook's id: the id, or its hash if it is long or has characters that do not belong into a log. No key stands for
// two ids, since a hash alone has a colon.
func webhookKey(id string) string {
	if len(id) <= maxID && consistsOf(id, "-_") {
		return id
	}
	return fmt.Sprintf("webhook:%x", sha256.Sum256([]byte(id)))
}

// signaturesV1 returns the v1 signatures of a list, nil if there is none. What is none is skipped: senders may add other versions.
func signaturesV1(list string) (out [][sha256.Size]byte) {
	for entry := range strings.SplitSeq(list, " ") {
		version, rest, _ := strings.Cut(entry, ",")
		text, _, _ := strings.Cut(rest, ",")
		if signature, ok := webhook.Decode(text); version == "v1" && ok && len(signature) == sha256.Size {
			out = append(out, [sha256.Size]byte(signature))
		}
	}
	return out
}

// delivery checks the signature of GitHub's webhooks
// (https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries). The older X-Hub-Signature, of SHA-1, does
// not count.
func (g *Guard) delivery(header http.Header, body []byte) (*proof, error) {
	value, there, err := only(header, headerGitHubSignature)
	if !there || err != nil {
		return nil, err
	}
	text, found := strings.CutPrefix(value, "sha256=")
	signature, err := hex.DecodeString(text)
	if !found || err != nil || len(signature) != sha256.Size {
		return nil, malformed("the header X-Hub-Signature-256 holds no signature", "Send sha256= and 64 hexadecimal digits, as GitHub does.")
	}
	account := g.match(g.github, [][sha256.Size]byte{[sha256.Size]byte(signature)}, body)
	if account < 0 {
		return nil, refusal(CodeBadSignature, "the signature in X-Hub-Signature-256 fits no caller",
			"Give GitHub's webhook a secret that this deployment knows, and leave the body as it is on the way.")
	}
	return &proof{account: account, key: fmt.Sprintf("sha256:%x", sha256.Sum256(body)), signed: true}, nil
}

// deliveryOf is GitHub's id of a delivery for the log, empty for what is not an id.
func deliveryOf(header http.Header) string {
	id, _ := deliveryID(header, headerGitHubDelivery)
	return id
}

// deliveryID returns the first id that there is in the headers named, or none; of a webhook's id its key. What is not an id is refused: ids
// end up in logs and as idempotency keys.
func deliveryID(header http.Header, names ...string) (string, error) {
	for _, name := range names {
		value, there, err := only(header, name)
		switch {
		case err != nil:
			return "", err
		case name == headerWebhookID && strings.ContainsRune(value, utf8.RuneError): // what was no character: two ids could be taken for one
			return "", malformed("the header "+name+" is not UTF-8", "Send an id in UTF-8, best of letters and digits.")
		case name == headerWebhookID && value != "":
			return webhookKey(value), nil
		case there && !isID(value):
			return "", malformed("the header "+name+" holds no id", "An id has at most 200 letters, digits, - _ or :.")
		case there:
			return value, nil
		}
	}
	return "", nil
}

// isID reports whether a text can be the id of a delivery.
func isID(text string) bool { return len(text) > 0 && len(text) <= maxID && consistsOf(text, "-_:") }

// consistsOf reports whether there is nothing in a text but ASCII letters, digits and the others given.
func consistsOf(text, others string) bool {
	for i := range len(text) {
		c := text[i]
		letter, digit := c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9'
		if !letter && !digit && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

// only returns a header's value. One that is given twice is refused: two readers would take different ones.
func only(header http.Header, name string) (value string, there bool, err error) {
	switch values := header.Values(name); len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	return "", true, malformed("the header "+name+" is there more than once", "Send it once.")
}
