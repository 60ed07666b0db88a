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
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

// signed are the parameters of a call signed by hand; the signers add what is common to all calls unless it is given.
type signed map[string]string

// rpc calls as the Terraform provider does: an RPC signature in the query, the operation's parameters in a form.
func (b *bench) rpc(t *testing.T, p signed) (map[string]any, error) {
	t.Helper()
	return b.rpcWith(t, "secret", p)
}

func (b *bench) rpcWith(t *testing.T, secret string, p signed) (map[string]any, error) {
	t.Helper()
	query, form := url.Values{}, url.Values{}
	for name, value := range (signed{
		"Version": "2024-09-10", "Format": "json", "AccessKeyId": "key", "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0",
		"SignatureType": "", "SignatureNonce": rand.Text(), "Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05Z"),
	}) {
		query.Set(name, value)
	}
	for name, value := range p {
		switch {
		case value == "-":
			query.Del(name)
		case name == "Action" || query.Has(name):
			query.Set(name, value)
		default:
			form.Set(name, value)
		}
	}
	all := url.Values{}
	for _, values := range []url.Values{query, form} {
		for name := range values {
			all.Set(name, values.Get(name))
		}
	}
	// url.Values.Encode sorts by name; the rest is the difference between a form's encoding and RFC 3986.
	canonical := rfc3986(all.Encode())
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	fmt.Fprintf(mac, "POST&%%2F&%s", rfc3986(url.QueryEscape(canonical)))
	if !query.Has("Signature") {
		query.Set("Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return b.send(t, http.MethodPost, "/?"+query.Encode(), "application/x-www-form-urlencoded", form.Encode(), nil)
}

func rfc3986(form string) string { return strings.ReplaceAll(form, "+", "%20") }

// v3 is a call with an ACS3 signature made by hand.
type v3 struct {
	method, query, contentType, body string
	headers                          map[string]string
	unsigned                         []string
	secret                           string
}

func (b *bench) acs3(t *testing.T, c v3) (map[string]any, error) {
	t.Helper()
	sum := sha256.Sum256([]byte(c.body))
	headers := map[string]string{
		"host": b.http.Listener.Addr().String(), "x-acs-version": "2024-09-10", "x-acs-signature-nonce": rand.Text(),
		"x-acs-date": time.Now().UTC().Format("2006-01-02T15:04:05Z"), "x-acs-content-sha256": hex.EncodeToString(sum[:]),
	}
	if c.contentType != "" {
		headers["content-type"] = c.contentType
	}
	for name, value := range c.headers {
		headers[name] = value
	}
	var names []string
	for name := range headers {
		if !slices.Contains(c.unsigned, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	values, err := url.ParseQuery(c.query)
	if err != nil {
		t.Fatal(err)
	}
	canonical := c.method + "\n/\n" + rfc3986(values.Encode()) + "\n"
	for _, name := range names {
		canonical += name + ":" + headers[name] + "\n"
	}
	canonical += "\n" + strings.Join(names, ";") + "\n" + headers["x-acs-content-sha256"]
	hash := sha256.Sum256([]byte(canonical))
	secret := "secret"
	if c.secret != "" {
		secret = c.secret
	}
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "ACS3-HMAC-SHA256\n%x", hash)
	if _, given := headers["Authorization"]; !given {
		headers["Authorization"] = fmt.Sprintf("ACS3-HMAC-SHA256 Credential=key,SignedHeaders=%s,Signature=%x", strings.Join(names, ";"), mac.Sum(nil))
	}
	return b.send(t, c.method, "/?"+c.query, c.contentType, c.body, headers)
}

// send returns an answer's fields, or an error of the SDK's type.
func (b *bench) send(t *testing.T, method, target, contentType, body string, headers map[string]string) (map[string]any, error) {
	t.Helper()
	// A reader without a length makes the body chunked.
	req, err := http.NewRequestWithContext(t.Context(), method, b.http.URL+target, io.MultiReader(strings.NewReader(body)))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for name, value := range headers {
		if name != "host" {
			req.Header.Set(name, value)
		}
	}
	resp, err := b.http.Client().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var fields map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&fields); err != nil {
		return nil, err
	}
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q, want application/json", got)
	}
	if code, bad := fields["Code"].(string); bad {
		return fields, &tea.SDKError{Code: &code, StatusCode: &resp.StatusCode, Message: tea.String(fmt.Sprint(fields))}
	}
	return fields, nil
}

