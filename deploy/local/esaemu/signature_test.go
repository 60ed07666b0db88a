package esaemu_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/clock"
)

const (
	version    = "2024-09-10"
	timeLayout = "2006-01-02T15:04:05Z"
	form       = "application/x-www-form-urlencoded"
	object     = "application/json"
)

// v3 is a call that is signed by hand with ACS3-HMAC-SHA256, as esa-cli and the SDKs sign.
type v3 struct {
	method, query, contentType, body string
	// headers go over those that sign would set; those that are named in unsigned are sent and not signed.
	headers  map[string]string
	unsigned []string
	secret   string
}

// sign returns the call's headers, the signature included.
func (c v3) sign(host string, at time.Time) map[string]string {
	sum := sha256.Sum256([]byte(c.body))
	headers := map[string]string{
		"host": host, "x-acs-signature-nonce": rand.Text(),
		"x-acs-date": at.UTC().Format(timeLayout), "x-acs-content-sha256": hex.EncodeToString(sum[:]),
	}
	if c.contentType != "" {
		headers["content-type"] = c.contentType
	}
	maps.Copy(headers, c.headers)
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(headers)), func(name string) bool { return slices.Contains(c.unsigned, name) })
	values, _ := url.ParseQuery(c.query)
	canonical := c.method + "\n/\n" + canonicalQuery(values) + "\n"
	for _, name := range names {
		canonical += name + ":" + headers[name] + "\n"
	}
	canonical += "\n" + strings.Join(names, ";") + "\n" + headers["x-acs-content-sha256"]
	secret := c.secret
	if secret == "" {
		secret = "secret"
	}
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "ACS3-HMAC-SHA256\n%x", sha256.Sum256([]byte(canonical)))
	if headers["authorization"] == "" {
		headers["authorization"] = fmt.Sprintf("ACS3-HMAC-SHA256 Credential=key,SignedHeaders=%s,Signature=%x", strings.Join(names, ";"), mac.Sum(nil))
	}
	return headers
}

// canonicalQuery is what both signatures make of parameters: url.Values.Encode in order, with the space of RFC 3986.
func canonicalQuery(values url.Values) string {
	for _, several := range values {
		slices.Sort(several)
	}
	return rfc3986(values.Encode())
}

func rfc3986(form string) string { return strings.ReplaceAll(form, "+", "%20") }

// signRPC is the RPC signature of the parameters of a POST.
func signRPC(values url.Values, secret string) string {
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	fmt.Fprintf(mac, "POST&%%2F&%s", rfc3986(url.QueryEscape(canonicalQuery(values))))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// acs3 makes a call with the action in a header.
func (b *bench) acs3(t *testing.T, action string, c v3) (map[string]any, error) {
	t.Helper()
	headers := map[string]string{"x-acs-version": version}
	if action != "" {
		headers["x-acs-action"] = action
	}
	maps.Copy(headers, c.headers)
	c.headers = headers
	if c.method == "" {
		c.method = http.MethodGet
	}
	return b.send(t, c.method, "/?"+c.query, c.body, c.sign(b.http.Listener.Addr().String(), time.Now()))
}

// rpc calls as the Terraform provider does: an RPC signature in the query, the operation's parameters in a form. A given parameter replaces
// one of the protocol, and "-" leaves it out.
func (b *bench) rpc(t *testing.T, given map[string]string) (map[string]any, error) {
	t.Helper()
	query, body, secret := url.Values{}, url.Values{}, "secret"
	for name, value := range map[string]string{
		"Version": version, "Format": "json", "AccessKeyId": "key", "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0",
		"SignatureType": "", "SignatureNonce": rand.Text(), "Timestamp": time.Now().UTC().Format(timeLayout),
	} {
		query.Set(name, value)
	}
	for name, value := range given {
		switch {
		case name == "secret":
			secret = value
		case value == "-":
			query.Del(name)
		case name == "Action" || query.Has(name):
			query.Set(name, value)
		default:
			body.Set(name, value)
		}
	}
	all := maps.Clone(query)
	maps.Copy(all, body)
	if given["Signature"] != "-" {
		query.Set("Signature", signRPC(all, secret))
	}
	return b.send(t, http.MethodPost, "/?"+query.Encode(), body.Encode(), map[string]string{"content-type": form})
}

// send returns an answer's fields, or an error of the SDK's type.
func (b *bench) send(t *testing.T, method, target, body string, headers map[string]string) (map[string]any, error) {
	t.Helper()
	// A reader without a length makes the body chunked.
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, b.http.URL+target, io.MultiReader(strings.NewReader(body))))
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	req.Header.Del("Host")
	resp := must[*http.Response](t)(b.http.Client().Do(req))
	defer resp.Body.Close()
	var fields map[string]any
	do(t, json.NewDecoder(resp.Body).Decode(&fields))
	same(t, "Content-Type", resp.Header.Get("Content-Type"), object)
	if code, bad := fields["Code"].(string); bad {
		return fields, &tea.SDKError{Code: &code, StatusCode: &resp.StatusCode, Message: tea.String(fmt.Sprint(fields))}
	}
	return fields, nil
}

