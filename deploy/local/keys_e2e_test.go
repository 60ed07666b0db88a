package main_test

import (
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

// TestExpiredKeys lets the keys of warm processes expire. All three servers refuse an id that is not, or no longer, the account's.
func TestExpiredKeys(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	// role gives a function's role another temporary key, from its next event on.
	role := func(function, keyID, secret string) {
		d.send(http.MethodPut, d.url[functionCompute]+"/_local/credentials",
			fmt.Sprintf(`{"function":%q,"accessKeyId":%q,"accessKeySecret":%q,"securityToken":%q}`, function, keyID, secret, sessionToken))
	}
	expire := func(function string) { role(function, "STS.old", "old-secret") }
	renew := func(function string) { role(function, stack.AccessKeyID, stack.AccessKeySecret) }
	first := d.order()
	d.submit(first)
	d.awaitState(succeeded, first)

	d.run("a worker whose key expired leaves its job, and does it with the next key", func() {
		expire(stack.FunctionWorker)
		o := d.order()
		d.submit(o)
		until(d.t, "the worker is refused", func() bool { return strings.Contains(d.said(), "OTSAuthFailed") })
		if j := d.job(o); j.State != queued || j.Attempt > 1 {
			d.t.Errorf("with the old key the job is %+v", j)
		}
		renew(stack.FunctionWorker)
		d.awaitState(succeeded, o)
	})

	d.run("a key that expires between two calls of a job costs an attempt, and not the job", func() {
		o := d.order()
		d.faultOf(o, "CreateRoutineRelatedRecord", `{"answer":"error","status":403,"code":"InvalidSecurityToken.Expired"}`)
		d.submit(o)
		d.awaitState(succeeded, o)
		if j := d.job(o); len(j.Attempts) != 1 || j.Attempts[0].Kind != "unavailable" {
			d.t.Errorf("%+v", j)
		}
	})

	d.run("a caller of accept is told to come again, and succeeds with the next key", func() {
		expire(stack.FunctionAccept)
		o := d.order()
		status, answer := d.call(http.MethodPost, "/v1/routines", d.body(o), "Idempotency-Key", o.name)
		if status != http.StatusServiceUnavailable || !strings.Contains(answer, `"retryable":true`) {
			d.t.Errorf("with the old key: %d %s", status, answer)
		}
		renew(stack.FunctionAccept)
		d.submit(o)
	})

	d.settle()
	if n := strings.Count(d.said(), `"instance started" function=`+stack.FunctionWorker); n != 1 {
		t.Errorf("the worker was started %d times", n)
	}
}

// Keys that seal messages: that of every deployment, and another.
const (
	messageKey = "k1:5Yk7exxzqgfUf-DDI9QqpVDOl2By394jj2FJAidQnd0"
	otherKey   = "k2:zE6L0yBTe9lXnZ7NDD-XTvdy0qZuaJQISZMTeSSWr4E"
)

// TestWrongKey gives one function another message key than the others, puts it right, and redrives: nothing is lost, and nothing done twice.
func TestWrongKey(t *testing.T) {
	const letters = 3 // each job's message, callback or callback that was given up
	for _, function := range functions() {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, "-env", function+":ROUTINELY_MESSAGE_KEYS="+otherKey)
			if function == stack.FunctionJanitor {
				d.unwanted()
			}
			d.submit(d.several(letters)...)
			until(t, "the messages are dead letters", func() bool {
				d.sweep()
				return len(d.letters()) == letters
			})
			for _, l := range d.letters() {
				if l.Code != "UnknownKey" || l.ClaimsJob == "" || l.JobID == l.ClaimsJob {
					t.Errorf("%+v", l)
				}
			}
			fc := d.programs[functionCompute]
			fc.args = append(fc.args, everywhere("MESSAGE_KEYS="+messageKey+","+otherKey)...)
			d.restart(functionCompute)
			d.heal(theReceiver)
			if n := d.redrive("UnknownKey"); n != letters {
				t.Errorf("%d were redriven, want %d", n, letters)
			}
			d.settle()
			if left := d.letters(); len(left) != 0 {
				t.Errorf("left %+v", left)
			}
			if over := d.jobs(dropped); len(over) != letters {
				t.Errorf("%d letters are over, want %d: %+v", len(over), letters, over)
			}
		})
	}
}

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
	var answers strings.Builder
	call := func(method, path, authorization, body string, want int) {
		t.Helper()
		status, answer := d.call(method, path, body, "Authorization", authorization)
		if status != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, status, answer, want)
		}
		answers.WriteString(answer)
	}
	await := func(line string) {
		t.Helper()
		until(t, line, func() bool { return strings.Contains(d.said(), line) })
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
	// Failures say the most.
	const refused = `{"times":-1,"fault":{"answer":"error","status":403,"code":"%s"}}`
	d.fault(messageService, fmt.Sprintf(refused, "SignatureDoesNotMatch"))
	d.fault(tableService, fmt.Sprintf(refused, "OTSAuthFailed"))
	call("POST", "/v1/routines", mine, good, 503)
	call("GET", "/v1/jobs/1", mine, "", 503)
	d.sweep()

	// kept are the answers, and what each server has written to its folder or said.
	kept := map[string]string{"answers": answers.String()}
	err := fs.WalkDir(os.DirFS(d.dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			server, _, _ := strings.Cut(path, "/")
			kept[server] += read(t, filepath.Join(d.dir, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for server, expected := range map[string]string{"fc.log": "OTSAuthFailed", "mns": "hidden", "esa": "hidden", "ots": "hidden"} {
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