func wantStatus(t *testing.T, what string, err error, code string, status int) {
	t.Helper()
	want(t, what, err, code)
	if refused, ok := err.(*tea.SDKError); ok && tea.IntValue(refused.StatusCode) != status {
		t.Errorf("%s: status %d, want %d", what, tea.IntValue(refused.StatusCode), status)
	}
}

func TestSDKSignature(t *testing.T) {
	t.Run("refuses another secret and another key", func(t *testing.T) {
		b := start(t)
		address := b.http.Listener.Addr().String()
		_, err := sdk(t, address, "key", "other", "").GetErService(&esa.GetErServiceRequest{})
		wantStatus(t, "secret", err, "SignatureDoesNotMatch", 403)
		_, err = sdk(t, address, "other", "secret", "").GetErService(&esa.GetErServiceRequest{})
		wantStatus(t, "key", err, "InvalidAccessKeyId.NotFound", 404)
	})

	t.Run("accepts a security token", func(t *testing.T) {
		b := start(t)
		_, err := sdk(t, b.http.Listener.Addr().String(), "key", "secret", "token").GetErService(&esa.GetErServiceRequest{})
		want(t, "token", err, "")
	})

	t.Run("refuses a clock that is more than fifteen minutes off", func(t *testing.T) {
		b := start(t)
		b.clock.Advance(14 * time.Minute)
		_, err := b.sdk.GetErService(&esa.GetErServiceRequest{})
		want(t, "14 minutes", err, "")
		b.clock.Advance(2 * time.Minute)
		_, err = b.sdk.GetErService(&esa.GetErServiceRequest{})
		wantStatus(t, "16 minutes", err, "InvalidTimeStamp.Expired", 400)
	})
}

