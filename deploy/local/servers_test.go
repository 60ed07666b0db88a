package main_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/stack"
)

// theReceiver is the server of a customer, which gets the callbacks. It is no process of the deployment.
const theReceiver = "receiver"

// receiver notes the callbacks that it gets. Like the local servers it breaks its answers when a test says so.
type receiver struct {
	t      *testing.T
	faults faults.Set
	// library is that of Standard Webhooks, with the secret of the caller of all orders.
	library *standardwebhooks.Webhook
	mu      sync.Mutex
	// events are the ids of the events by job and round.
	events map[end]map[string]bool
	// latest is the body of the latest callback.
	latest string
}

// end is the end of a job's round.
type end struct {
	job   string
	round int
}

// newReceiver starts a receiver and returns it with its address.
func newReceiver(t *testing.T) (*receiver, string) {
	t.Helper()
	r := &receiver{t: t, events: map[end]map[string]bool{}}
	key, err := base64.StdEncoding.DecodeString(callbackSecret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key) // a caller's secret is an HMAC of its name, here that of everybody
	mac.Write([]byte("routinely callback\x00anonymous"))
	if r.library, err = standardwebhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString(mac.Sum(nil))); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/_local/", http.StripPrefix("/_local", r.faults.Handler()))
	mux.HandleFunc("POST /hook", func(w http.ResponseWriter, req *http.Request) {
		text, err := io.ReadAll(req.Body)
		if err != nil {
			return // the caller was killed
		}
		take := func(http.ResponseWriter) { r.note(req.Header, text) }
		refuse := func(w http.ResponseWriter, status int, _, _ string) { w.WriteHeader(status) }
		r.faults.Serve(w, req, faults.Call{Action: "POST"}, time.Now, take, refuse)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(r.faults.Stop)
	return r, server.URL
}

func (r *receiver) note(header http.Header, text []byte) {
	var callback struct {
		Type string
		Data job
	}
	err := errors.Join(r.library.Verify(text, header), json.Unmarshal(text, &callback))
	if err != nil || callback.Type != "routinely.job."+callback.Data.State {
		r.t.Errorf("callback: %v: %s", err, text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = string(text)
	e := end{callback.Data.ID, callback.Data.Redriven}
	if r.events[e] == nil {
		r.events[e] = map[string]bool{}
	}
	r.events[e][header.Get("Webhook-Id")] = true
}

// last is the body of the latest callback; empty if there was none.
func (r *receiver) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest
}

// knows reports whether it has a callback of each order that wants one.
func (r *receiver) knows(orders []*order) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := map[string]bool{}
	for e := range r.events {
		ended[e.job] = true
	}
	return !slices.ContainsFunc(orders, func(o *order) bool { return o.callback && !ended[o.id] })
}

// check checks that all callbacks of a round of a job are about the same end.
func (r *receiver) check(orders []*order) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for e, ids := range r.events {
		if len(ids) != 1 || !slices.ContainsFunc(orders, func(o *order) bool { return o.callback && o.id == e.job }) {
			r.t.Errorf("the callbacks of %+v are the events %v", e, ids)
		}
	}
}

// fault adds a rule by which a server breaks its answers, as JSON.
func (d *deployment) fault(server, rule string) {
	d.t.Helper()
	d.send(http.MethodPost, d.url[server]+"/_local/faults", rule)
}

// heal ends what fault began.
func (d *deployment) heal(servers ...string) {
	d.t.Helper()
	for _, server := range servers {
		d.send(http.MethodDelete, d.url[server]+"/_local/faults", "")
	}
}

// outage lets every call of a server fail until it is healed.
func (d *deployment) outage(server string) {
	d.t.Helper()
	d.fault(server, `{"times":-1,"fault":{"answer":"reset"}}`)
}

