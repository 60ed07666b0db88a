package mnsemu

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxSkew is how far a request's date may be from the server's, either way.
const maxSkew = 15 * time.Minute

const (
	protocolVersion = "2015-06-06"
	headerPrefix    = "X-Mns-"
	v4Prefix        = "MNS4-HMAC-SHA256"
	v4Scope         = "/mns/aliyun_v4_request"
)

// authenticate refuses a request that this account's key did not sign. The order is the service's where the Node SDK's own tests show it:
// the key, then the signature, and only then whose account the host names.
func (s *Server) authenticate(r *request) error {
	header := r.http.Header
	authorization, dateText := header.Get("Authorization"), requestDate(header)
	switch {
	case authorization == "":
		return badRequest("MissingAuthorizationHeader", "Authorization header is required.")
	case dateText == "":
		return badRequest("MissingDateHeader", "Date header is required.")
	}
	date, err := http.ParseTime(dateText)
	if err != nil {
		return badRequest("InvalidDateHeader", "The Date header format is invalid.")
	}
	credentials, err := parseAuthorization(authorization, date)
	if err != nil {
		return err
	}
	if credentials.accessKeyID != s.config.AccessKeyID {
		return refuse(http.StatusForbidden, "InvalidAccessKeyId", "The access Id you provided does not exist.")
	}
	if !hmac.Equal([]byte(credentials.signature), []byte(s.expected(credentials, r, date))) {
		return refuse(http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	}
	if !ownHost(r.http.Host, s.config.AccountID) {
		return refuse(http.StatusForbidden, "AccessDenied",
			"The OwnerId that your Access Key Id associated to is forbidden for this operation.")
	}
	if skew := time.Since(date).Abs(); skew > maxSkew {
		return refuse(http.StatusRequestTimeout, "TimeExpired", "The http request you sent is expired: its date is off by %s.", skew.Round(time.Second))
	}
	if header.Get("X-Mns-Version") != protocolVersion {
		return badRequest("MissingVersionHeader", "x-mns-version header is required and must be %s.", protocolVersion)
	}
	return checkMD5(header.Get("Content-Md5"), r.body)
}

// requestDate is the date that counts: x-mns-date replaces Date for clients that cannot set that.
func requestDate(h http.Header) string { return cmp.Or(h.Get("X-Mns-Date"), h.Get("Date")) }

// ownHost tells whether a host like <account>.mns.<region>.aliyuncs.com names this account. Other hosts name none.
func ownHost(host, account string) bool {
	first, rest, _ := strings.Cut(host, ".")
	product, _, _ := strings.Cut(rest, ".")
	return first == account || (product != "mns" && !strings.HasPrefix(product, "mns-"))
}

// credentials are a parsed Authorization header.
type credentials struct {
	accessKeyID, signature string
	// region is set for the V4 signature only.
	region string
}

// expected is the signature the request should have.
func (s *Server) expected(c credentials, r *request, date time.Time) string {
	if c.region != "" {
		return signV4(r, s.config.AccessKeySecret, c.region, date)
	}
	return signV2(r, s.config.AccessKeySecret)
}

func parseAuthorization(header string, date time.Time) (credentials, error) {
	invalid := badRequest("InvalidAuthorizationHeader", "The Authorization header format is invalid.")
	if rest, ok := strings.CutPrefix(header, v4Prefix+" Credential="); ok {
		scope, signature, found := strings.Cut(rest, ",Signature=")
		scope, inScope := strings.CutSuffix(scope, v4Scope)
		parts := strings.Split(scope, "/")
		if !found || !inScope || len(parts) != 3 || parts[1] != date.UTC().Format("20060102") || parts[2] == "" {
			return credentials{}, invalid
		}
		return credentials{accessKeyID: parts[0], region: parts[2], signature: signature}, nil
	}
	rest, ok := strings.CutPrefix(header, "MNS ")
	id, signature, found := strings.Cut(rest, ":")
	if !ok || !found || id == "" || signature == "" {
		return credentials{}, invalid
	}
	return credentials{accessKeyID: id, signature: signature}, nil
}

// signV2 is base64(HMAC-SHA1) of the method, three headers, the x-mns- headers and the request target, byte for byte as on the
// request line, since the SDKs escape it differently.
func signV2(r *request, secret string) string {
	header := r.http.Header
	text := r.http.Method + "\n" + header.Get("Content-Md5") + "\n" + header.Get("Content-Type") + "\n" + requestDate(header) + "\n" +
		serviceHeaders(header, false) + r.http.RequestURI
	return base64.StdEncoding.EncodeToString(sum(sha1.New, []byte(secret), text))
}

// signV4 is the Java SDK's opt-in signature: hex(HMAC-SHA256) with a key derived for a day, a region and the product.
func signV4(r *request, secret, region string, date time.Time) string {
	date = date.UTC()
	day := date.Format("20060102")
	k := []byte("aliyun_v4" + secret)
	for _, part := range []string{day, region, "mns", "aliyun_v4_request"} {
		k = sum(sha256.New, k, part)
	}
	text := v4Prefix + "\n" + date.Format("20060102T150405Z") + "\n" + day + "/" + region + v4Scope + "\n" +
		r.http.Method + "\n" + v4Escape(r.path, true) + "\n" + canonicalQuery(r.query) + "\n" + serviceHeaders(r.http.Header, true) + "\n"
	return hex.EncodeToString(sum(sha256.New, k, text))
}

// sum is the HMAC of a text.
func sum(hash func() hash.Hash, key []byte, text string) []byte {
	mac := hmac.New(hash, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// serviceHeaders are the x-mns- headers as lines to sign; V4 adds the content's type and digest to them.
func serviceHeaders(h http.Header, withContent bool) string {
	var lines []string
	for name, values := range h {
		content := name == "Content-Type" || name == "Content-Md5"
		if strings.HasPrefix(name, headerPrefix) || (withContent && content) {
			lines = append(lines, strings.ToLower(name)+":"+strings.TrimSpace(strings.Join(values, ","))+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func canonicalQuery(query map[string]string) string {
	var pairs []string
	for name, value := range query {
		pair := v4Escape(name, false)
		if value != "" {
			pair += "=" + v4Escape(strings.TrimSpace(value), false)
		}
		pairs = append(pairs, pair)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// v4Escape is percent-encoding as the Java SDK does it.
func v4Escape(text string, isPath bool) string {
	escaped := strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(url.QueryEscape(text))
	if isPath {
		return strings.ReplaceAll(escaped, "%2F", "/")
	}
	return escaped
}

// checkMD5 compares the body with its digest, if one was sent. SDKs encode either the 16 bytes or their hex text.
func checkMD5(digest string, body []byte) error {
	if digest == "" {
		return nil
	}
	want := md5.Sum(body)
	sent, err := base64.StdEncoding.DecodeString(digest)
	if err == nil && (bytes.Equal(sent, want[:]) || string(sent) == hex.EncodeToString(want[:])) {
		return nil
	}
	return badRequest("InvalidDegist", "The Content-MD5 you specified is invalid.")
}
