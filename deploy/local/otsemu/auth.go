package otsemu

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// apiVersion is the only version of the API there is.
	apiVersion = "2015-12-31"
	// maxSkew is how far a request's date may be from the machine's clock, either way.
	maxSkew = 15 * time.Minute
	// dateLayout also reads fractions of a second, of which SDKs send none to six digits.
	dateLayout = "2006-01-02T15:04:05Z"

	headerPrefix    = "x-ots-"
	headerSignature = "x-ots-signature"
)

// authenticate checks the headers of a request: date, version, key, instance, signature and the body's MD5. The date is
// compared with the machine's clock and not with Config.Clock, since callers date by theirs.
func (s *Server) authenticate(r *request) error {
	for _, name := range []string{
		"x-ots-date", "x-ots-apiversion", "x-ots-accesskeyid", "x-ots-contentmd5", "x-ots-instancename", headerSignature,
	} {
		if r.http.Header.Get(name) == "" {
			return invalid("Missing header: '%s'.", name)
		}
	}
	text := r.http.Header.Get("x-ots-date")
	date, err := time.Parse(dateLayout, text)
	switch {
	case err != nil:
		return invalid("Invalid date format: %s.", text)
	case r.http.Header.Get("x-ots-apiversion") != apiVersion:
		return invalid("Unsupported API version: %s.", r.http.Header.Get("x-ots-apiversion"))
	case time.Since(date).Abs() > maxSkew:
		return refuse(codeAuthFailed, "Mismatch between system time and x-ots-date: %s.", text)
	case r.http.Header.Get("x-ots-accesskeyid") != s.config.AccessKeyID:
		return refuse(codeAuthFailed, "The AccessKeyID does not exist.")
	case r.http.Header.Get("x-ots-instancename") != s.config.InstanceName:
		return refuse(codeAuthFailed, "The instance is not found.")
	case !hmac.Equal([]byte(s.sign(stringToSign(r.http))), []byte(r.http.Header.Get(headerSignature))):
		return refuse(codeAuthFailed, "Signature mismatch.")
	case r.http.Header.Get("x-ots-contentmd5") != contentMD5(r.body):
		return refuse(codeAuthFailed, "Mismatch between MD5 value of request body and x-ots-contentmd5 in header.")
	}
	return nil
}

// stringToSign is the path, the method, the sorted query and all x-ots headers, each on a line of its own.
func stringToSign(r *http.Request) string {
	return r.URL.Path + "\n" + r.Method + "\n" + r.URL.Query().Encode() + "\n" + canonicalHeaders(r.Header) + "\n"
}

// canonicalHeaders is the x-ots headers in the order of their names, without the signature.
func canonicalHeaders(header http.Header) string {
	var lines []string
	for name, values := range header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, headerPrefix) && name != headerSignature {
			lines = append(lines, name+":"+strings.TrimSpace(strings.Join(values, ",")))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (s *Server) sign(text string) string {
	mac := hmac.New(sha1.New, []byte(s.config.AccessKeySecret))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func contentMD5(body []byte) string {
	sum := md5.Sum(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// authorization signs an answer. SDKs other than that for Go check it.
func (s *Server) authorization(header http.Header, path string) string {
	return "OTS " + s.config.AccessKeyID + ":" + s.sign(canonicalHeaders(header)+"\n"+path)
}
