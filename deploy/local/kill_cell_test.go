package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"routinely/deploy/local/stack"
)

// The ends of a job.
const (
	succeeded    = "succeeded"
	deadLettered = "dead-lettered"
	cancelled    = "cancelled"
)

// wish is a request for a routine and what is to become of it.
type wish struct {
	name, record string
	site         int64
	// want is the state in which its job must end.
	want string
}

func (w *wish) body() string {
	return fmt.Sprintf(`{"name":%q,"siteId":%d,"recordName":%q}`, w.name, w.site, w.record)
}

// point is a call to the outside at which somebody is killed.
type point struct {
	// doing is what the call is for.
	doing          string
	server, action string
	// match and skip tell the call from others of its action.
	match map[string]string
	skip  int
	// spoil, if not empty, is the fault that breaks ESA's first answer to the action spoilt, so that this call is made at all.
	spoilt, spoil string
	// fresh is for what only the first job of an instance leads to.
	fresh bool
	// want is how the job must end, if not well.
	want string
}

// cell is one point of the matrix: somebody was killed there.
type cell struct {
	point
	who    string
	after  bool
	killed string
	wishes []*wish
	// client is who waits for an answer; nil if nobody does.
	client *client
	ending string
}

// client is a caller of accept with the call that he makes until it is answered.
type client struct {
	path, key, body string
	status          <-chan int
}

// wish makes a new wish of the deployment.
func (d *deployment) wish(site int64, zone, want string) *wish {
	if want == "" {
		want = succeeded
	}
	name := fmt.Sprintf("job-%d", len(d.wishes))
	w := &wish{name: name, record: name + "." + zone, site: site, want: want}
	d.wishes = append(d.wishes, w)
	return w
}

// normal is a wish that can be fulfilled, or for a site that there is not if it is to become a dead letter.
func (d *deployment) normal(want string) *wish {
	if want == deadLettered {
		return d.wish(1, "example.net", want)
	}
	return d.wish(stack.SiteID, stack.SiteName, want)
}

func (d *deployment) url(server string) string {
	return map[string]string{messageService: d.mns, edgeService: d.esa, tableService: d.ots}[server]
}

