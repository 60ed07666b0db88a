package fcemu_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
)

// queues is an MNS server on the host's clock, with a client of its own.
type queues struct {
	*mnsclient.Client
	t      testing.TB
	server *mnsemu.Server
	url    string
	// unplug closes the listener and all connections.
	unplug func()
}

const accessKey, secretKey = "id", "secret"

func newQueues(t testing.TB, c clock.Clock, dir, address string) *queues {
	t.Helper()
	server, err := mnsemu.New(mnsemu.Config{AccountID: "1234567890123456", AccessKeyID: accessKey, AccessKeySecret: secretKey, Dir: dir, NoSync: true, Calm: true, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	q := &queues{t: t, server: server}
	q.url, q.unplug = serveAt(t, server, address)
	q.Client, err = mnsclient.New(mnsclient.Config{Endpoint: q.url, AccessKeyID: accessKey, AccessKeySecret: secretKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.close)
	return q
}

func (q *queues) close() {
	q.unplug()
	q.Close()
	if err := q.server.Close(); err != nil {
		q.t.Error(err)
	}
}

func (q *queues) create(names ...string) {
	q.t.Helper()
	for _, name := range names {
		visibility := 5
		if err := q.CreateQueue(context.Background(), name, mnsclient.Attributes{VisibilityTimeout: &visibility}); err != nil {
			q.t.Fatal(err)
		}
	}
}

func (q *queues) send(queue string, bodies ...string) {
	q.t.Helper()
	for _, body := range bodies {
		if _, err := q.Send(context.Background(), queue, body, 0); err != nil {
			q.t.Fatal(err)
		}
	}
}

// bodies takes everything that can be received.
func (q *queues) bodies(queue string) []string {
	q.t.Helper()
	list := []string{}
	for {
		messages, err := q.Receive(context.Background(), queue, 16, 0)
		if err != nil {
			q.t.Fatal(err)
		}
		if len(messages) == 0 {
			return list
		}
		for _, m := range messages {
			list = append(list, m.Body)
		}
	}
}

// stored lists the bodies of all messages, hidden ones too.
func (q *queues) stored(queue string) []string {
	q.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(q.url + "/_local/queues/" + queue + "/messages")
	if err != nil {
		q.t.Fatal(err)
	}
	defer resp.Body.Close()
	var messages []struct{ Body string }
	if err := json.NewDecoder(resp.Body).Decode(&messages); err != nil {
		q.t.Fatal(err)
	}
	list := []string{}
	for _, m := range messages {
		list = append(list, m.Body)
	}
	return list
}

// serveAt puts a handler on a socket of a given address.
func serveAt(t testing.TB, handler http.Handler, address string) (base string, unplug func()) {
	t.Helper()
	l := listenAt(t, address)
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	return "http://" + l.Addr().String(), func() {
		_ = server.Close()
		<-done
	}
}
