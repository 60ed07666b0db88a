package main_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// callbackKey is the key of ROUTINELY_CALLBACK_SECRETS in these tests.
const callbackKey = "0123456789abcdef0123456789abcdef"

// call is a request that a receiver got.
type call struct {
	header http.Header
	body   []byte
}

// TestCallbacks follows the news of a job's end from the request to the receiver, by way of the three functions.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	calls := make(chan call, 100)
	refuse := make(chan int, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		status := http.StatusNoContent
		select {
		case status = <-refuse:
		default:
		}
		w.WriteHeader(status)
		calls <- call{r.Header, body}
	}))
	defer receiver.Close()
	a := begun(startWith(t, []string{"ROUTINELY_CALLBACK_SECRETS=whsec_" + base64.StdEncoding.EncodeToString([]byte(callbackKey))}, "run", t.TempDir(), onFreePorts...))
	submit := func(name string, site int64) {
		t.Helper()
		body := fmt.Sprintf(`{"name":%q,"siteId":%d,"recordName":"%s.example.com","callbackUrl":"%s/hook?token=hush"}`, name, site, name, receiver.URL)
		if status, answer := callAs(t, "POST", a.http+"/v1/routines", "", body); status != 202 || strings.Contains(answer, "hush") {
			t.Fatalf("%d %s", status, answer)
		}
	}
	// The receiver's secret is an HMAC of the caller's name, here that of everybody.
	mac := hmac.New(sha256.New, []byte(callbackKey))
	mac.Write([]byte("routinely callback\x00anonymous"))
	reader, err := standardwebhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(outcome, want string) {
		t.Helper()
		a.await("callback " + outcome)
		c := <-calls
		if err := reader.Verify(c.body, c.header); err != nil {
			t.Error(err)
		}
		var event struct {
			Type string
			Data struct {
				State   string
				Request struct{ CallbackURL string }
			}
		}
		if err := json.Unmarshal(c.body, &event); err != nil || event.Type != want || strings.Contains(string(c.body), "hush") {
			t.Errorf("got %s, %v", c.body, err)
		}
	}

	submit("told", 54362329990032)
	verify("delivered", "routinely.job.succeeded")
	submit("lost", 1)
	verify("delivered", "routinely.job.dead-lettered")

	// A receiver that wants no more gets no more; the callback is a dead letter, and a redrive delivers it.
	refuse <- http.StatusGone
	submit("gone", 54362329990032)
	verify("dead-lettered", "routinely.job.succeeded")
	status, answer := callAs(t, "POST", a.http+"/v1/dead-letters:redrive", "", `{"step":"Callback","reason":"the receiver is back"}`)
	if status != 200 || !strings.Contains(answer, `"count":1`) {
		t.Fatalf("%d %s", status, answer)
	}
	verify("delivered", "routinely.job.succeeded")
	a.signal(os.Interrupt)
	a.wait()
	for _, secret := range []string{"hush", callbackKey, base64.StdEncoding.EncodeToString([]byte(callbackKey))} {
		if strings.Contains(a.seen.String(), secret) {
			t.Errorf("%q can be read in the output", secret)
		}
	}
}
