package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Secrets of the stack that is run for this test; the last is what the local platform gives the functions.
const (
	bearerToken    = "rtly_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	webhookSecret  = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	githubSecret   = "a secret of GitHub for this test"
	callbackSecret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	sessionToken   = "local-security-token"
)

// callAs makes a call with the header Authorization and returns status and answer.
func callAs(t *testing.T, method, url, authorization, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", authorization)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, fmt.Sprint(res.Header, string(answer))
}

func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte(bearerToken))
	auth := fmt.Sprintf(
		`ROUTINELY_AUTH={"callers":[{"name":"ops","scopes":["submit","read","operate"],"tokens":["sha256:%s"],"webhookSecrets":["whsec_%s"],"githubSecrets":[%q]}]}`,
		hex.EncodeToString(hash[:]), webhookSecret, githubSecret)
	dir := t.TempDir()
	a := begun(startWith(t, []string{auth, "ROUTINELY_CALLBACK_SECRETS=whsec_" + callbackSecret}, "run", dir, onFreePorts...))
	var written bytes.Buffer
	call := func(method, path, authorization, body string, want int) {
		t.Helper()
		status, answer := callAs(t, method, a.http+path, authorization, body)
		if status != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, status, answer, want)
		}
		written.WriteString(answer)
	}
	const good = `{"name":"hidden","siteId":54362329990032,"recordName":"hidden.example.com"}`
	// The receiver is a port that nobody listens at, so that the callback fails too.
	call("POST", "/v1/routines", "Bearer "+bearerToken, strings.Replace(good, "}", `,"callbackUrl":"http://127.0.0.1:1025/"}`, 1), 202)
	a.await(`job succeeded`)
	a.await(`callback again`)
	call("POST", "/v1/routines", "Bearer "+bearerToken, strings.Replace(good, "54362329990032", "1", 1), 202)
	a.await(`job dead-lettered`)
	call("POST", "/v1/routines", "Bearer "+bearerToken+"x", good, 401)
	call("POST", "/v1/routines", "Basic "+webhookSecret, good, 401)
	call("POST", "/v1/routines", "Bearer "+bearerToken, `{"name":"`, 400)
	call("GET", "/v1/jobs", "Bearer "+bearerToken, "", 200)
	call("GET", "/v1/dead-letters", "Bearer "+bearerToken, "", 200)
	// Failures are what tells the most.
	for service, fault := range map[string]string{
		a.mns: `{"action":"SendMessage","fault":{"answer":"error","status":403,"code":"SignatureDoesNotMatch"}}`,
		a.ots: `{"action":"GetRow","times":-1,"fault":{"answer":"error","status":403,"code":"OTSAuthFailed"}}`,
	} {
		send(t, http.MethodPost, service+"/_local/faults", fault)
	}
	call("POST", "/v1/routines", "Bearer "+bearerToken, good, 503)
	call("GET", "/v1/jobs/1", "Bearer "+bearerToken, "", 503)
	send(t, http.MethodPost, a.esa+"/_local/faults", `{"action":"CreateRoutine","fault":{"answer":"error","status":403,"code":"SignatureDoesNotMatch"}}`)
	call("POST", "/v1/routines", "Bearer "+bearerToken, strings.Replace(good, "hidden", "other", 2), 202)
	a.await(`job dead-lettered`)
	a.signal(os.Interrupt)
	a.wait()

	written.WriteString(a.seen.String())
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		written.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, expected := range []string{"hidden.example.com", "the ledger fails", "SignatureDoesNotMatch"} {
		if !bytes.Contains(written.Bytes(), []byte(expected)) {
			t.Errorf("%q is not in what was written: the test looks in the wrong place", expected)
		}
	}
	for _, secret := range []string{bearerToken, webhookSecret, githubSecret, callbackSecret, sessionToken} {
		if bytes.Contains(written.Bytes(), []byte(secret)) {
			t.Errorf("%q can be read in what was written", secret)
		}
	}
}
