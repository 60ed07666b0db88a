package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/stack"
)

// The states of a job, as accept tells them.
const (
	queued       = "queued"
	succeeded    = "succeeded"
	deadLettered = "dead-lettered"
	cancelled    = "cancelled"
	dropped      = "dropped"
)

// order is a request for a routine, and what is to become of it.
type order struct {
	name string
	site int64
	zone string
	// want is the state in which its job must end.
	want string
	// told says that the receiver is to be told of the end.
	told bool
	// id is the job's, once it is accepted.
	id string
}

func (o *order) record() string { return o.name + "." + o.zone }

// body is the request. The receiver's address is that of the deployment.
func (d *deployment) body(o *order) string {
	callback := ""
	if o.told {
		callback = fmt.Sprintf(`,"callbackUrl":%q`, d.receiver.server.URL+"/hook")
	}
	return fmt.Sprintf(`{"name":%q,"siteId":%d,"recordName":%q%s}`, o.name, o.site, o.record(), callback)
}

// The site that ESA does not have until a test adds it.
const (
	strangeSite = 1
	strangeZone = "example.net"
)

// order makes an order with a name of its own that must end well.
func (d *deployment) order() *order {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := &order{name: fmt.Sprintf("job-%d", len(d.orders)), site: stack.SiteID, zone: stack.SiteName, want: succeeded}
	d.orders = append(d.orders, o)
	return o
}

// hopeless makes an order for a site that ESA does not have.
func (d *deployment) hopeless() *order {
	o := d.order()
	o.site, o.zone, o.want = strangeSite, strangeZone, deadLettered
	return o
}

// addSite lets ESA have the site that hopeless orders ask for.
func (d *deployment) addSite() {
	d.t.Helper()
	d.send(http.MethodPost, d.url[edgeService]+"/_local/sites", fmt.Sprintf(`{"id":%d,"name":%q}`, strangeSite, strangeZone))
}

// noAnswer is the status of a call that was cut off: one that a client makes again, as it does after any from 500 on.
const noAnswer = 599

// call makes a call of accept once. headers are pairs of name and value.
func (d *deployment) call(method, path, body string, headers ...string) (status int, answer string) {
	return request(d.t.Context(), method, d.url[stack.FunctionAccept]+path, body, headers...)
}

func request(ctx context.Context, method, url, body string, headers ...string) (status int, answer string) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return noAnswer, err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: limit}
	res, err := client.Do(req)
	if err != nil {
		return noAnswer, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return noAnswer, err.Error()
	}
	return res.StatusCode, string(text)
}

// insist makes a call again until it is answered, which must be well, and returns the answer.
func (d *deployment) insist(method, path, body string, headers ...string) (answer string) {
	d.t.Helper()
	var status int
	until(d.t, path+" is answered", func() bool {
		status, answer = d.call(method, path, body, headers...)
		return status < http.StatusInternalServerError
	})
	if status >= http.StatusBadRequest {
		d.t.Errorf("%s %s %s: %d %s", method, path, body, status, answer)
	}
	return answer
}

// submit asks until the request is accepted, under the order's name as its idempotency key.
func (d *deployment) submit(o *order) {
	d.t.Helper()
	d.accepted(o, d.insist(http.MethodPost, "/v1/routines", d.body(o), "Idempotency-Key", o.name))
}

// accepted takes a job in that accept has answered with.
func (d *deployment) accepted(o *order, answer string) {
	d.t.Helper()
	var job struct{ ID string }
	decode(d.t, answer, &job)
	if job.ID == "" || o.id != "" && o.id != job.ID {
		d.t.Errorf("%s was job %q and is now job %q", o.name, o.id, job.ID)
	}
	o.id = job.ID
}

// job is what accept tells of a job.
type job struct {
	ID, State, Code, Reason, Hint string
	// ClaimsJob is set of what was a message under an unknown key.
	ClaimsJob                     string
	Attempt, HandedBack, Redriven int
	Request                       struct{ Name, RecordName, CallbackURL string }
	Attempts                      []struct{ Kind string }
	Waiting                       *struct{ For string }
	Callback                      *struct{ State string }
}

func (d *deployment) job(id string) (j job) {
	d.t.Helper()
	decode(d.t, d.insist(http.MethodGet, "/v1/jobs/"+url.PathEscape(id), ""), &j)
	return j
}

// awaitState waits until an order's job is in a state.
func (d *deployment) awaitState(o *order, state string) {
	d.t.Helper()
	until(d.t, fmt.Sprintf("%s (job %s) is %s", o.name, o.id, state), func() bool { return d.job(o.id).State == state })
}