func TestACS3(t *testing.T) {
	t.Run("is checked in every part", func(t *testing.T) {
		b := start(t)
		set := func(name, value string) map[string]string { return map[string]string{name: value} }
		for name, c := range map[string]struct {
			call   v3
			code   string
			status int
		}{
			"nothing wrong":            {v3{}, "", 0},
			"a signed token":           {v3{headers: set("x-acs-security-token", "token")}, "", 0},
			"a wrong secret":           {v3{secret: "other"}, "SignatureDoesNotMatch", 403},
			"a hash of something else": {v3{headers: set("x-acs-content-sha256", strings.Repeat("0", 64))}, "SignatureDoesNotMatch", 403},
			"an unsigned action":       {v3{unsigned: []string{"x-acs-action"}}, "IncompleteSignature", 400},
			"an unsigned token":        {v3{headers: set("x-acs-security-token", "token"), unsigned: []string{"x-acs-security-token"}}, "IncompleteSignature", 400},
			"an unsigned host":         {v3{unsigned: []string{"host"}}, "IncompleteSignature", 400},
			"no signature":             {v3{headers: set("authorization", "ACS3-HMAC-SHA256 Credential=key,SignedHeaders=host")}, "IncompleteSignature", 400},
			"another algorithm":        {v3{headers: set("authorization", "ACS3-HMAC-SM3 Credential=key")}, "IncompleteSignature", 400},
			"another key":              {v3{headers: set("authorization", "ACS3-HMAC-SHA256 Credential=other,SignedHeaders=host,Signature=00")}, "InvalidAccessKeyId.NotFound", 404},
			"no date":                  {v3{headers: set("x-acs-date", "")}, "MissingTimestamp", 400},
			"no nonce":                 {v3{headers: set("x-acs-signature-nonce", "")}, "MissingSignatureNonce", 400},
			"no content hash":          {v3{headers: set("x-acs-content-sha256", "")}, "MissingContentSha256", 400},
			"a date in another form":   {v3{headers: set("x-acs-date", time.Now().UTC().Format(time.RFC1123))}, "InvalidTimeStamp.Format", 400},
			"a date from the future":   {v3{headers: set("x-acs-date", time.Now().UTC().Add(16*time.Minute).Format(timeLayout))}, "InvalidTimeStamp.Expired", 400},
		} {
			_, err := b.acs3(t, "GetErService", c.call)
			wantStatus(t, name, err, c.code, c.status)
		}
	})

	t.Run("is taken for fifteen minutes, and once", func(t *testing.T) {
		b := start(t)
		call := func(c v3, nonce string) error {
			c.headers = map[string]string{"x-acs-signature-nonce": nonce, "x-acs-date": b.clock.Now().UTC().Format(timeLayout)}
			_, err := b.acs3(t, "GetErService", c)
			return err
		}
		want(t, "a wrong signature uses up no nonce", call(v3{secret: "other"}, "once"), "SignatureDoesNotMatch")
		want(t, "first", call(v3{}, "once"), "")
		want(t, "again", call(v3{}, "once"), "SignatureNonceUsed")
		b.clock.Advance(14 * time.Minute)
		want(t, "the SDK, 14 minutes off", b.call("GetErService"), "")
		b.clock.Advance(2 * time.Minute)
		want(t, "the SDK, 16 minutes off", b.call("GetErService"), "InvalidTimeStamp.Expired")
		b.clock.Advance(15 * time.Minute)
		want(t, "another", call(v3{}, "twice"), "")
		want(t, "the first nonce is forgotten when its request would be too old", call(v3{}, "once"), "")
	})

	t.Run("is dated by the clock for signatures, if there is one", func(t *testing.T) {
		c := config(t.TempDir())
		c.SignatureClock = clock.System()
		b := open(t, c)
		b.clock.Advance(16 * time.Minute)
		want(t, "the SDK, while the account's clock is 16 minutes off", b.call("GetErService"), "")
	})
}

