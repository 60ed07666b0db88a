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
	// apiVersion is the only version of the API.
	apiVersion = "2015-12-31"
	// maxSkew is how far a request's date may be from the machine's clock, either way.
	maxSkew = 15 * time.Minute
	// dateLayout also reads fractions of a second.
	dateLayout = "2006-01-02T15:04:05Z"

	headerPrefix    = "x-ots-"
	headerSignature = "x-ots-signature"
)

// authenticate checks the headers of a request: date, version, key, instance, signature and the body's MD5. It compares the date with
// the machine's clock and not with Config.Clock, because callers take theirs from the machine.
func (s *Server) authenticate(r *request) error {
	get := r.http.Header.Get
	for _, name := range []string{
		"x-ots-date", "x-ots-apiversion", "x-ots-accesskeyid", "x-ots-contentmd5", "x-ots-instancename", headerSignature,
	} {
		if get(name) == "" {
			return invalid("Missing header: '%s'.", name)
		}
	}
	date, err := time.Parse(dateLayout, get("x-ots-date"))
	switch {
	case err != nil:
		return invalid("Invalid date format: %s.", get("x-ots-date"))
	case get("x-ots-apiversion") != apiVersion:
		return invalid("Unsupported API version: %s.", get("x-ots-apiversion"))
	case time.Since(date).Abs() > maxSkew:
		return denied("Mismatch between system time and x-ots-date: " + get("x-ots-date") + ".")
	case get("x-ots-accesskeyid") != s.config.AccessKeyID:
		return denied("The AccessKeyID does not exist.")
	case get("x-ots-instancename") != s.config.InstanceName:
		return denied("The instance is not found.")
	case !hmac.Equal([]byte(s.signature(r.http)), []byte(get(headerSignature))):
		return denied("Signature mismatch.")
	case get("x-ots-contentmd5") != contentMD5(r.body):
		return denied("Mismatch between MD5 value of request body and x-ots-contentmd5 in header.")
	}
	return nil
}

// signature signs the path, the method, the sorted query and the x-ots headers, each on a line of its own.
func (s *Server) signature(r *http.Request) string {
	return s.sign(r.URL.Path + "\n" + r.Method + "\n" + r.URL.Query().Encode() + "\n" + signedHeaders(r.Header))
}

// signedHeaders is the x-ots headers but the signature, in the order of their names, each on a line of its own.
func signedHeaders(header http.Header) string {
	var lines []string
	for name, values := range header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, headerPrefix) && name != headerSignature {
			lines = append(lines, name+":"+strings.TrimSpace(strings.Join(values, ","))+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
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
