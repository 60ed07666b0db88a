package main_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"routinely/deploy/local/stack"
)

// TestJobs follows jobs through the whole of Routinely.
func TestJobs(t *testing.T) {
	t.Parallel()
	d := deploy(t)

	t.Run("an accepted request becomes a routine with its record, and its caller is told", func(t *testing.T) {
		o := d.order()
		o.told = true
		d.submit(o)
		d.settle()
		if j := d.job(o.id); j.State != succeeded || j.Callback == nil || j.Callback.State != "handed-over" {
			t.Errorf("the job is %+v, callback %+v", j, j.Callback)
		}
	})

	t.Run("a request that is sent again is the same job", func(t *testing.T) {
		o := d.order()
		d.submit(o)
		d.submit(o)
		d.awaitState(o, succeeded)
		d.submit(o)
	})

	t.Run("a dead letter is corrected and redriven, and its key stands for both requests", func(t *testing.T) {
		o := d.hopeless()
		d.submit(o)
		d.awaitState(o, deadLettered)
		wrong := *o
		o.site, o.zone, o.want = stack.SiteID, stack.SiteName, succeeded
		d.insist(http.MethodPost, "/v1/dead-letters/"+url.PathEscape(o.id)+":redrive",
			fmt.Sprintf(`{"request":{"siteId":%d,"recordName":%q},"reason":"wrong site"}`, o.site, o.record()))
		d.awaitState(o, succeeded)
		d.submit(o)
		d.submit(&wrong)
	})

	t.Run("dead letters are redriven once their cause is put right", func(t *testing.T) {
		orders := []*order{d.hopeless(), d.hopeless(), d.hopeless()}
		for _, o := range orders {
			d.submit(o)
		}
		for _, o := range orders {
			d.awaitState(o, deadLettered)
		}
		d.addSite()
		var answer struct{ Count int }
		decode(t, d.insist(http.MethodPost, "/v1/dead-letters:redrive", `{"code":"SiteParameterNotMatch","reason":"site added"}`), &answer)
		if answer.Count != len(orders) {
			t.Errorf("%d were redriven, want %d", answer.Count, len(orders))
		}
		for _, o := range orders {
			o.want = succeeded
		}
		d.settle()
	})

	d.settle()
	d.check()
}

// TestCallback reads a callback as its receiver does, with the library of Standard Webhooks.
func TestCallback(t *testing.T) {
	t.Parallel()
	const key = "7c1e9ab04f5d2386e8b7016d93fca254"
	type received struct {
		header http.Header
		body   []byte
	}
	calls, answers := make(chan received, 10), make(chan int, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(<-answers)
		calls <- received{r.Header, body}
	}))
	defer server.Close()
	d := deploy(t, "-env", stack.FunctionNotify+":ROUTINELY_CALLBACK_SECRETS=whsec_"+base64.StdEncoding.EncodeToString([]byte(key)))
	// The receiver's secret is an HMAC of the caller's name, here that of everybody.
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("routinely callback\x00anonymous"))
	reader, err := standardwebhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(answer int, want string) {
		t.Helper()
		answers <- answer
		c := <-calls
		var event struct{ Type string }
		decode(t, string(c.body), &event)
		if err := reader.Verify(c.body, c.header); err != nil || event.Type != want {
			t.Errorf("%v: %s", err, c.body)
		}
	}
	o := d.order()
	body := strings.Replace(d.body(o), "}", fmt.Sprintf(`,"callbackUrl":"%s/hook?token=hush"}`, server.URL), 1)
	d.accepted(o, d.insist(http.MethodPost, "/v1/routines", body))

	verify(http.StatusGone, "routinely.job.succeeded")
	until(t, "the job says that its receiver wants no callback", func() bool {
		d.sweep()
		callback := d.job(o.id).Callback
		return callback != nil && callback.State == "failed"
	})
	d.insist(http.MethodPost, "/v1/jobs/"+o.id+":notify", "")
	verify(http.StatusNoContent, "routinely.job.succeeded")
	until(t, "the job says that its receiver was told", func() bool { return d.job(o.id).Callback.State == "handed-over" })
}