func TestACS3(t *testing.T) {
	action := func(name string) map[string]string { return map[string]string{"x-acs-action": name} }

	t.Run("reads parameters from query, form and JSON, with either encoding of a space", func(t *testing.T) {
		b := start(t)
		calls := []v3{
			{method: "GET", query: "Name=web-1&Description=a+b&PageNumber=&Unknown=1", headers: action("CreateRoutine")},
			{method: "GET", query: "Name=web-2&Description=a%20b&Action=CreateRoutine"},
			{method: "POST", body: "Name=web-3&Description=a+b", contentType: "application/x-www-form-urlencoded", headers: action("CreateRoutine")},
			{method: "POST", query: "Name=web-4", body: "Description=a%20b", contentType: "application/x-www-form-urlencoded; charset=utf-8", headers: action("CreateRoutine")},
			{method: "POST", body: `{"Name":"web-5","Description":"a b","HasAssets":false,"Other":null}`, contentType: "application/json; charset=utf-8", headers: action("CreateRoutine")},
		}
		for i, c := range calls {
			_, err := b.acs3(t, c)
			want(t, fmt.Sprint("call ", i+1), err, "")
			got := must[*esa.GetRoutineResponse](t)(b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String(fmt.Sprintf("web-%d", i+1))}))
			same(t, "description", tea.StringValue(got.Body.Description), "a b")
		}
	})

	t.Run("keeps all 64 bits of an id in JSON", func(t *testing.T) {
		b := start(t)
		const long = 9007199254740993
		if err := b.AddSite(esaemu.Site{ID: long, Name: "long.example"}); err != nil {
			t.Fatal(err)
		}
		want(t, "create", b.createRoutine("web"), "")
		_, err := b.acs3(t, v3{
			method: "POST", contentType: "application/json", headers: action("CreateRoutineRelatedRecord"),
			body: fmt.Sprintf(`{"Name":"web","SiteId":%d,"RecordName":"www.long.example"}`, int64(long)),
		})
		want(t, "record", err, "")
	})

	t.Run("refuses what the signature does not cover", func(t *testing.T) {
		b := start(t)
		for name, c := range map[string]struct {
			call v3
			code string
		}{
			"a wrong secret":           {v3{secret: "other"}, "SignatureDoesNotMatch"},
			"a hash of something else": {v3{headers: map[string]string{"x-acs-content-sha256": strings.Repeat("0", 64)}}, "SignatureDoesNotMatch"},
			"an unsigned action":       {v3{unsigned: []string{"x-acs-action"}}, "IncompleteSignature"},
			"an unsigned token":        {v3{headers: map[string]string{"x-acs-security-token": "token"}, unsigned: []string{"x-acs-security-token"}}, "IncompleteSignature"},
			"an unsigned host":         {v3{unsigned: []string{"host"}}, "IncompleteSignature"},
			"no signature":             {v3{headers: map[string]string{"Authorization": "ACS3-HMAC-SHA256 Credential=key,SignedHeaders=host"}}, "IncompleteSignature"},
			"another algorithm":        {v3{headers: map[string]string{"Authorization": "ACS3-HMAC-SM3 Credential=key"}}, "IncompleteSignature"},
			"another key":              {v3{headers: map[string]string{"Authorization": "ACS3-HMAC-SHA256 Credential=other,SignedHeaders=host,Signature=00"}}, "InvalidAccessKeyId.NotFound"},
			"no date":                  {v3{headers: map[string]string{"x-acs-date": ""}}, "MissingTimestamp"},
			"no nonce":                 {v3{headers: map[string]string{"x-acs-signature-nonce": ""}}, "MissingSignatureNonce"},
			"no content hash":          {v3{headers: map[string]string{"x-acs-content-sha256": ""}}, "MissingContentSha256"},
			"a date in another form":   {v3{headers: map[string]string{"x-acs-date": time.Now().UTC().Format(time.RFC1123)}}, "InvalidTimeStamp.Format"},
			"a date from the future":   {v3{headers: map[string]string{"x-acs-date": time.Now().UTC().Add(16 * time.Minute).Format("2006-01-02T15:04:05Z")}}, "InvalidTimeStamp.Expired"},
		} {
			c.call.method = "GET"
			if c.call.headers == nil {
				c.call.headers = map[string]string{}
			}
			c.call.headers["x-acs-action"] = "GetErService"
			_, err := b.acs3(t, c.call)
			want(t, name, err, c.code)
		}
		_, err := b.acs3(t, v3{method: "GET", headers: action("GetErService")})
		want(t, "nothing wrong", err, "")
		_, err = b.acs3(t, v3{method: "GET", headers: map[string]string{"x-acs-action": "GetErService", "x-acs-content-sha256": "00"}})
		if err == nil || !strings.Contains(err.Error(), "x-acs-content-sha256 is 00, the body's is e3b0c442") {
			t.Errorf("a hash of something else: %v, want it and the body's named", err)
		}
	})

	t.Run("refuses a nonce that was used", func(t *testing.T) {
		b := start(t)
		call := v3{method: "GET", headers: map[string]string{"x-acs-action": "GetErService", "x-acs-signature-nonce": "once"}}
		_, err := b.acs3(t, call)
		want(t, "first", err, "")
		_, err = b.acs3(t, call)
		wantStatus(t, "again", err, "SignatureNonceUsed", 400)
	})

	t.Run("forgets a nonce once its request would be too old", func(t *testing.T) {
		b := start(t)
		call := func(nonce string) error {
			_, err := b.acs3(t, v3{method: "GET", headers: map[string]string{
				"x-acs-action": "GetErService", "x-acs-signature-nonce": nonce,
				"x-acs-date": b.clock.Now().UTC().Format("2006-01-02T15:04:05Z"),
			}})
			return err
		}
		want(t, "first", call("once"), "")
		b.clock.Advance(31 * time.Minute)
		want(t, "another", call("twice"), "")
		want(t, "the first again", call("once"), "")
	})

	t.Run("does not let a wrong signature use up a nonce", func(t *testing.T) {
		b := start(t)
		call := v3{method: "GET", secret: "other", headers: map[string]string{"x-acs-action": "GetErService", "x-acs-signature-nonce": "once"}}
		_, err := b.acs3(t, call)
		want(t, "wrong", err, "SignatureDoesNotMatch")
		call.secret = ""
		_, err = b.acs3(t, call)
		want(t, "right", err, "")
	})

	t.Run("refuses other versions, actions, methods and paths", func(t *testing.T) {
		b := start(t)
		for name, c := range map[string]struct {
			call v3
			code string
		}{
			"version":             {v3{method: "GET", headers: map[string]string{"x-acs-action": "GetErService", "x-acs-version": "2018-01-15"}}, "InvalidVersion"},
			"action":              {v3{method: "GET", headers: action("DropEverything")}, "InvalidAction.NotFound"},
			"case of the action":  {v3{method: "GET", headers: action("getErService")}, "InvalidAction.NotFound"},
			"no action":           {v3{method: "GET"}, "MissingAction"},
			"method":              {v3{method: "PUT", headers: action("GetErService")}, "InvalidAction.NotFound"},
			"GET of a POST route": {v3{method: "GET", headers: action("CreateRoutineRoute")}, "InvalidAction.NotFound"},
			"XML":                 {v3{method: "GET", query: "Format=XML", headers: action("GetErService")}, "InvalidParameter"},
		} {
			_, err := b.acs3(t, c.call)
			want(t, name, err, c.code)
		}
		_, err := b.send(t, "GET", "/other?Action=GetErService&Version=2024-09-10", "", "", nil)
		wantStatus(t, "path", err, "InvalidAction.NotFound", 404)
	})

	t.Run("refuses bodies and queries it cannot read", func(t *testing.T) {
		b := start(t)
		for _, c := range []v3{
			{contentType: "application/json", body: `{"Name":`},
			{contentType: "application/json", body: `["web"]`},
			{contentType: "application/json", body: `{"Name":"web"} {}`},
			{contentType: "application/json", body: `{"Name":["web"]}`},
			{contentType: "application/x-www-form-urlencoded", body: "Name=%zz"},
			{contentType: "text/plain", body: "Name=web"},
			{contentType: "text/", body: "Name=web"},
			{contentType: "application/json", body: strings.Repeat(" ", 1<<20+1)},
		} {
			c.method, c.headers = "POST", action("GetRoutine")
			_, err := b.acs3(t, c)
			want(t, c.contentType+" "+c.body[:min(20, len(c.body))], err, "InvalidParameter")
		}
		_, err := b.send(t, "GET", "/?Action=GetErService&Version=2024-09-10&Name=%zz", "", "", nil)
		want(t, "query", err, "InvalidParameter")
		same(t, "calls counted", b.Faults().Count("GetRoutine"), 8)
	})
}

