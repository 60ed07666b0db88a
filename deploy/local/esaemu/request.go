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

	"routinely/deploy/local/signature"
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
	// values are the parameters of query, form and JSON body, those of the protocol included.
	values map[string]string
	// unread is why not even the signature can be judged, malformed what is wrong with a body that it covers.
	unread, malformed error
}

// readRequest reads a call as far as it can: the action is known even of a body that cannot be read, where the head of the request
// names it.
func readRequest(w http.ResponseWriter, r *http.Request) *request {
	req := &request{http: r, values: map[string]string{}}
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
	req.action, req.version = req.named("X-Acs-Action", "Action"), req.named("X-Acs-Version", "Version")
	return req
}

// named is a value of the protocol from a header or a parameter. The RPC signature covers the parameters only, so they win over the headers
// in which some clients repeat them.
func (r *request) named(header, parameter string) string {
	if signature.ByHeader(r.http) {
		return cmp.Or(r.http.Header.Get(header), r.values[parameter])
	}
	return cmp.Or(r.values[parameter], r.http.Header.Get(header))
}

// origin is the scheme and host that the client called.
func (r *request) origin() string {
	if r.http.TLS != nil {
		return "https://" + r.http.Host
	}
	return "http://" + r.http.Host
}

func (r *request) merge(values url.Values) {
	for name := range values {
		r.set(name, values.Get(name))
	}
}

func (r *request) set(name, value string) {
	if value != "" {
		r.values[name] = value
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
	var malformed error
	for _, name := range slices.Sorted(maps.Keys(object)) {
		switch raw := object[name]; raw[0] {
		case 'n': // null is absent
		case '{', '[':
			if name == "CodeVersions" || name == "ConfOptions" { // the SDKs send these as JSON texts, the official CLI as they are
				r.set(name, string(raw))
				continue
			}
			malformed = cmp.Or(malformed, error(refusal(codeInvalidParameter, "%s: want a text, a number or a boolean", name)))
		case '"':
			var text string
			_ = json.Unmarshal(raw, &text) // it was decoded before
			r.set(name, text)
		default: // a number with all its digits, or a boolean
			r.set(name, string(raw))
		}
	}
	return malformed
}

// shown are the parameters for the call log and for fault rules: those of the operation, without the long Description.
func (r *request) shown() map[string]string {
	out := maps.Clone(r.values)
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
