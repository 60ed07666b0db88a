package esaemu

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"

	"routinely/deploy/local/faults"
)

// bucketPath is where the bucket is that code is uploaded to. The cloud's is a host of its own; its root takes the form.
const bucketPath = "/routine-code/"

// postObject is the action of an upload, for fault rules and the call log.
const postObject = "PostObject"

const (
	// policyTime is for how long an upload is allowed. The cloud's time is not documented; a user saw five minutes.
	policyTime = 5 * time.Minute
	// maxCode and maxAssets bound uploads, in bytes, as an official guide does.
	maxCode   = 5 << 20
	maxAssets = 25 << 20
	// maxField bounds each of the other fields of the form, in bytes.
	maxField = 16 << 10
)

// upload is what lies in a routine's one place for code. The next upload takes its place; a commit leaves it there: whether the cloud does is not known.
type upload struct {
	Code []byte `json:"code"`
}

// policy is the document that an upload is allowed by.
type policy struct {
	Expiration time.Time `json:"expiration"`
	Conditions []any     `json:"conditions"`
}

// condition is one of a policy's: a field has to have a value.
func condition(field, value string) []any { return []any{"eq", "$" + field, value} }

// postConfig is what a client needs for an upload. Its callback is where the cloud's storage tells that it has the code.
type postConfig struct {
	url, key, policy, signature, keyID, token string
}

func (s *Server) newPostConfig(origin, key string, limit int64, needsToken bool) postConfig {
	raw, _ := json.Marshal(policy{ // it has nothing that JSON does not have
		Expiration: s.now().Add(policyTime).Truncate(time.Second),
		Conditions: []any{condition("key", key), []any{"content-length-range", 1, limit}},
	})
	c := postConfig{url: origin + bucketPath, key: key, policy: base64.StdEncoding.EncodeToString(raw), keyID: s.ossKeyID()}
	c.signature = s.signPolicy(c.policy)
	if needsToken {
		c.token = s.ossToken()
	}
	return c
}

// The key that policies are signed with is the account's own, and not the one that its callers have.
func (s *Server) ossSecret() []byte {
	sum := sha256.Sum256([]byte("storage of code of account " + s.accountID))
	return sum[:]
}

func (s *Server) ossKeyID() string { return "STS.local" + hex.EncodeToString(s.ossSecret()[:8]) }

func (s *Server) ossToken() string { return base64.StdEncoding.EncodeToString(s.ossSecret()[8:24]) }