// during does something that leads to the point, and returns once the server holds back what is called there.
func (d *deployment) during(p point, after bool, do func()) {
	d.t.Helper()
	faults := d.url(p.server) + "/_local/faults"
	rule, err := json.Marshal(map[string]any{
		"action": p.action, "match": p.match, "skip": p.skip, "fault": map[string]any{"answer": "hang", "execute": after},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	send(d.t, http.MethodPost, faults, string(rule))
	do()
	until(d.t, p.doing+": "+p.action, func() bool { return strings.TrimSpace(string(send(d.t, http.MethodGet, faults, ""))) == "[]" })
}

// submit is a client who asks until the request is accepted.
func (d *deployment) submit(w *wish) {
	d.t.Helper()
	d.insist(&client{path: "/v1/routines", key: w.name, body: w.body()})
}

func (d *deployment) ask(c *client) <-chan int {
	return ask(d.t.Context(), d.http+c.path, c.key, c.body)
}

// insist makes a call again until it is answered, which must be well.
func (d *deployment) insist(c *client) {
	d.t.Helper()
	var status int
	until(d.t, c.path+" is answered", func() bool {
		status = <-d.ask(c)
		return status < http.StatusInternalServerError
	})
	if status >= http.StatusBadRequest {
		d.t.Errorf("%s %s: answered with %d", c.path, c.body, status)
	}
}

// held begins a cell with a client whose call does not come to its end.
func (d *deployment) held(who string, p point, after bool, c *client, wishes ...*wish) *cell {
	d.t.Helper()
	d.during(p, after, func() { c.status = d.ask(c) })
	return d.add(&cell{point: p, who: who, after: after, wishes: wishes, client: c})
}

func (d *deployment) add(c *cell) *cell {
	d.cells = append(d.cells, c)
	return c
}

// accept begins a cell in which accept is at a single request, batch one in which it is at many.
func (d *deployment) accept(p point, after bool) *cell {
	d.t.Helper()
	w := d.normal(p.want)
	return d.held("accept, request", p, after, &client{path: "/v1/routines", key: w.name, body: w.body()}, w)
}

func (d *deployment) batch(p point, after bool) *cell {
	d.t.Helper()
	const size = 26
	wishes, items := make([]*wish, size), make([]string, size)
	for i := range size {
		wishes[i] = d.normal(p.want)
		items[i] = wishes[i].body()
	}
	return d.held("accept, batch", p, after, &client{
		path: "/v1/routines:batch", key: wishes[0].name, body: "[" + strings.Join(items, ",") + "]",
	}, wishes...)
}

// redrive begins a cell in which accept is at a redrive, of letters whose site is there by now, beside one that is not meant.
func (d *deployment) redrive(p point, after bool) *cell {
	d.t.Helper()
	const letters = 3
	site := int64(100 + len(d.cells))
	zone := fmt.Sprintf("site-%d.net", site)
	var wishes []*wish
	for range letters {
		wishes = append(wishes, d.wish(site, zone, succeeded))
	}
	taken := d.wish(stack.SiteID, stack.SiteName, deadLettered)
	send(d.t, http.MethodPost, d.esa+"/_local/records", fmt.Sprintf(`{"siteId":%d,"recordName":%q}`, taken.site, taken.record))
	for _, w := range append(wishes, taken) {
		d.submit(w)
	}
	d.awaitQuiet()
	send(d.t, http.MethodPost, d.esa+"/_local/sites", fmt.Sprintf(`{"id":%d,"name":%q}`, site, zone))
	return d.held("accept, redrive", p, after, &client{
		path: "/v1/dead-letters:redrive", body: fmt.Sprintf(`{"siteId":%d,"reason":"site added"}`, site),
	}, wishes...)
}

// cancel begins a cell in which accept is at calling a job off that no worker has begun.
func (d *deployment) cancel(p point, after bool) *cell {
	d.t.Helper()
	w := d.normal(p.want)
	if p.fresh {
		d.renew(accept)
	}
	d.submit(w)
	return d.held("accept, cancellation", p, after, &client{path: "/v1/jobs/" + d.stories()[w.name][0].ID + ":cancel"}, w)
}

// work begins a cell in which the worker is at a job.
func (d *deployment) work(p point, after bool) *cell {
	d.t.Helper()
	w := d.normal(p.want)
	if p.fresh {
		d.renew(worker)
	}
	if p.server == edgeService {
		p.match = map[string]string{"Name": w.name}
	}
	if p.spoil != "" {
		send(d.t, http.MethodPost, d.esa+"/_local/faults", fmt.Sprintf(`{"action":%q,"match":{"Name":%q},"fault":%s}`, p.spoilt, w.name, p.spoil))
	}
	d.during(p, after, func() { d.submit(w) })
	return d.add(&cell{point: p, who: "provision", after: after, wishes: []*wish{w}})
}

// renew makes the function's next event go to a new instance.
func (d *deployment) renew(function string) {
	d.t.Helper()
	send(d.t, http.MethodPost, d.fc+"/_local/instances/kill", fmt.Sprintf(`{"function":%q}`, function))
}

// killInstance kills the instance of the function that is at the cell's point.
func (d *deployment) killInstance(function string, c *cell) {
	d.t.Helper()
	kill(d.t, d.busy(d.t, function).PID)
	c.killed = strings.TrimPrefix(function, "routinely-")
}

// interrupted takes the answer of a call that was cut off, and makes the call again.
func (d *deployment) interrupted(c *cell) {
	d.t.Helper()
	d.cutOff(c)
	d.insist(c.client)
}

func (d *deployment) cutOff(c *cell) {
	d.t.Helper()
	if status := <-c.client.status; status < http.StatusInternalServerError {
		d.t.Errorf("%s: the call was answered with %d", d.place(c.wishes[0]), status)
	}
}

// restartAt kills a program at the cells' point, once what is to have taken effect has, and starts it again.
func (d *deployment) restartAt(name string, cells ...*cell) {
	d.t.Helper()
	for _, c := range cells {
		c.killed = name
		if c.after && name != functionCompute {
			until(d.t, c.doing+" takes effect", func() bool { return d.tookEffect(c) })
		}
	}
	d.restart(name)
}

// tookEffect asks the server whether the call at the cell's point, that of the last wish, is done.
func (d *deployment) tookEffect(c *cell) bool {
	d.t.Helper()
	w := c.wishes[len(c.wishes)-1]
	inQueue := func(queue string) bool {
		return slices.ContainsFunc(d.messages(queue), func(body string) bool { return strings.Contains(body, `"`+w.name+`"`) })
	}
	told := func() bool {
		stories := d.stories()[w.name]
		return len(stories) > 0 && stories[0].State == w.want
	}
	switch c.action {
	case "SendMessage", "BatchSendMessage":
		return inQueue(c.match["queue"]) || told() // the worker can have been faster than this look
	case "DeleteMessage":
		return !inQueue(c.match["queue"])
	case "CreateRoutine", "CreateRoutineRelatedRecord":
		return slices.ContainsFunc(d.routines(d.t), func(r routine) bool {
			return r.Name == w.name && (c.action == "CreateRoutine" || len(r.Records) > 0)
		})
	case "UpdateRow":
		return told()
	}
	return len(d.stories()[w.name]) > 0
}

// settle waits until nothing is left to be done and checks what became of every wish.
func (d *deployment) settle() {
	d.t.Helper()
	d.awaitQuiet()
	stories, letters, endings := d.stories(), d.letters(), map[string]string{}
	routines := map[string]routine{}
	for _, r := range d.routines(d.t) {
		routines[r.Name] = r
	}
	for _, w := range d.wishes {
		told := stories[w.name]
		if len(told) != 1 || told[0].State != w.want || told[0].ends[told[0].Redriven] != 1 {
			d.t.Errorf("%s: the ledger tells %+v, want one job that is %s and came to one end", d.place(w), told, w.want)
		}
		for _, s := range told {
			endings[w.name] = s.ending()
			d.checkLetters(w, letters[s.ID])
			delete(letters, s.ID)
		}
		d.checkRoutine(w, routines)
		delete(routines, w.name)
		delete(stories, w.name)
	}
	if len(stories)+len(letters)+len(routines) > 0 {
		d.t.Errorf("nobody has asked for: jobs %v, dead letters %v, routines %v", stories, letters, routines)
	}
	for _, c := range d.cells {
		c.end(endings)
	}
}

// place names a wish with the cell that it belongs to, if it does.
func (d *deployment) place(w *wish) string {
	for _, c := range d.cells {
		if slices.Contains(c.wishes, w) {
			return fmt.Sprintf("%s (%s killed, %s: %s, %s %s)", w.name, c.killed, c.who, c.doing, c.when(), c.action)
		}
	}
	return w.name
}

func (c *cell) when() string {
	if c.after {
		return "after"
	}
	return "before"
}

// end tells how the jobs of the cell ended, those that ended alike together.
func (c *cell) end(endings map[string]string) {
	count := map[string]int{}
	for _, w := range c.wishes {
		count[endings[w.name]]++
	}
	var ends []string
	for _, ending := range slices.Sorted(maps.Keys(count)) {
		ends = append(ends, fmt.Sprintf("%d %s", count[ending], ending))
	}
	c.ending = strings.Join(ends, "; ")
}

func (s story) ending() string {
	switch s.State {
	case succeeded:
		return fmt.Sprintf("succeeded (routine %s, record %s)", s.Result.Routine, s.Result.Record)
	case deadLettered:
		return fmt.Sprintf("dead-lettered (%s, %s)", s.Code, s.Reason)
	}
	return s.State
}

func (d *deployment) checkLetters(w *wish, copies []letter) {
	d.t.Helper()
	if (w.want == deadLettered) != (len(copies) > 0) {
		d.t.Errorf("%s is to be %s: its dead letters are %+v", d.place(w), w.want, copies)
	}
	for _, l := range copies {
		if l.Subject != copies[0].Subject || l.Data.Reason == "" || l.Data.Code == "" {
			d.t.Errorf("%s: its dead letters are %+v, want copies of one with a code and a reason", d.place(w), copies)
		}
	}
}

// checkRoutine checks what ESA holds of a wish. One that failed at step 2 leaves its routine.
func (d *deployment) checkRoutine(w *wish, routines map[string]routine) {
	d.t.Helper()
	r, found := routines[w.name]
	records := len(r.Records)
	switch w.want {
	case succeeded:
		if records != 1 || r.Records[0].RecordName != w.record {
			d.t.Errorf("%s: ESA holds %+v, want the record %s and no other", d.place(w), r, w.record)
		}
	case deadLettered:
		if !found || records != 0 {
			d.t.Errorf("%s: ESA holds %+v, want a routine without records", d.place(w), r)
		}
	default:
		if found {
			d.t.Errorf("%s was cancelled: ESA holds %+v", d.place(w), r)
		}
	}
}
