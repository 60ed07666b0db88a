package main_test

import (
	"context"
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

// The states of a job.
const (
	queued       = "queued"
	succeeded    = "succeeded"
	deadLettered = "dead-lettered"
	cancelled    = "cancelled"
	dropped      = "dropped"
)

// order is a request for a routine, and how its job must end.
type order struct {
	name string
	site int64
	zone string
	// want is the state in which the job must end.
	want string
	// callback says that the receiver gets a callback at the end.
	callback bool
	// id is the job's, once it is accepted.
	id string
}

func (o *order) record() string { return o.name + "." + o.zone }

// body is the request.
func (d *deployment) body(o *order) string {
	hook := ""
	if o.callback {
		hook = fmt.Sprintf(`,"callbackUrl":%q`, d.url[theReceiver]+"/hook")
	}
	return fmt.Sprintf(`{"name":%q,"siteId":%d,"recordName":%q%s}`, o.name, o.site, o.record(), hook)
}

// order makes an order with a name of its own that must succeed.
func (d *deployment) order() *order {
	o := &order{name: fmt.Sprintf("job-%d", len(d.orders)), site: stack.SiteID, zone: stack.SiteName, want: succeeded}
	d.orders = append(d.orders, o)
	return o
}

// several makes so many orders that want a callback.
func (d *deployment) several(count int) (orders []*order) {
	for range count {
		o := d.order()
		o.callback = true
		orders = append(orders, o)
	}
	return orders
}

// hopeless makes an order for a site that ESA does not have until addSite.
func (d *deployment) hopeless() *order {
	o := d.order()
	o.site, o.zone, o.want = 1, "example.net", deadLettered
	return o
}

func (d *deployment) addSite() {
	d.t.Helper()
	d.send(http.MethodPost, d.url[edgeService]+"/_local/sites", `{"id":1,"name":"example.net"}`)
}

// noAnswer is the status of a call that was cut off. A client makes it again, as it does after any status from 500 on.
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

// submit asks for routines in one call, again until all are accepted. The call's idempotency key is the first order's name.
func (d *deployment) submit(orders ...*order) {
	d.t.Helper()
	path, bodies := "/v1/routines", make([]string, len(orders))
	for i, o := range orders {
		bodies[i] = d.body(o)
	}
	text := bodies[0]
	if len(orders) > 1 {
		path, text = "/v1/routines:batch", "["+strings.Join(bodies, ",")+"]"
	}
	until(d.t, "accept accepts "+orders[0].name, func() bool {
		var result struct {
			ID     string
			Failed int
			Items  []struct{ JobID string }
		}
		decode(d.t, d.insist(http.MethodPost, path, text, "Idempotency-Key", orders[0].name), &result)
		if result.Failed > 0 {
			return false
		}
		if len(orders) == 1 {
			orders[0].accepted(d.t, result.ID)
		}
		for i, item := range result.Items {
			orders[i].accepted(d.t, item.JobID)
		}
		return true
	})
}

// accepted notes the job that stands for the order, always the same.
func (o *order) accepted(t *testing.T, id string) {
	t.Helper()
	if id == "" || o.id != "" && o.id != id {
		t.Errorf("%s was job %q and is now job %q", o.name, o.id, id)
	}
	o.id = id
}

// correct redrives an order for a wrong site with the right one. A call whose answer was lost is made again, and finds that it was redriven.
func (d *deployment) correct(o *order) {
	d.t.Helper()
	o.site, o.zone, o.want = stack.SiteID, stack.SiteName, succeeded
	body := fmt.Sprintf(`{"request":{"siteId":%d,"recordName":%q},"reason":"wrong site"}`, o.site, o.record())
	until(d.t, o.name+" is corrected", func() bool {
		status, answer := d.call(http.MethodPost, "/v1/dead-letters/"+url.PathEscape(o.id)+":redrive", body)
		if status >= http.StatusBadRequest && status < http.StatusInternalServerError && d.job(o).Redriven == 0 {
			d.t.Fatalf("correct %s: %d %s", o.name, status, answer)
		}
		return status < http.StatusInternalServerError
	})
}

// redrive redrives all dead letters with a code, page by page, and returns how many.
func (d *deployment) redrive(code string) (count int) {
	d.t.Helper()
	for cursor := ""; ; {
		var answer struct {
			Count int
			More  bool
			Next  string
		}
		body := fmt.Sprintf(`{"code":%q,"reason":"the cause is put right"%s}`, code, cursor)
		decode(d.t, d.insist(http.MethodPost, "/v1/dead-letters:redrive", body), &answer)
		if count += answer.Count; !answer.More {
			return count
		}
		cursor = fmt.Sprintf(`,"cursor":%q`, answer.Next)
	}
}

// wrongSite is the code of a dead letter whose site ESA does not have, or does not take.
const wrongSite = "SiteParameterNotMatch"

// job is what accept says about a job.
type job struct {
	ID, State string
	// ClaimsJob is set of what was a message under an unknown key.
	ClaimsJob                     string
	Attempt, HandedBack, Redriven int
	Attempts                      []struct{ Kind string }
	Waiting                       struct{ For string }
	Callback                      struct{ State string }
}

func (d *deployment) job(o *order) (j job) {
	d.t.Helper()
	decode(d.t, d.insist(http.MethodGet, "/v1/jobs/"+url.PathEscape(o.id), ""), &j)
	return j
}

// awaitState waits until the jobs of orders are in a state, or wait for something.
func (d *deployment) awaitState(state string, orders ...*order) {
	d.t.Helper()
	for _, o := range orders {
		until(d.t, fmt.Sprintf("%s (job %s) is %s", o.name, o.id, state), func() bool {
			j := d.job(o)
			return j.State == state || j.Waiting.For == state
		})
	}
}

// letter is what accept says about a dead letter.
type letter struct {
	ID, JobID, ClaimsJob, Origin, Code, Hint string
	Received                                 struct{ Body string }
}

// unreadable is the code of a dead letter whose message holds no job.
const unreadable = "UnreadableMessage"

func (d *deployment) jobs(state string) []job { return list[job](d, "/v1/jobs?limit=100&state="+state) }

func (d *deployment) letters() []letter { return list[letter](d, "/v1/dead-letters?limit=100") }

// list reads all pages of a list.
func list[T any](d *deployment, path string) (all []T) {
	d.t.Helper()
	for cursor := ""; ; {
		var page struct {
			Jobs, DeadLetters []T
			Next              string
		}
		decode(d.t, d.insist(http.MethodGet, path+cursor, ""), &page)
		all = append(append(all, page.Jobs...), page.DeadLetters...)
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

// settled reports whether nothing is left to be done: the queues are empty, no job is unfinished, and every callback has arrived.
func (d *deployment) settled() bool {
	d.t.Helper()
	return d.depth(stack.Queue, stack.DeadLetterQueue, stack.CallbackQueue) == 0 && len(d.jobs(queued)) == 0 && d.receiver.knows(d.orders)
}

// settle waits until nothing is left to be done, with the janitor's help, and checks what must hold then.
func (d *deployment) settle() {
	d.t.Helper()
	until(d.t, "nothing is left to be done", func() bool {
		if d.settled() {
			return true
		}
		d.sweep()
		return false
	})
	d.check()
}

// check is what must hold once nothing is left to be done: each job is listed once, in the state in which it must end, and is a dead letter if
// it is dead; ESA holds what it must and nothing else; all callbacks of a job are about the same end.
func (d *deployment) check() {
	d.t.Helper()
	listed, dead, withoutJob := map[string][]string{}, map[string]bool{}, 0
	for _, state := range []string{queued, succeeded, deadLettered, cancelled, dropped} {
		for _, j := range d.jobs(state) {
			if j.ClaimsJob == "" {
				listed[j.ID] = append(listed[j.ID], state)
			}
		}
	}
	for _, l := range d.letters() {
		if dead[l.JobID] = true; l.Code == unreadable {
			withoutJob++
			delete(listed, l.ID)
		}
	}
	if withoutJob != d.unreadable {
		d.t.Errorf("%d dead letters hold no job, want %d", withoutJob, d.unreadable)
	}
	for _, o := range d.orders {
		if states := listed[o.id]; o.id == "" || len(states) != 1 || states[0] != o.want || dead[o.id] != (o.want == deadLettered) {
			d.t.Errorf("%s: job %q is listed as %v, want once as %s; a dead letter: %t", o.name, o.id, states, o.want, dead[o.id])
		}
		delete(listed, o.id)
	}
	if len(listed) > 0 {
		d.t.Errorf("jobs without an order: %v", listed)
	}
	d.checkRoutines()
	d.receiver.check(d.orders)
}

// checkRoutines checks that ESA has the routine and the record of each order that succeeded, and nothing else. A cancelled order may leave its
// routine, and so may one for a wrong site if ESA did not list the sites when it was asked; it leaves no record.
func (d *deployment) checkRoutines() {
	d.t.Helper()
	type record struct{ RecordName string }
	var state struct {
		Routines []struct {
			Name    string
			Records []record
		}
	}
	d.read(d.url[edgeService]+"/_local/state", &state)
	found := map[string][]record{}
	for _, r := range state.Routines {
		found[r.Name] = r.Records
	}
	for _, o := range d.orders {
		records := found[o.name]
		if o.want == succeeded && !slices.Equal(records, []record{{o.record()}}) {
			d.t.Errorf("%s: ESA has the records %v, want %s alone", o.name, records, o.record())
		}
		if o.want != deadLettered || len(records) == 0 {
			delete(found, o.name)
		}
	}
	if len(found) > 0 {
		d.t.Errorf("routines without an order: %v", found)
	}
}
