package management

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// algorithm is the only signature that is known here, that of the official clients.
const algorithm = "ACS3-HMAC-SHA256"

// verify checks who signed a request, and that the signature covers the host, the body and everything of the protocol.
func (s *Server) verify(r *http.Request, body []byte) *refusal {
	name, fields, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := map[string]string{}
	for field := range strings.SplitSeq(fields, ",") {
		key, value, _ := strings.Cut(field, "=")
		given[key] = value
	}
	signed := strings.Split(given["SignedHeaders"], ";")
	switch {
	case name != algorithm:
		return refuse(http.StatusBadRequest, "IncompleteSignature", "algorithm %q", name)
	case given["Credential"] != s.KeyID:
		return refuse(http.StatusNotFound, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
	case r.Header.Get("X-Acs-Content-Sha256") != hash(string(body)):
		return refuse(http.StatusBadRequest, "SignatureDoesNotMatch", "the body's hash differs")
	}
	for _, header := range []string{"host", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256", "x-acs-action", "x-acs-version"} {
		if !slices.Contains(signed, header) {
			return refuse(http.StatusBadRequest, "IncompleteSignature", "%s is not signed", header)
		}
	}
	mac := hmac.New(sha256.New, []byte(s.KeySecret))
	mac.Write([]byte(algorithm + "\n" + hash(canonical(r, signed))))
	if !hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(given["Signature"])) {
		return refuse(http.StatusBadRequest, "SignatureDoesNotMatch", "Specified signature does not match our calculation.")
	}
	return nil
}

// canonical is what was signed of a request.
func canonical(r *http.Request, signed []string) string {
	var headers strings.Builder
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		headers.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	return strings.Join([]string{
		r.Method, r.URL.EscapedPath(), query(r.URL.Query()), headers.String(), strings.Join(signed, ";"), r.Header.Get("X-Acs-Content-Sha256"),
	}, "\n")
}

// query is a query in the order of names, with RFC 3986's escapes.
func query(values url.Values) string { return strings.ReplaceAll(values.Encode(), "+", "%20") }

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
