package esaemu_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
)

// morning is when the fuzzed requests are signed, so that a corpus can hold their signatures.
var morning = time.Date(2026, 1, 15, 6, 28, 17, 0, time.UTC)

// startAt is a server whose time stands still.
func startAt(f *testing.F) *esaemu.Server {
	f.Helper()
	c := config(f.TempDir())
	c.Clock = clock.NewManual(morning)
	server, err := esaemu.New(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = server.Close() })
	return server
}

// post is a request to the handler itself; the answer is JSON and no fault of the server's.
func post(t *testing.T, server *esaemu.Server, query, body string, header map[string]string) (status int, code string) {
	t.Helper()
	r := &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/", RawQuery: query}, Host: "esa.local", Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	for name, value := range header {
		if value != "" && name != "host" {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	var answer struct{ RequestId, Code, Message string }
	err := json.Unmarshal(w.Body.Bytes(), &answer)
	if err != nil || answer.RequestId == "" || (answer.Code == "") != (w.Code == http.StatusOK) || w.Code >= http.StatusInternalServerError {
		t.Fatalf("%v: %d %s", err, w.Code, w.Body)
	}
	return w.Code, answer.Code
}

// signAs signs a POST of the morning.
func signAs(query, body, nonce string) map[string]string {
	return v3{method: http.MethodPost, query: query, body: body, headers: map[string]string{"x-acs-signature-nonce": nonce}}.sign("esa.local", morning)
}

// FuzzParameters asserts that every call that is signed is carried out or refused as the caller's mistake.
func FuzzParameters(f *testing.F) {
	server, n := startAt(f), 0
	for _, seed := range [][3]string{
		{"Action=CreateRoutine&Version=2024-09-10", form, "Name=web-1&Description=a+b"},
		{"Action=CreateRoutineRelatedRecord&Version=2024-09-10&Name=web-1", form, "SiteId=54362329990032&RecordName=web-1.example.com"},
		{"Action=ListRoutineRelatedRecords&Version=2024-09-10", object, `{"Name":"web-1","PageNumber":1,"PageSize":50,"SearchKeyWord":"w"}`},
		{"Action=CreateRoutineRoute&Version=2024-09-10", form, "SiteId=54362329990032&RoutineName=web-1&RouteEnable=on&Rule=true&Bypass=off"},
		{"Action=ListUserRoutines&Version=2024-09-10&PageNumber=&PageSize=20", "", ""},
		{"Action=GetMatchSite&Version=2024-09-10&Format=json", form, "RecordName=a.example.com"},
		{"Action=DeleteRoutineRelatedRecord&Version=2024-09-10&RecordId=1", form, "Name=web-1&RecordName=web-1.example.com&SiteId=54362329990032"},
		{"Action=GetRoutine&Action=DeleteRoutine&Version=2024-09-10;", form, "%zz"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, query, contentType, body string) {
		n++
		header := signAs(query, body, fmt.Sprint("nonce-", n))
		header["content-type"] = contentType
		status, code := post(t, server, query, body, header)
		if _, err := url.ParseQuery(query); err == nil && status == http.StatusForbidden {
			t.Fatalf("a right signature is refused: %d %s", status, code)
		}
	})
}

// FuzzAuthorization asserts that nobody gets in without the signature of the very request, and with it once.
func FuzzAuthorization(f *testing.F) {
	server := startAt(f)
	const query, version = "Action=GetErService", "&Version=2024-09-10"
	h := signAs(query+version, "", "n1")
	f.Add(query+version, h["authorization"], h["x-acs-date"], h["x-acs-signature-nonce"], h["x-acs-content-sha256"])
	f.Add(query+version, "ACS3-HMAC-SHA256 Credential=key,SignedHeaders=,Signature=0", "2026-01-15T06:28:17Z", "n2", "")
	rpc := query + "&AccessKeyId=key&SignatureMethod=HMAC-SHA1&SignatureNonce=n3&SignatureVersion=1.0&Timestamp=2026-01-15T06%3A28%3A17Z" + version
	values, _ := url.ParseQuery(rpc)
	f.Add(rpc+"&Signature="+url.QueryEscape(signRPC(values, "secret")), "", "", "", "")
	f.Add(query+"&SignatureMethod=HMAC-SHA1", "", "", "n4", "")
	used := map[string]bool{}
	f.Fuzz(func(t *testing.T, query, authorization, date, nonce, hash string) {
		status, code := post(t, server, query, "", map[string]string{
			"Authorization": authorization, "X-Acs-Date": date, "X-Acs-Signature-Nonce": nonce, "X-Acs-Content-Sha256": hash,
		})
		refused := code == "SignatureNonceUsed" || strings.HasPrefix(code, "InvalidTimeStamp")
		if status != http.StatusOK && !refused {
			return
		}
		values, _ := url.ParseQuery(query)
		given := values.Get("Signature")
		if authorization == "" {
			nonce = values.Get("SignatureNonce")
			values.Del("Signature")
			if given != signRPC(values, "secret") {
				t.Fatalf("let in with %q", given)
			}
		} else if _, mine, _ := strings.Cut(signAs(query, "", nonce)["authorization"], "Signature="); !refused && !strings.Contains(authorization, mine) {
			t.Fatalf("let in with %q, want %s", authorization, mine)
		}
		if status == http.StatusOK && used[nonce] {
			t.Fatalf("nonce %q was used", nonce)
		}
		used[nonce] = true
	})
}
