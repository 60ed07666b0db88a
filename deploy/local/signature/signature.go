// Package signature is how the local servers check who signed a request to one of the cloud's APIs: ACS3-HMAC-SHA256, which the official
// clients use, and the older RPC signature, HMAC-SHA1. It refuses what the gateway in front of the APIs refuses, in the gateway's codes. It
// knows no action and answers nothing: that is the servers' part.
package signature

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

// Request is what a signature covers.
type Request struct {
	HTTP *http.Request
	// Query is the parsed query of the request, Form its parsed body if that is a form. Only the RPC signature covers Form apart from Body.
	Query, Form url.Values
	Body        []byte
}

// Verifier checks signatures of one access key. It follows "V3 request structure and signature" for ACS3-HMAC-SHA256 and the RPC
// signature of version 1.0. Its methods are safe for concurrent use.
type Verifier struct {
	keyID, secret string
	clock         clock.Clock

	mu sync.Mutex
	// nonces holds the nonces seen with the time each may be forgotten.
	nonces map[string]time.Time
	// sweep is when to look for forgettable nonces next.
	sweep time.Time
}

// New returns a verifier of an access key. Requests are dated by the clock.
func New(keyID, secret string, c clock.Clock) *Verifier {
	return &Verifier{keyID: keyID, secret: secret, clock: c, nonces: map[string]time.Time{}, sweep: c.Now()}
}

// ByHeader reports whether a request bears an ACS3 signature rather than an RPC one.
func ByHeader(r *http.Request) bool { return r.Header.Get("Authorization") != "" }

// Verify checks the signature of a request, its age, which is at most 15 minutes either way, and that it was not seen before. It returns nil
// if all is well.
func (v *Verifier) Verify(r Request) *Refusal {
	if ByHeader(r.HTTP) {
		return v.verifyACS3(r)
	}
	return v.verifyRPC(r)
}

func (v *Verifier) verifyACS3(r Request) *Refusal {
	algorithm, fields, _ := strings.Cut(r.HTTP.Header.Get("Authorization"), " ")
	if algorithm != acs3 {
		return refuse(codeIncomplete, "Authorization: algorithm %q, want %s", algorithm, acs3)
	}
	given := map[string]string{}
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		given[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if given[name] == "" {
			return refuse(codeIncomplete, "Authorization: %s is missing", name)
		}
	}
	if given["Credential"] != v.keyID {
		return refuse(codeUnknownKey, "access key %q", given["Credential"])
	}
	signed := strings.Split(given["SignedHeaders"], ";")
	if refused := checkSigned(r.HTTP, signed); refused != nil {
		return refused
	}
	sum := sha256.Sum256(r.Body)
	hash := hex.EncodeToString(sum[:])
	if got := r.HTTP.Header.Get("X-Acs-Content-Sha256"); got != hash {
		return differs("x-acs-content-sha256 is " + got + ", the body's is " + hash)
	}
	canonical := canonicalRequest(r, signed, hash)
	sum = sha256.Sum256([]byte(canonical))
	toSign := acs3 + "\n" + hex.EncodeToString(sum[:])
	mac := hmac.New(sha256.New, []byte(v.secret))
	mac.Write([]byte(toSign))
	if !hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(given["Signature"])) {
		return differs("server string to sign is:" + toSign + ", server canonical request is:" + canonical)
	}
	return v.fresh(r.HTTP.Header.Get("X-Acs-Date"), r.HTTP.Header.Get("X-Acs-Signature-Nonce"))
}

// checkSigned makes sure that nothing of the protocol could be changed on the way: the host and every x-acs header have to be
// among the signed ones.
func checkSigned(r *http.Request, signed []string) *Refusal {
	for _, common := range []struct{ header, name string }{
		{"X-Acs-Date", "Timestamp"}, {"X-Acs-Signature-Nonce", "SignatureNonce"}, {"X-Acs-Content-Sha256", "ContentSha256"},
	} {
		if r.Header.Get(common.header) == "" {
			return Missing(common.name)
		}
	}
	if !slices.Contains(signed, "host") {
		return refuse(codeIncomplete, "SignedHeaders: host is missing")
	}
	for _, header := range slices.Sorted(maps.Keys(r.Header)) {
		name := strings.ToLower(header)
		if strings.HasPrefix(name, "x-acs-") && !slices.Contains(signed, name) {
			return refuse(codeIncomplete, "SignedHeaders: %s is missing", name)
		}
	}
	return nil
}

func canonicalRequest(r Request, signed []string, hash string) string {
	signed = slices.Sorted(slices.Values(signed))
	var headers strings.Builder
	for _, name := range signed {
		value := strings.Join(r.HTTP.Header.Values(name), ",")
		if name == "host" {
			value = r.HTTP.Host
		}
		headers.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	return strings.Join([]string{
		r.HTTP.Method, r.HTTP.URL.EscapedPath(), canonicalQuery(r.Query), headers.String(), strings.Join(signed, ";"), hash,
	}, "\n")
}

func (v *Verifier) verifyRPC(r Request) *Refusal {
	values := url.Values{}
	for _, source := range []url.Values{r.Query, r.Form} {
		for name, value := range source {
			values[name] = value
		}
	}
	for _, name := range []string{
		"AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp",
	} {
		if values.Get(name) == "" {
			return Missing(name)
		}
	}
	if values.Get("AccessKeyId") != v.keyID {
		return refuse(codeUnknownKey, "access key %q", values.Get("AccessKeyId"))
	}
	if method, version := values.Get("SignatureMethod"), values.Get("SignatureVersion"); method != "HMAC-SHA1" || version != "1.0" {
		return refuse(codeIncomplete, "SignatureMethod %q, SignatureVersion %q: want HMAC-SHA1, 1.0", method, version)
	}
	given := values.Get("Signature")
	values.Del("Signature")
	toSign := r.HTTP.Method + "&%2F&" + escape(canonicalQuery(values))
	mac := hmac.New(sha1.New, []byte(v.secret+"&"))
	mac.Write([]byte(toSign))
	if !hmac.Equal([]byte(base64.StdEncoding.EncodeToString(mac.Sum(nil))), []byte(given)) {
		return differs("server string to sign is:" + toSign)
	}
	return v.fresh(values.Get("Timestamp"), values.Get("SignatureNonce"))
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
func (v *Verifier) fresh(stamp, nonce string) *Refusal {
	at, err := time.Parse(timeLayout, stamp)
	if err != nil {
		return refuse(codeBadTime, "%q: want a time such as %s", stamp, timeLayout)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.clock.Now()
	if skew := now.Sub(at); skew > maxSkew || skew < -maxSkew {
		return refuse(codeExpired, "%s is %s from the server's time", stamp, skew)
	}
	if _, used := v.nonces[nonce]; used {
		return refuse(codeNonceUsed, "nonce %q", nonce)
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