// unwanted lets the receiver say of each callback that it wants none, until it is healed.
func (d *deployment) unwanted() {
	d.t.Helper()
	d.fault(theReceiver, `{"times":-1,"fault":{"answer":"error","execute":true,"status":410,"code":"Gone"}}`)
}

// faultOf breaks ESA's next answer about an order.
func (d *deployment) faultOf(o *order, action, fault string) {
	d.t.Helper()
	d.fault(edgeService, fmt.Sprintf(`{"action":%q,"match":{"Name":%q},"fault":%s}`, action, o.name, fault))
}

// locked is ESA's answer while another routine operation of the account runs.
const locked = "UserOperationStatusIsLocked"

// holdLock lets somebody else have the account lock until it is given back, so that the worker stays with its job.
func (d *deployment) holdLock() (release func()) {
	d.t.Helper()
	lock := d.url[edgeService] + "/_local/lock"
	d.send(http.MethodPost, lock, `{"holdMillis":600000}`)
	return func() { d.send(http.MethodDelete, lock, "") }
}

// account changes ESA's account: its latency, whether its bill is overdue.
func (d *deployment) account(change string) {
	d.t.Helper()
	d.send(http.MethodPut, d.url[edgeService]+"/_local/account", change)
}

// serverCall is a call in the log of a server.
type serverCall struct {
	Action, Code, Fault string
	Params              struct{ Queue, Name string }
}

// calls is the log of a server's calls since it was started or told to forget them.
func (d *deployment) calls(server string) []serverCall {
	d.t.Helper()
	var log struct{ Calls []serverCall }
	d.read(d.url[server]+"/_local/calls", &log)
	return log.Calls
}

func (d *deployment) forgetCalls(server string) {
	d.t.Helper()
	d.send(http.MethodDelete, d.url[server]+"/_local/calls", "")
}

// put puts messages on a queue, as another program does.
func (d *deployment) put(queue string, bodies ...string) {
	d.t.Helper()
	client := d.queues()
	for _, body := range bodies {
		if _, err := client.Send(d.t.Context(), queue, body, 0); err != nil {
			d.t.Fatal(err)
		}
	}
}

// messages are the bodies of all messages of a queue, those that are delayed or worked on included.
func (d *deployment) messages(queue string) (bodies []string) {
	d.t.Helper()
	var list []struct{ Body string }
	d.read(d.url[messageService]+"/_local/queues/"+queue+"/messages", &list)
	for _, m := range list {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

// messageOf waits for the message of an order's job on the job queue.
func (d *deployment) messageOf(o *order) (message string) {
	d.t.Helper()
	until(d.t, "the message of "+o.name+" is on the queue", func() bool {
		for _, body := range d.messages(stack.Queue) {
			if strings.Contains(body, `"`+o.name+`"`) {
				message = body
			}
		}
		return message != ""
	})
	return message
}

// depth is how many messages some queues together hold, those that are delayed or worked on included. While MNS is down they count as full.
func (d *deployment) depth(names ...string) (n int) {
	d.t.Helper()
	status, answer := request(d.t.Context(), http.MethodGet, d.url[messageService]+"/_local/queues", "")
	if status != http.StatusOK {
		return 1_000_000
	}
	var queues []struct {
		Name                                            string
		ActiveMessages, InactiveMessages, DelayMessages int
	}
	decode(d.t, answer, &queues)
	for _, q := range queues {
		if slices.Contains(names, q.Name) {
			n += q.ActiveMessages + q.InactiveMessages + q.DelayMessages
		}
	}
	return n
}

// send makes a call of a local server that must succeed.
func (d *deployment) send(method, url, body string) string {
	d.t.Helper()
	status, answer := request(d.t.Context(), method, url, body)
	if status >= http.StatusBadRequest {
		d.t.Fatalf("%s %s: %d %s", method, url, status, answer)
	}
	return answer
}

func (d *deployment) read(url string, into any) {
	d.t.Helper()
	decode(d.t, d.send(http.MethodGet, url, ""), into)
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