func TestRPCSignature(t *testing.T) {
	t.Run("accepts a call signed by hand, whatever its characters", func(t *testing.T) {
		b := start(t)
		description := "a+b *~/? &=ü\n"
		_, err := b.rpc(t, signed{"Action": "CreateRoutine", "Name": "web", "Description": description, "SecurityToken": "token"})
		want(t, "create", err, "")
		got := must[map[string]any](t)(b.rpc(t, signed{"Action": "GetRoutine", "Name": "web"}))
		same(t, "description", got["Description"], any(description))
	})

	t.Run("refuses wrong and missing parts", func(t *testing.T) {
		b := start(t)
		_, err := b.rpcWith(t, "other", signed{"Action": "GetErService"})
		wantStatus(t, "secret", err, "SignatureDoesNotMatch", 403)
		_, err = b.rpc(t, signed{"Action": "GetErService", "AccessKeyId": "other"})
		wantStatus(t, "key", err, "InvalidAccessKeyId.NotFound", 404)
		_, err = b.rpc(t, signed{"Action": "GetErService", "SignatureMethod": "HMAC-MD5"})
		wantStatus(t, "method", err, "IncompleteSignature", 400)
		_, err = b.rpc(t, signed{"Action": "GetErService", "SignatureVersion": "2.0"})
		wantStatus(t, "version", err, "IncompleteSignature", 400)
		_, err = b.rpc(t, signed{"Action": "GetErService", "Timestamp": "2020-01-01T00:00:00Z"})
		wantStatus(t, "time", err, "InvalidTimeStamp.Expired", 400)
		for _, name := range []string{"AccessKeyId", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp", "Version"} {
			_, err = b.rpc(t, signed{"Action": "GetErService", name: "-"})
			wantStatus(t, name, err, "Missing"+name, 400)
		}
	})

	t.Run("refuses a nonce that was used", func(t *testing.T) {
		b := start(t)
		call := signed{"Action": "GetErService", "SignatureNonce": "once"}
		_, err := b.rpc(t, call)
		want(t, "first", err, "")
		_, err = b.rpc(t, call)
		wantStatus(t, "again", err, "SignatureNonceUsed", 400)
	})

	t.Run("carries out the action that was signed, not the one in an unsigned header", func(t *testing.T) {
		b := start(t)
		query := url.Values{
			"Action": {"GetErService"}, "Version": {"2024-09-10"}, "AccessKeyId": {"key"}, "SignatureMethod": {"HMAC-SHA1"},
			"SignatureVersion": {"1.0"}, "SignatureNonce": {"n"}, "Timestamp": {time.Now().UTC().Format("2006-01-02T15:04:05Z")},
		}
		mac := hmac.New(sha1.New, []byte("secret&"))
		fmt.Fprintf(mac, "GET&%%2F&%s", rfc3986(url.QueryEscape(rfc3986(query.Encode()))))
		query.Set("Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		got := must[map[string]any](t)(b.send(t, "GET", "/?"+query.Encode(), "", "", map[string]string{"x-acs-action": "OpenErService"}))
		same(t, "answer", got["Status"], any("Running"))
	})
}