func (s *Server) signPolicy(text string) string {
	mac := hmac.New(sha1.New, s.ossSecret())
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// codeKey is where the JavaScript of a routine lies, and assetsKey a version's archive.
func (s *Server) codeKey(name string) string {
	return "sp_esa_rwa/" + s.accountID + "/" + name + "/unstable/routine/index.js"
}

func (s *Server) assetsKey(name, version string) string {
	return "sp_esa_rwa/" + s.accountID + "/" + name + "/" + version + "/assets.zip"
}

// target is the routine, and the version if it is one with assets, that a key belongs to.
func (s *Server) target(key string) (name, version string, found bool) {
	parts := strings.SplitN(strings.TrimPrefix(key, "sp_esa_rwa/"+s.accountID+"/"), "/", 3)
	switch {
	case len(parts) != 3:
		return "", "", false
	case key == s.codeKey(parts[0]):
		return parts[0], "", true
	}
	return parts[0], parts[1], key == s.assetsKey(parts[0], parts[1])
}

// getUploadInfo names a version that nothing else knows, as the cloud does.
func (s *Server) getUploadInfo(p *params) step {
	description := p.values["CodeDescription"]
	quoted, _ := json.Marshal(description)
	callback, _ := json.Marshal(map[string]string{"callbackUrl": "http://er.local/callback", "callbackBody": "object=${object}"})
	return withRoutine(p, func(t *tx, r Routine) answer {
		c := s.newPostConfig(p.origin, s.codeKey(r.Name), maxCode, t.writable().UploadToken)
		return answer{
			"CodeVersion": strconv.FormatInt(s.now().UnixNano(), 10),
			"OssPostConfig": answer{
				"Url": c.url, "OSSAccessKeyId": c.keyID, "key": c.key, "policy": c.policy, "Signature": c.signature, "XOssSecurityToken": c.token,
				"callback":          base64.StdEncoding.EncodeToString(callback),
				"x:codeDescription": base64.StdEncoding.EncodeToString(quoted),
			},
		}
	})
}

// commitUpload makes a version of what was uploaded last, by whomever. Without an upload the closest of the documented codes is that of a bad parameter.
func (s *Server) commitUpload(p *params) step {
	description := p.values["CodeDescription"]
	return withRoutine(p, func(t *tx, r Routine) answer {
		t.writable()
		u, found := get[upload](t, bucketUploads, []byte(r.Name))
		if !found {
			t.refuse(codeInvalidParameter, "no code was uploaded for routine %q", r.Name)
		}
		v := t.addVersion(r.Name, Version{CodeDescription: description, Status: versionAvailable, Code: u.Code}, s.now())
		return answer{"CodeVersion": v.CodeVersion}
	})
}

// createAssetsVersion makes a version that waits for its archive.
func (s *Server) createAssetsVersion(p *params) step {
	v := Version{
		CodeDescription: p.values["CodeDescription"], Status: versionInit, HasAssets: true,
		ExtraInfo: p.json("ExtraInfo"), ConfOptions: p.json("ConfOptions"), BuildID: p.number("BuildId", 0, 0, 1<<62),
	}
	return withRoutine(p, func(t *tx, r Routine) answer {
		t.writable()
		v := t.addVersion(r.Name, v, s.now())
		c := s.newPostConfig(p.origin, s.assetsKey(r.Name, v.CodeVersion), maxAssets, true)
		return answer{
			"CodeVersion": v.CodeVersion, "Status": v.Status,
			"OssPostConfig": answer{
				"Url": c.url, "OSSAccessKeyId": c.keyID, "Key": c.key, "Policy": c.policy, "Signature": c.signature, "XOssSecurityToken": c.token,
			},
		}
	})
}

// json reads an optional parameter that is a JSON text.
func (p *params) json(name string) string {
	if text := p.values[name]; text != "" && !json.Valid([]byte(text)) {
		p.refuse(codeInvalidParameter, "%s: is no JSON", name)
	}
	return p.values[name]
}

// ossError is an answer of the storage that refuses an upload.
type ossError struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string   `xml:"Code"`
	Message   string   `xml:"Message"`
	RequestID string   `xml:"RequestId"`
	status    int
}

func (e *ossError) Error() string { return e.Code + ": " + e.Message }

func ossRefusal(status int, code, format string, args ...any) error {
	return &ossError{Code: code, Message: fmt.Sprintf(format, args...), status: status}
}

func malformed(format string, args ...any) error {
	return ossRefusal(http.StatusBadRequest, "MalformedPOSTRequest", format, args...)
}

func denied(format string, args ...any) error {
	return ossRefusal(http.StatusForbidden, "AccessDenied", "Invalid according to Policy: "+format, args...)
}

