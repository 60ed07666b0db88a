package esaemu

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// bodyLimit is the largest body read, in bytes.
const bodyLimit = 1 << 20

// request is an API call as official clients send it: the Go and Node SDKs name the action in a header, Terraform and
// aliyun-cli in the query; parameters are in the query, in a form or in a JSON object, and several of these at once.
type request struct {
	http *http.Request
	body []byte
	// query and form are as sent: what the RPC signature covers.
	query, form url.Values
	action      string
	version     string
	// params are the parameters of query, form and JSON body, those of the protocol included. Of objects and arrays they hold the
	// JSON text; nested are the names of those, sorted.
	params params
	nested []string
	// unread is why not even the signature can be judged, malformed what is wrong with a body that it covers.
	unread, malformed error
}

// readRequest reads a call as far as it can: the action is known even of a body that cannot be read, where the head of the request
// names it.
func readRequest(w http.ResponseWriter, r *http.Request) *request {
	req := &request{http: r, params: params{}}
	var err error
	if req.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		req.unread = refusal(codeInvalidParameter, "query: %v", err)
	}
	req.merge(req.query)
	if req.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit)); err != nil {
		req.unread = refusal(codeInvalidParameter, "body: %v", err)
	} else {
		req.malformed = req.readBody()
	}
	req.action, req.version = r.Header.Get("X-Acs-Action"), r.Header.Get("X-Acs-Version")
	if !req.signedByHeader() {
		// The RPC signature covers the parameters only, so they win over the headers some clients repeat them in.
		req.action = cmp.Or(req.params["Action"], req.action)
		req.version = cmp.Or(req.params["Version"], req.version)
	}
	req.action = cmp.Or(req.action, req.params["Action"])
	req.version = cmp.Or(req.version, req.params["Version"])
	return req
}

// check refuses a body that makes no sense for the operation.
func (r *request) check(o operation) error {
	if r.malformed != nil {
		return r.malformed
	}
	for _, name := range r.nested {
		if !slices.Contains(o.nested, name) {
			return refusal(codeInvalidParameter, "%s: want a text, a number or a boolean", name)
		}
	}
	return nil
}

// signedByHeader reports whether the call bears an ACS3 signature rather than an RPC one.
func (r *request) signedByHeader() bool { return r.http.Header.Get("Authorization") != "" }

func (r *request) merge(values url.Values) {
	for name := range values {
		if value := values.Get(name); value != "" {
			r.params[name] = value
		}
	}
}

func (r *request) readBody() error {
	if len(r.body) == 0 {
		return nil
	}
	kind, _, err := mime.ParseMediaType(cmp.Or(r.http.Header.Get("Content-Type"), "application/x-www-form-urlencoded"))
	switch {
	case err != nil:
		return refusal(codeInvalidParameter, "Content-Type: %v", err)
	case kind == "application/json":
		return r.readJSON()
	case kind == "application/x-www-form-urlencoded":
		if r.form, err = url.ParseQuery(string(r.body)); err != nil {
			return refusal(codeInvalidParameter, "form: %v", err)
		}
		r.merge(r.form)
		return nil
	}
	return refusal(codeInvalidParameter, "Content-Type %s: want a form or JSON", kind)
}

func (r *request) readJSON() error {
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	var object map[string]json.RawMessage
	if err := decoder.Decode(&object); err != nil {
		return refusal(codeInvalidParameter, "body: %v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return refusal(codeInvalidParameter, "body: data after the JSON object")
	}
	for name, raw := range object {
		text, nested := textOfJSON(raw)
		if nested {
			r.nested = append(r.nested, name)
		}
		if text != "" {
			r.params[name] = text
		}
	}
	slices.Sort(r.nested)
	return nil
}

// textOfJSON is a value as a parameter: a text without its quotes, a number with all its digits, nothing for null, and the JSON text of
// an object or array, which nested reports.
func textOfJSON(raw json.RawMessage) (text string, nested bool) {
	switch raw[0] {
	case 'n':
		return "", false
	case '"':
		_ = json.Unmarshal(raw, &text) // it was decoded before
		return text, false
	case '{', '[':
		var compact bytes.Buffer
		_ = json.Compact(&compact, raw)
		return compact.String(), true
	}
	return string(raw), false
}

// shown are the parameters for the call log and for fault rules: those of the operation, without the long Description.
func (r *request) shown() map[string]string {
	out := maps.Clone(r.params)
	for name := range out {
		if isCommon(name) || name == "Description" {
			delete(out, name)
		}
	}
	return out
}

// isCommon tells the parameters every RPC call has from an operation's own.
func isCommon(name string) bool {
	switch name {
	case "Action", "Version", "Format", "AccessKeyId", "Timestamp", "SecurityToken", "RegionId":
		return true
	}
	return strings.HasPrefix(name, "Signature")
}
