package esaemu

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"routinely/deploy/local/clock"
)

const (
	// maxSkew is how far a request's time may be from the server's, either way.
	maxSkew = 15 * time.Minute
	// timeLayout is the only form of time both signatures know: UTC in whole seconds.
	timeLayout = "2006-01-02T15:04:05Z"

	acs3 = "ACS3-HMAC-SHA256"
)

// verifier checks who signed a request. It follows "V3 request structure and signature" for ACS3-HMAC-SHA256 and the RPC
// signature of version 1.0, HMAC-SHA1.
type verifier struct {
	keyID, secret string
	clock         clock.Clock

	mu sync.Mutex
	// nonces holds the nonces seen with the time each may be forgotten.
	nonces map[string]time.Time
	// sweep is when to look for forgettable nonces next.
	sweep time.Time
}

func newVerifier(keyID, secret string, c clock.Clock) *verifier {
	return &verifier{keyID: keyID, secret: secret, clock: c, nonces: map[string]time.Time{}, sweep: c.Now()}
}

// verify checks the signature of a request, its age and that it was not seen before.
func (v *verifier) verify(r *request) error {
	if r.signedByHeader() {
		return v.verifyACS3(r)
	}
	return v.verifyRPC(r)
}

func (v *verifier) verifyACS3(r *request) error {
	algorithm, fields, _ := strings.Cut(r.http.Header.Get("Authorization"), " ")
	if algorithm != acs3 {
		return refusal(codeIncomplete, "Authorization: algorithm %q, want %s", algorithm, acs3)
	}
	given := map[string]string{}
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		given[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if given[name] == "" {
			return refusal(codeIncomplete, "Authorization: %s is missing", name)
		}
	}
	if given["Credential"] != v.keyID {
		return refusal(codeUnknownKey, "access key %q", given["Credential"])
	}
	signed := strings.Split(given["SignedHeaders"], ";")
	if err := checkSigned(r.http, signed); err != nil {
		return err
	}
	sum := sha256.Sum256(r.body)
	hash := hex.EncodeToString(sum[:])
	if got := r.http.Header.Get("X-Acs-Content-Sha256"); got != hash {
		return badSignature("x-acs-content-sha256 is " + got + ", the body's is " + hash)
	}
	canonical := canonicalRequest(r, signed, hash)
	sum = sha256.Sum256([]byte(canonical))
	toSign := acs3 + "\n" + hex.EncodeToString(sum[:])
	mac := hmac.New(sha256.New, []byte(v.secret))
	mac.Write([]byte(toSign))
	if !hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(given["Signature"])) {
		return badSignature("server string to sign is:" + toSign + ", server canonical request is:" + canonical)
	}
	return v.fresh(r.http.Header.Get("X-Acs-Date"), r.http.Header.Get("X-Acs-Signature-Nonce"))
}

// checkSigned makes sure that nothing of the protocol could be changed on the way: the host and every x-acs header have to be
// among the signed ones.
func checkSigned(r *http.Request, signed []string) error {
	for _, common := range []struct{ header, name string }{
		{"X-Acs-Date", "Timestamp"}, {"X-Acs-Signature-Nonce", "SignatureNonce"}, {"X-Acs-Content-Sha256", "ContentSha256"},
	} {
		if r.Header.Get(common.header) == "" {
			return missing(common.name)
		}
	}
	if !slices.Contains(signed, "host") {
		return refusal(codeIncomplete, "SignedHeaders: host is missing")
	}
	for _, header := range slices.Sorted(maps.Keys(r.Header)) {
		name := strings.ToLower(header)
		if strings.HasPrefix(name, "x-acs-") && !slices.Contains(signed, name) {
			return refusal(codeIncomplete, "SignedHeaders: %s is missing", name)
		}
	}
	return nil
}

func canonicalRequest(r *request, signed []string, hash string) string {
	signed = slices.Sorted(slices.Values(signed))
	var headers strings.Builder
	for _, name := range signed {
		value := strings.Join(r.http.Header.Values(name), ",")
		if name == "host" {
			value = r.http.Host
		}
		headers.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	return strings.Join([]string{
		r.http.Method, r.http.URL.EscapedPath(), canonicalQuery(r.query), headers.String(), strings.Join(signed, ";"), hash,
	}, "\n")
}

func (v *verifier) verifyRPC(r *request) error {
	values := url.Values{}
	for _, source := range []url.Values{r.query, r.form} {
		for name, value := range source {
			values[name] = value
		}
	}
	for _, name := range []string{
		"AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp",
	} {
		if values.Get(name) == "" {
			return missing(name)
		}
	}
	if values.Get("AccessKeyId") != v.keyID {
		return refusal(codeUnknownKey, "access key %q", values.Get("AccessKeyId"))
	}
	if method, version := values.Get("SignatureMethod"), values.Get("SignatureVersion"); method != "HMAC-SHA1" || version != "1.0" {
		return refusal(codeIncomplete, "SignatureMethod %q, SignatureVersion %q: want HMAC-SHA1, 1.0", method, version)
	}
	given := values.Get("Signature")
	values.Del("Signature")
	toSign := r.http.Method + "&%2F&" + escape(canonicalQuery(values))
	mac := hmac.New(sha1.New, []byte(v.secret+"&"))
	mac.Write([]byte(toSign))
	if !hmac.Equal([]byte(base64.StdEncoding.EncodeToString(mac.Sum(nil))), []byte(given)) {
		return badSignature("server string to sign is:" + toSign)
	}
	return v.fresh(values.Get("Timestamp"), values.Get("SignatureNonce"))
}

func badSignature(detail string) *apiError {
	err := refusal(codeBadSignature, "")
	err.message += " " + detail
	return err
}

// canonicalQuery lists parameters by name and value as both signatures want them.
func canonicalQuery(values url.Values) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range slices.Sorted(slices.Values(values[name])) {
			pairs = append(pairs, escape(name)+"="+escape(value))
		}
	}
	return strings.Join(pairs, "&")
}

// escape is RFC 3986 percent-encoding. Go's encoding of a form differs from it in the space only.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// fresh refuses a request that is too old, from the future, or seen before.
func (v *verifier) fresh(stamp, nonce string) error {
	at, err := time.Parse(timeLayout, stamp)
	if err != nil {
		return refusal(codeBadTime, "%q: want a time such as %s", stamp, timeLayout)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.clock.Now()
	if skew := now.Sub(at); skew > maxSkew || skew < -maxSkew {
		return refusal(codeExpired, "%s is %s from the server's time", stamp, skew)
	}
	if _, used := v.nonces[nonce]; used {
		return refusal(codeNonceUsed, "nonce %q", nonce)
	}
	v.nonces[nonce] = at.Add(maxSkew)
	if now.After(v.sweep) {
		v.sweep = now.Add(maxSkew)
		for seen, until := range v.nonces {
			if now.After(until) {
				delete(v.nonces, seen)
			}
		}
	}
	return nil
}
