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
	superseded   = "superseded"
)

// order is a request for a routine, or about one, and how its job must end.
type order struct {
	name string
	site int64
	zone string
	// pair says that it asks for two host names, and expiresIn how long the routine is to live, if that is not for ever.
	pair      bool
	expiresIn string
	// code is what the routine is to run in the end, beside at most codeVersions versions; empty if it has none.
	code string
	// other is the call of an order for something else than that a routine is there.
	other *call
	// deleted says that a later order is for the routine's deletion, which may overtake the job.
	deleted bool
	// want is the state in which the job must end.
	want string
	// callback says that the receiver gets a callback at the end.
	callback bool
	// id is the job's, once it is accepted.
	id string
}

// call is a call of accept.
type call struct{ method, path, body string }

func (o *order) record() string { return o.name + "." + o.zone }

// records are the host names that it asks for, in ESA's order.
func (o *order) records() []string {
	if o.pair {
		return []string{o.record(), "www." + o.record()}
	}
	return []string{o.record()}
}

// body is the request.
func (d *deployment) body(o *order) string {
	more := codeMember(o.code)
	if o.expiresIn != "" {
		more += fmt.Sprintf(`,"expiresIn":%q`, o.expiresIn)
	}
	if o.callback {
		more += fmt.Sprintf(`,"callbackUrl":%q`, d.url[theReceiver]+"/hook")
	}
	if o.pair {
		names := o.records()
		return fmt.Sprintf(`{"name":%q,"records":[{"recordName":%q},{"recordName":%q}]%s}`, o.name, names[0], names[1], more)
	}
	return fmt.Sprintf(`{"name":%q,"siteId":%d,"recordName":%q%s}`, o.name, o.site, o.record(), more)
}

// codeMember is the member of a request with some code.
func codeMember(source string) string {
	if source == "" {
		return ""
	}
	return fmt.Sprintf(`,"code":{"source":%q}`, source)
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

// ask asks for something about a routine, again until that is accepted.
func (d *deployment) ask(want, method, path, body string) *order {
	d.t.Helper()
	o := d.question(want, method, path, body)
	d.askAgain(o)
	return o
}

// question makes an order for something about a routine.
func (d *deployment) question(want, method, path, body string) *order {
	o := &order{name: fmt.Sprintf("%s %s %d", method, path, len(d.orders)), other: &call{method, path, body}, want: want}
	d.orders = append(d.orders, o)
	return o
}

// askAgain asks for what such an order wants. The call's idempotency key is the order's name.
func (d *deployment) askAgain(o *order) {
	d.t.Helper()
	var result struct{ ID string }
	decode(d.t, d.insist(o.other.method, o.other.path, o.other.body, "Idempotency-Key", o.name), &result)
	o.accepted(d.t, result.ID)
}

// deletion makes an order for the deletion of an order's routine. If the order wants a callback, the deletion does.
func (d *deployment) deletion(o *order) *order {
	body := ""
	if o.callback {
		body = fmt.Sprintf(`{"callbackUrl":%q}`, d.url[theReceiver]+"/hook")
	}
	o.deleted = true
	deletion := d.question(succeeded, http.MethodDelete, "/v1/routines/"+o.name, body)
	deletion.callback = o.callback
	return deletion
}

// delete asks for the deletion of an order's routine.
func (d *deployment) delete(o *order) *order {
	d.t.Helper()
	deletion := d.deletion(o)
	d.askAgain(deletion)
	return deletion
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
	ClaimsJob, Hint               string
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