// jobs lists all jobs in a state.
func (d *deployment) jobs(state string) (all []job) {
	d.t.Helper()
	for cursor := ""; ; {
		var page struct {
			Jobs []job
			Next string
		}
		decode(d.t, d.insist(http.MethodGet, "/v1/jobs?limit=100&state="+state+cursor, ""), &page)
		all = append(all, page.Jobs...)
		if page.Next == "" {
			return all
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
	}
}

// letter is what accept tells of a dead letter.
type letter struct {
	ID, JobID, ClaimsJob, Origin, Kind, Code, Hint string
	Request                                        *struct{ Name string }
	Received                                       *struct{ Body string }
}

// letters lists all dead letters.
func (d *deployment) letters() (all []letter) {
	d.t.Helper()
	for cursor := ""; ; {
		var page struct {
			DeadLetters []letter
			Next        string
		}
		decode(d.t, d.insist(http.MethodGet, "/v1/dead-letters?limit=100"+cursor, ""), &page)
		all = append(all, page.DeadLetters...)
		if page.Next == "" {
			return all
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
	}
}

// sweep runs the janitor once. It may fail, as any run of it may: the next one goes on.
func (d *deployment) sweep() {
	event := fmt.Sprintf(`{"triggerTime":%q,"triggerName":"sweep","payload":""}`, time.Now().UTC().Format(time.RFC3339))
	request(d.t.Context(), http.MethodPost, d.url[functionCompute]+"/2023-03-30/functions/"+stack.FunctionJanitor+"/invocations", event)
}

// messages are the bodies of all messages of a queue, those that are delayed or worked on included.
func (d *deployment) messages(queue string) []string {
	d.t.Helper()
	var list []struct{ Body string }
	d.read(d.url[messageService]+"/_local/queues/"+queue+"/messages", &list)
	bodies := make([]string, 0, len(list))
	for _, m := range list {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

// depth is how many messages all queues together hold, those that are delayed or worked on included.
func (d *deployment) depth() (n int) {
	d.t.Helper()
	var queues []struct{ ActiveMessages, InactiveMessages, DelayMessages int }
	d.read(d.url[messageService]+"/_local/queues", &queues)
	for _, q := range queues {
		n += q.ActiveMessages + q.InactiveMessages + q.DelayMessages
	}
	return n
}

// settle waits until nothing is left to be done, with the janitor's help.
func (d *deployment) settle() {
	d.t.Helper()
	defer func() {
		if d.t.Failed() {
			d.t.Logf("left on queues: %d; unfinished: %+v", d.depth(), d.jobs(queued))
		}
	}()
	until(d.t, "the queues are empty, no job is unfinished, and everybody was told", func() bool {
		if d.depth() == 0 && len(d.jobs(queued)) == 0 && d.receiver.knows(d.orders) {
			return true
		}
		d.sweep()
		return false
	})
}

// check holds what became of all orders against what must have: each job is in the list of one state, the one wanted, ESA has what it must
// and nothing else, dead letters are the dead jobs, and the receiver was told of one end of each round. lists must be settled.
func (d *deployment) check() {
	d.t.Helper()
	found := map[string][]string{}
	for _, state := range []string{queued, succeeded, deadLettered, cancelled, dropped} {
		for _, j := range d.jobs(state) {
			if j.ClaimsJob == "" {
				found[j.ID] = append(found[j.ID], state)
			}
		}
	}
	dead, unreadable := map[string]bool{}, 0
	for _, l := range d.letters() {
		if l.Code == "UnreadableMessage" {
			unreadable++
			delete(found, l.ID)
			continue
		}
		dead[l.JobID] = true
	}
	if unreadable != d.unreadable {
		d.t.Errorf("%d dead letters hold no job, want %d", unreadable, d.unreadable)
	}
	for _, o := range d.orders {
		if states := found[o.id]; o.id == "" || len(states) != 1 || states[0] != o.want {
			d.t.Errorf("%s: job %q is listed as %v, want once as %s", o.name, o.id, states, o.want)
		}
		if dead[o.id] != (o.want == deadLettered) {
			d.t.Errorf("%s is to be %s; a dead letter: %t", o.name, o.want, dead[o.id])
		}
		delete(found, o.id)
	}
	if len(found) > 0 {
		d.t.Errorf("jobs that nobody has asked for: %v", found)
	}
	d.checkRoutines()
	d.receiver.check(d.orders)
}

// routine is a routine that ESA has.
type routine struct {
	Name    string
	Records []struct{ RecordName string }
}

func (d *deployment) routines() map[string]routine {
	d.t.Helper()
	var state struct{ Routines []routine }
	d.read(d.url[edgeService]+"/_local/state", &state)
	out := map[string]routine{}
	for _, r := range state.Routines {
		out[r.Name] = r
	}
	return out
}

// checkRoutines checks that ESA has each routine with its record. An order that failed at its record leaves its routine, and one that was
// cancelled or dropped may.
func (d *deployment) checkRoutines() {
	d.t.Helper()
	routines := d.routines()
	for _, o := range d.orders {
		r, found := routines[o.name]
		records := len(r.Records)
		switch {
		case o.want == succeeded && (records != 1 || r.Records[0].RecordName != o.record()):
			d.t.Errorf("%s: ESA has %+v, want the record %s and no other", o.name, r, o.record())
		case o.want == deadLettered && (!found || records > 0):
			d.t.Errorf("%s: ESA has %+v, want a routine without records", o.name, r)
		}
		delete(routines, o.name)
	}
	if len(routines) > 0 {
		d.t.Errorf("routines that nobody has asked for: %v", routines)
	}
}

// outage lets every call of a server fail until it is ended.
func (d *deployment) outage(server string) (end func()) {
	d.t.Helper()
	faults := d.url[server] + "/_local/faults"
	d.send(http.MethodPost, faults, `{"times":-1,"fault":{"answer":"reset"}}`)
	return func() { d.send(http.MethodDelete, faults, "") }
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
