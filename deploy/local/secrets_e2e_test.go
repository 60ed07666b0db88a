package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"routinely/deploy/local/stack"
)

// Secrets of the deployment that runs for this test. Every deployment has callbackSecret, and the local platform gives sessionToken to all
// functions.
const (
	bearerToken    = "rtly_t7OpAOP3mR2F-gEoZmY3Ec9ajmVgf5xniI8fPqx2FAU"
	webhookSecret  = "x0Wc6j2bQ3xvYt1mJ8kq5nZr7Lp9sUaH"
	githubSecret   = "8f1b6d0c3e927a54d1e0b7c9a2f46835"
	callbackSecret = "m+AfcZcN7YIhBn188FDH8QJdT+ediKNL/rfeEu6ATtg="
	callbackQuery  = "token-in-the-callback-url"
	sessionToken   = "local-security-token"
)

func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte(bearerToken))
	auth := fmt.Sprintf(`{"callers":[{"name":"ops","scopes":["submit","read","operate"],"tokens":["sha256:%s"],"webhookSecrets":["whsec_%s"],"githubSecrets":[%q]}]}`,
		hex.EncodeToString(hash[:]), webhookSecret, githubSecret)
	d := deploy(t, "-env", stack.FunctionAccept+":ROUTINELY_AUTH="+auth)
	var written strings.Builder
	call := func(method, path, authorization, body string, want int) string {
		t.Helper()
		status, answer := d.call(method, path, body, "Authorization", authorization)
		if status != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, status, answer, want)
		}
		written.WriteString(answer)
		return answer
	}
	said := func() string { return d.programs[functionCompute].said.String() }
	await := func(line string) {
		t.Helper()
		until(t, line, func() bool { return strings.Contains(said(), line) })
	}
	const good = `{"name":"hidden","siteId":54362329990032,"recordName":"hidden.example.com"}`
	const mine = "Bearer " + bearerToken
	// The receiver is a port that nobody listens at, so that the callback fails too.
	call("POST", "/v1/routines", mine, strings.Replace(good, "}", `,"callbackUrl":"http://127.0.0.1:1025/?`+callbackQuery+`"}`, 1), 202)
	await("callback again")
	call("POST", "/v1/routines", mine, strings.Replace(good, "54362329990032", "1", 1), 202)
	await("job dead-lettered")
	call("POST", "/v1/routines", mine+"x", good, 401)
	call("POST", "/v1/routines", "Basic "+webhookSecret, good, 401)
	call("POST", "/v1/routines", mine, `{"name":"`, 400)
	call("GET", "/v1/jobs", mine, "", 200)
	call("GET", "/v1/dead-letters", mine, "", 200)
	// Failures are what tells the most.
	const refused = `{"times":-1,"fault":{"answer":"error","status":403,"code":"%s"}}`
	for _, fault := range []struct{ server, code string }{{messageService, "SignatureDoesNotMatch"}, {tableService, "OTSAuthFailed"}} {
		d.send(http.MethodPost, d.url[fault.server]+"/_local/faults", fmt.Sprintf(refused, fault.code))
	}
	call("POST", "/v1/routines", mine, good, 503)
	call("GET", "/v1/jobs/1", mine, "", 503)
	d.sweep()
	for _, server := range []string{messageService, tableService} {
		d.send(http.MethodDelete, d.url[server]+"/_local/faults", "")
	}

	written.WriteString(said())
	kept := map[string]string{"": written.String()}
	for _, server := range []string{messageService, edgeService, tableService} {
		kept[server] = stateOf(t, filepath.Join(d.dir, server))
	}
	for server, expected := range map[string]string{"": "OTSAuthFailed", messageService: "hidden", edgeService: "hidden", tableService: "hidden"} {
		if !strings.Contains(kept[server], expected) {
			t.Errorf("%q is not in what %q keeps: the test looks in the wrong place", expected, server)
		}
	}
	for _, secret := range []string{bearerToken, webhookSecret, githubSecret, callbackSecret, sessionToken, callbackQuery} {
		for server, text := range kept {
			// A callback's URL is kept whole in the job's row and in its messages: it is where the callback goes.
			allowed := secret == callbackQuery && (server == tableService || server == messageService)
			if strings.Contains(text, secret) && !allowed {
				t.Errorf("%q can be read in what %q keeps", secret, server)
			}
		}
	}
}

// stateOf is what a server has written to disk.
func stateOf(t *testing.T, dir string) string {
	t.Helper()
	var out bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		out.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
