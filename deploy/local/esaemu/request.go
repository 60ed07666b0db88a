package esaemu

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
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
	// params are the parameters of query, form and JSON body, those of the protocol included.
	params params
}

// readRequest reads a call as far as it can: with an error the action is still known where the head of the request names it.
func readRequest(w http.ResponseWriter, r *http.Request) (*request, error) {
	req := &request{http: r, params: params{}}
	var queryErr error
	req.query, queryErr = url.ParseQuery(r.URL.RawQuery)
	req.merge(req.query)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err == nil {
		req.body = body
		err = req.readBody()
	} else {
		err = refusal(codeInvalidParameter, "body: %v", err)
	}
	req.action, req.version = r.Header.Get("X-Acs-Action"), r.Header.Get("X-Acs-Version")
	if !req.signedByHeader() {
		// The RPC signature covers the parameters only, so they win over the headers some clients repeat them in.
		req.action = cmp.Or(req.params["Action"], req.action)
		req.version = cmp.Or(req.params["Version"], req.version)
	}
	req.action = cmp.Or(req.action, req.params["Action"])
	req.version = cmp.Or(req.version, req.params["Version"])
	if queryErr != nil {
		err = refusal(codeInvalidParameter, "query: %v", queryErr)
	}
	return req, err
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
	// An id of 64 bits does not survive a float.
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return refusal(codeInvalidParameter, "body: %v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return refusal(codeInvalidParameter, "body: data after the JSON object")
	}
	for name, value := range object {
		switch value.(type) {
		case nil:
		case string, bool, json.Number:
			if text := fmt.Sprint(value); text != "" {
				r.params[name] = text
			}
		default:
			return refusal(codeInvalidParameter, "%s: want a text, a number or a boolean", name)
		}
	}
	return nil
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
