package mnsemu_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
)

// subscriber is an HTTP endpoint that answers with the given statuses, the last one for ever.
func subscriber(t *testing.T, statuses ...int) (url string, calls chan *http.Request) {
	calls = make(chan *http.Request, 1000)
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		calls <- r
		w.WriteHeader(statuses[min(n, len(statuses)-1)])
		n++
	}))
	t.Cleanup(server.Close)
	return server.URL, calls
}

func TestPublishToHTTP(t *testing.T) {
	t.Run("posts to the endpoint with the service's headers", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		url, calls := subscriber(t, 204)
		subscribe(t, topic, "s", mns.MessageSubsribeRequest{Endpoint: url, NotifyContentFormat: mns.SIMPLIFIED})
		sent := publish(t, topic, "m", "tag")
		r := <-calls
		body, _ := io.ReadAll(r.Body)
		got := map[string]string{"method": r.Method, "path": r.URL.Path, "body": string(body)}
		for _, name := range []string{
			"X-Mns-Version", "X-Mns-Topic-Owner", "X-Mns-Topic-Name", "X-Mns-Subscriber", "X-Mns-Subscription-Name", "X-Mns-Message-Id",
			"X-Mns-Message-Tag", "X-Mns-Publish-Time", "Content-Type", "Date", "Content-Md5",
		} {
			got[name] = r.Header.Get(name)
		}
		want := map[string]string{
			"method": "POST", "path": "/notifications", "body": "m", "X-Mns-Version": "2015-06-06", "X-Mns-Topic-Owner": account,
			"X-Mns-Topic-Name": "news", "X-Mns-Subscriber": account, "X-Mns-Subscription-Name": "s", "X-Mns-Message-Id": sent.MessageId,
			"X-Mns-Message-Tag": "tag", "X-Mns-Publish-Time": fmt.Sprint(e.clock.Now().UnixMilli()), "Content-Type": "text/plain;charset=utf-8",
			// The sum is the Base64 of the hex text of m's MD5.
			"Date": e.clock.Now().UTC().Format(http.TimeFormat), "Content-Md5": "NmY4ZjU3NzE1MDkwZGEyNjMyNDUzOTg4ZDlhMTUwMWI=",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if id := r.Header.Get("X-Mns-Request-Id"); !strings.HasPrefix(id, fmt.Sprintf("%08X", e.clock.Now().Unix())) || len(id) != 24 {
			t.Errorf("request id %q", id)
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("the push claims to be signed")
		}
	})

	t.Run("gives up after three retries of the back-off strategy", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		url, calls := subscriber(t, 500)
		subscribe(t, topic, "s", mns.MessageSubsribeRequest{Endpoint: url + "/hook"})
		publish(t, topic, "m", "")
		for attempt := 1; attempt <= 3; attempt++ {
			pending := e.awaitPushes(t, attempt)
			if len(pending) != 1 {
				t.Fatalf("after attempt %d: pending %+v", attempt, pending)
			}
			pause := time.Duration(pending[0].NextAttemptTime-e.clock.Now().UnixMilli()) * time.Millisecond
			if pause < 10*time.Second || pause > 20*time.Second {
				t.Errorf("attempt %d: the pause is %s, want 10 to 20 seconds", attempt, pause)
			}
			e.clock.Advance(pause)
		}
		if pending := e.awaitPushes(t, 4); len(pending) != 0 || len(calls) != 4 {
			t.Errorf("pending %+v after %d calls, want none after 4", pending, len(calls))
		}
	})

	t.Run("doubles the pause of the exponential strategy and stops when accepted", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		url, _ := subscriber(t, 500, 500, 302, 404, 200)
		subscribe(t, topic, "s", mns.MessageSubsribeRequest{Endpoint: url, NotifyStrategy: mns.EXPONENTIAL_DECAY_RETRY})
		publish(t, topic, "m", "")
		var pauses []int64
		for attempt := 1; ; attempt++ {
			pending := e.awaitPushes(t, attempt)
			if len(pending) == 0 {
				break
			}
			pause := pending[0].NextAttemptTime - e.clock.Now().UnixMilli()
			pauses = append(pauses, pause/1000)
			e.clock.Advance(time.Duration(pause) * time.Millisecond)
		}
		if diff := cmp.Diff([]int64{1, 2, 4, 8}, pauses); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("tries for a day with the exponential strategy", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		url, calls := subscriber(t, 500)
		subscribe(t, topic, "s", mns.MessageSubsribeRequest{Endpoint: url, NotifyStrategy: mns.EXPONENTIAL_DECAY_RETRY})
		publish(t, topic, "m", "")
		for attempt := 1; len(e.awaitPushes(t, attempt)) > 0; attempt++ {
			e.clock.Advance(512 * time.Second)
		}
		if got := len(calls); got < 168 || got > 177 {
			t.Errorf("%d calls, want at most 177 and no end before the day's", got)
		}
	})

	t.Run("counts what is not delivered, and forgets it with the subscription", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		url, _ := subscriber(t, 500)
		subscribe(t, topic, "s", mns.MessageSubsribeRequest{Endpoint: url})
		publish(t, topic, "m", "")
		e.awaitPushes(t, 1)
		topics := mns.NewMNSTopicManager(e.client())
		if got, err := topics.GetTopicAttributes("news"); err != nil || got.MessageCount != 1 {
			t.Errorf("got %+v, %v", got, err)
		}
		if err := topic.Unsubscribe("s"); err != nil {
			t.Fatal(err)
		}
		if got, err := topics.GetTopicAttributes("news"); err != nil || got.MessageCount != 0 {
			t.Errorf("got %+v, %v", got, err)
		}
	})

	t.Run("continues pushing after a kill", func(t *testing.T) {
		dir, now := t.TempDir(), clock.NewManual(time.Now().Truncate(time.Millisecond))
		e := start(t, at(dir, now))
		topic := e.topic(t, "news")
		url, calls := subscriber(t, 500, 204)
		subscribe(t, topic, "s", mns.MessageSubsribeRequest{Endpoint: url})
		publish(t, topic, "m", "")
		<-calls
		e.awaitPushes(t, 1)
		e.queue(t, "unrelated")
		restart := e.kill(t, dir)
		e.stop()
		now.Advance(20 * time.Second)
		start(t, restart)
		<-calls
	})

	t.Run("never calls an endpoint beyond this machine", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		for i, endpoint := range []string{"http://192.0.2.1/", "https://www.example.com/", "mail:directmail:a@example.com", "sms:directsms:anonymous"} {
			subscribe(t, topic, fmt.Sprint("s", i), mns.MessageSubsribeRequest{Endpoint: endpoint})
		}
		publish(t, topic, "m", "")
		if pending := e.awaitPushes(t, 0); len(pending) != 0 {
			t.Errorf("pending %+v", pending)
		}
	})
}