// serveUpload answers a form that is posted to the bucket.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	form, err := readUpload(w, r)
	refuse := func(w http.ResponseWriter, status int, code, message string) {
		writeOSSError(w, &ossError{Code: code, Message: message, status: status})
	}
	call := faults.Call{Action: postObject, Params: map[string]string{"key": form.fields["key"]}}
	s.faults.Serve(w, r, call, s.now, func(w http.ResponseWriter) {
		if err == nil {
			err = s.keep(form)
		}
		if err != nil {
			writeOSSError(w, err)
			return
		}
		w.Header().Set("X-Oss-Request-Id", newRequestID())
		switch {
		case form.fields["callback"] != "":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"Status":"OK"}`)
		case form.fields["success_action_status"] == "200", form.fields["success_action_status"] == "201":
			status, _ := strconv.Atoi(form.fields["success_action_status"])
			w.WriteHeader(status)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}, refuse)
}

func writeOSSError(w http.ResponseWriter, err error) {
	var refused *ossError
	if !errors.As(err, &refused) {
		refused = &ossError{Code: "InternalError", Message: err.Error(), status: http.StatusInternalServerError}
	}
	faults.NoteCode(w, refused.Code)
	refused.RequestID = newRequestID()
	w.Header().Set("X-Oss-Request-Id", refused.RequestID)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(refused.status)
	_ = xml.NewEncoder(w).Encode(refused)
}

// uploadForm is what was posted: the fields before the file, and the file. What comes behind it is not read.
type uploadForm struct {
	fields map[string]string
	file   []byte
}

// readUpload reads a form as far as it can.
func readUpload(w http.ResponseWriter, r *http.Request) (form uploadForm, err error) {
	form.fields = map[string]string{}
	if r.Method != http.MethodPost || r.URL.Path != bucketPath {
		return form, ossRefusal(http.StatusMethodNotAllowed, "MethodNotAllowed", "%s %s: forms are posted to the root of the bucket", r.Method, r.URL.Path)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxAssets+(1<<20))
	parts, err := r.MultipartReader()
	if err != nil {
		return form, malformed("%v", err)
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return form, malformed("the form has no field file")
		}
		if err != nil {
			return form, malformed("%v", err)
		}
		if part.FormName() == "file" {
			form.file, err = io.ReadAll(part)
			return form, err
		}
		if err := form.add(part); err != nil {
			return form, err
		}
	}
}

// add reads a field. The description may be in any case: an official client has it in small letters.
func (f *uploadForm) add(part *multipart.Part) error {
	value, err := io.ReadAll(io.LimitReader(part, maxField+1))
	if err != nil || len(value) > maxField {
		return malformed("field %q: %d bytes, at most %d", part.FormName(), len(value), maxField)
	}
	name := part.FormName()
	if strings.EqualFold(name, "x:codeDescription") {
		name = "x:codeDescription"
	}
	f.fields[name] = string(value)
	return nil
}

// keep checks a form against the policy in it, and keeps the file.
func (s *Server) keep(f uploadForm) error {
	for _, name := range []string{"OSSAccessKeyId", "policy", "Signature", "key"} {
		if f.fields[name] == "" {
			return ossRefusal(http.StatusForbidden, "AccessDenied", "the form has no field %s before the file", name)
		}
	}
	switch {
	case f.fields["OSSAccessKeyId"] != s.ossKeyID():
		return ossRefusal(http.StatusForbidden, "InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist in our records.")
	case !hmac.Equal([]byte(f.fields["Signature"]), []byte(s.signPolicy(f.fields["policy"]))):
		return ossRefusal(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
	}
	name, version, err := s.allowed(f)
	if err != nil {
		return err
	}
	return s.store.update(func(t *tx) {
		t.routine(name)
		if token := f.fields["x-oss-security-token"]; (version != "" || t.standing().UploadToken) && token != s.ossToken() {
			t.fail(ossRefusal(http.StatusForbidden, "InvalidAccessKeyId", "the form has no valid x-oss-security-token"))
		}
		if version == "" {
			t.put(bucketUploads, []byte(name), upload{f.file})
			return
		}
		v := t.version(name, version)
		v.Code, v.Status = f.file, versionAvailable
		t.put(bucketVersions, versionKey(name, version), v)
	})
}

// allowed asks the policy of a form, whose signature was accepted.
func (s *Server) allowed(f uploadForm) (name, version string, err error) {
	raw, err := base64.StdEncoding.DecodeString(f.fields["policy"])
	var p policy
	if err = cmp.Or(err, json.Unmarshal(raw, &p)); err != nil {
		return "", "", ossRefusal(http.StatusBadRequest, "InvalidPolicyDocument", "%v", err)
	}
	if !s.now().Before(p.Expiration) {
		return "", "", denied("Policy expired.")
	}
	key := f.fields["key"]
	name, version, found := s.target(key)
	if want, _ := json.Marshal(condition("key", key)); !found || !strings.Contains(string(raw), string(want)) {
		return "", "", denied(`Policy Condition failed: ["eq", "$key", ...]`)
	}
	limit := maxCode
	if version != "" {
		limit = maxAssets
	}
	switch {
	case len(f.file) == 0:
		return "", "", ossRefusal(http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size.")
	case len(f.file) > limit:
		return "", "", ossRefusal(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
	}
	return name, version, nil
}