func TestRPCSignature(t *testing.T) {
	t.Run("covers every character", func(t *testing.T) {
		b := start(t)
		description := "a+b *~/? &=ü\n"
		_, err := b.rpc(t, map[string]string{"Action": "CreateRoutine", "Name": "web", "Description": description, "SecurityToken": "token"})
		want(t, "create", err, "")
		got := must[map[string]any](t)(b.rpc(t, map[string]string{"Action": "GetRoutine", "Name": "web"}))
		same(t, "description", got["Description"], any(description))
	})

	t.Run("is checked in every part", func(t *testing.T) {
		b := start(t)
		for _, c := range []struct {
			name, value, code string
			status            int
		}{
			{"secret", "other", "SignatureDoesNotMatch", 403},
			{"AccessKeyId", "other", "InvalidAccessKeyId.NotFound", 404},
			{"SignatureMethod", "HMAC-MD5", "IncompleteSignature", 400},
			{"SignatureVersion", "2.0", "IncompleteSignature", 400},
			{"AccessKeyId", "-", "MissingAccessKeyId", 400},
			{"Signature", "-", "MissingSignature", 400},
			{"SignatureNonce", "-", "MissingSignatureNonce", 400},
			{"Timestamp", "-", "MissingTimestamp", 400},
			{"Version", "-", "MissingVersion", 400},
			{"Timestamp", "now", "InvalidTimeStamp.Format", 400},
		} {
			_, err := b.rpc(t, map[string]string{"Action": "GetErService", c.name: c.value})
			wantStatus(t, c.name+" "+c.value, err, c.code, c.status)
		}
	})
}

func TestRequests(t *testing.T) {
	t.Run("have their parameters in query, form and JSON, with either encoding of a space", func(t *testing.T) {
		b := start(t)
		for i, c := range []v3{
			{query: "Name=web-0&Description=a+b&PageNumber=&Unknown=1"},
			{method: "POST", body: "Name=web-1&Description=a+b", contentType: form},
			{method: "POST", query: "Name=web-2", body: "Description=a%20b", contentType: form + "; charset=utf-8"},
			{method: "POST", body: `{"Name":"web-3","Description":"a b","HasAssets":false,"Other":null}`, contentType: object + "; charset=utf-8"},
		} {
			_, err := b.acs3(t, "CreateRoutine", c)
			want(t, fmt.Sprint("call ", i), err, "")
			got := must[*esa.GetRoutineResponse](t)(b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String(fmt.Sprint("web-", i))}))
			same(t, "description", tea.StringValue(got.Body.Description), "a b")
		}
		_, err := b.acs3(t, "", v3{query: "Action=GetErService"})
		want(t, "the action in the query", err, "")
		const long = 9007199254740993 // more than a float64 holds
		do(t, b.AddSite(site(long, "long.example")))
		_, err = b.acs3(t, "CreateRoutineRelatedRecord", v3{
			method: "POST", contentType: object, body: fmt.Sprintf(`{"Name":"web-0","SiteId":%d,"RecordName":"www.long.example"}`, int64(long)),
		})
		want(t, "all digits of an id in JSON", err, "")
	})

	t.Run("are judged by action and signature before their parameters are", func(t *testing.T) {
		b := start(t)
		for _, c := range []v3{
			{contentType: object, body: `{"Name":"web","Description":{"a":1}}`},
			{contentType: object, body: `{"Name":["web"]}`},
			{contentType: object, body: `{"Name":`},
			{contentType: object, body: `["web"]`},
			{contentType: object, body: `{"Name":"web"} {}`},
			{contentType: object, body: strings.Repeat(" ", 1<<20+1)},
			{contentType: form, body: "Name=%zz"},
			{contentType: form, body: "Name=Web"},
			{contentType: "text/plain", body: "Name=web"},
			{contentType: "text/", body: "Name=web"},
		} {
			c.method = "POST"
			what := c.contentType + " " + c.body[:min(20, len(c.body))]
			_, err := b.acs3(t, "DropEverything", c)
			wantStatus(t, what+" for an unknown action", err, "InvalidAction.NotFound", 404)
			_, err = b.acs3(t, "CreateRoutine", c)
			wantStatus(t, what, err, "InvalidParameter", 400)
			if len(c.body) < 1<<20 { // of a body that is not read the signature cannot be checked
				c.secret = "other"
				_, err = b.acs3(t, "CreateRoutine", c)
				wantStatus(t, what+" under a wrong signature", err, "SignatureDoesNotMatch", 403)
			}
		}
	})

	t.Run("need a known version, action, method and path", func(t *testing.T) {
		b := start(t)
		for name, c := range map[string]struct {
			action string
			call   v3
			code   string
		}{
			"version":             {"GetErService", v3{headers: map[string]string{"x-acs-version": "2018-01-15"}}, "InvalidVersion"},
			"case of the action":  {"getErService", v3{}, "InvalidAction.NotFound"},
			"no action":           {"", v3{}, "MissingAction"},
			"method":              {"GetErService", v3{method: "PUT"}, "InvalidAction.NotFound"},
			"GET of a POST route": {"CreateRoutineRoute", v3{}, "InvalidAction.NotFound"},
			"XML":                 {"GetErService", v3{query: "Format=XML"}, "InvalidParameter"},
		} {
			_, err := b.acs3(t, c.action, c.call)
			want(t, name, err, c.code)
		}
		_, err := b.send(t, "GET", "/other?Action=GetErService&Version="+version, "", nil)
		want(t, "path", err, "InvalidAction.NotFound")
		_, err = b.send(t, "GET", "/?Action=GetErService&Version="+version+"&Name=%zz", "", nil)
		want(t, "query", err, "InvalidParameter")
	})
}
