package seeds_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"routinely/functions/accept"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// request is one HTTP request of a user, sent until it has an answer.
type request struct {
	method, path, body, by string
	// key is the header Idempotency-Key; empty of a batch, whose items have their own.
	key     string
	intents []intent
	from    int
	open    bool
	// answered is set once there is nothing to send again for.
	answered bool
	// planned is when the plan was made that the request carries out.
	planned time.Time
}

// keys are the idempotency keys of what is asked for.
func (q *request) keys() string {
	var out []string
	for _, in := range q.intents {
		out = append(out, in.key)
	}
	return strings.Join(out, ",")
}

func requestsOf(intents []intent, receiver string) (out []*request) {
	batches := map[string]*request{}
	for _, in := range intents {
		item := itemOf(in, receiver)
		if in.batch == 0 || in.what != creates {
			out = append(out, requestOf(in, item))
			continue
		}
		item["idempotencyKey"] = in.key
		id := fmt.Sprint(in.by, in.batch)
		b := batches[id]
		if b == nil {
			b = &request{method: http.MethodPost, path: "/v1/routines:batch", by: in.by, from: in.from}
			batches[id], out = b, append(out, b)
		}
		b.intents = append(b.intents, in)
		b.body += textOf(item) + "\n"
	}
	for _, b := range batches {
		b.body = "[" + strings.ReplaceAll(strings.TrimSpace(b.body), "\n", ",") + "]"
	}
	return out
}

// itemOf is the body of an intent's request.
func itemOf(in intent, receiver string) map[string]any {
	item := map[string]any{}
	if in.told {
		item["callbackUrl"] = receiver + "/" + in.key
	}
	if in.expiresIn > 0 {
		item["expiresIn"] = routine.Span(in.expiresIn).String()
	}
	if in.what == rollsBack {
		item["to"] = routine.Previous
	}
	if in.environment != "" {
		item["environments"] = []routine.Environment{in.environment}
	}
	if in.what != creates {
		return item
	}
	switch {
	case in.bySum:
		item["code"] = map[string]string{"sha256": sumOf(in.code)}
	case in.code != "":
		item["code"] = map[string]string{"source": in.code}
	}
	item["name"] = in.name
	var records []any
	for _, host := range in.hosts {
		records = append(records, map[string]string{"siteId": fmt.Sprint(siteID), "recordName": host})
	}
	item["records"] = records
	if in.description != "" {
		item["description"] = in.description
	}
	if in.ifExists != "" {
		item["ifExists"] = in.ifExists
	}
	return item
}

func requestOf(in intent, item map[string]any) *request {
	q := &request{method: http.MethodPost, path: "/v1/routines/" + in.name, body: textOf(item), by: in.by, key: in.key, intents: []intent{in}, from: in.from}
	switch in.what {
	case creates:
		q.path = "/v1/routines"
	case deletes:
		q.method = http.MethodDelete
	case unbinds:
		q.method, q.path = http.MethodDelete, q.path+"/records/"+in.hosts[0]
	case plans:
		q.path, q.body, q.key = "/v1/routines:plan-delete", textOf(map[string]any{"names": []string{in.name}}), ""
	default:
		q.path += ":" + in.what
	}
	return q
}

func textOf(v any) string {
	text, _ := json.Marshal(v) // maps of texts
	return string(text)
}

// visit lets a process of accept answer a request, unless it is at work. Each request has a time of its own: numbers of intents are milliseconds.
func (r *run) visit(method, path, by, key, body string, then func(*invocation)) bool {
	if r.atWork(acceptor) {
		return false
	}
	r.move(tick)
	return r.start(acceptor, strings.Join([]string{by, method, path, key}, " "), httpEvent(method, path, r.tokens[by], key, body), then)
}

// tick is longer than a batch has items, of which each has a number of its own.
const tick = 20 * time.Millisecond

// ask lets a user send a request that has no answer yet, or at times one that has.
func (r *run) ask() bool {
	open := slices.DeleteFunc(slices.Clone(r.requests), func(q *request) bool {
		return q.open || !r.calm && q.from > r.step || q.answered && (r.calm || !r.chance(5))
	})
	if len(open) == 0 {
		return false
	}
	q := open[r.random.IntN(len(open))]
	q.open = r.visit(q.method, q.path, q.by, q.key, q.body, func(in *invocation) {
		q.open = false
		if !in.lived() || !r.calm && r.chance(10) {
			r.log("the user has no answer about %s", q.keys())
			q.answered = q.answered && q.key != "" && r.ids[q.key] != "" // what was refused before may be accepted now
			return
		}
		response := in.out.(accept.Response)
		r.log("the user is answered %d about %s", response.StatusCode, q.keys())
		switch code := response.StatusCode; {
		case q.intents[0].what == plans && (code < http.StatusInternalServerError || q.planned.IsZero()):
			q.answered = r.acceptedPlan(q, response)
		case code == http.StatusAccepted || code == http.StatusOK || code == http.StatusMultiStatus:
			q.answered = r.accepted(q, response.Body)
		case code >= http.StatusInternalServerError:
		default: // refused: nothing was accepted, now or before
			q.answered = true
		}
	})
	return q.open
}

// accepted notes the jobs that stand for the intents of a request, and reports whether there is nothing to send again for.
func (r *run) accepted(q *request, body string) bool {
	if q.key != "" {
		var job routine.Job
		r.must(json.Unmarshal([]byte(body), &job))
		r.ids[q.key] = job.ID
		return true
	}
	var batch api.BatchResult
	r.must(json.Unmarshal([]byte(body), &batch))
	done := true
	for i, in := range q.intents {
		switch item := batch.Items[i]; item.Status {
		case api.Failed:
			done = false
		case api.Rejected:
			r.log("%s is rejected", in.key)
		default:
			r.ids[in.key] = item.JobID
		}
	}
	return done
}

// acceptedPlan makes of a plan the request that carries it out some time later, and notes the job of that one. It reports whether there is nothing to send
// again for.
func (r *run) acceptedPlan(q *request, response accept.Response) bool {
	in := q.intents[0]
	if q.planned.IsZero() {
		var plan api.Plan
		if response.StatusCode != http.StatusOK {
			return false
		}
		r.must(json.Unmarshal([]byte(response.Body), &plan))
		apply := api.ApplyRequest{Hash: plan.Hash, Items: plan.Items}
		if in.told {
			apply.CallbackURL = r.receiverURL + "/" + in.key
		}
		q.path, q.key, q.body = "/v1/routines:apply-delete", in.key, textOf(apply)
		q.planned, q.from = r.clock.Now(), r.step+r.random.IntN(200)
		r.planned[in.key] = q.planned
		return plan.Delete == 0
	}
	var applied api.Applied
	r.must(json.Unmarshal([]byte(response.Body), &applied))
	if len(applied.Items) > 0 && applied.Items[0].JobID != "" {
		r.ids[in.key] = applied.Items[0].JobID
	}
	return applied.Failed == 0
}

// httpEvent is what the HTTP trigger of accept hands over.
func httpEvent(method, path, token, key, body string) []byte {
	headers := map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + token}
	if key != "" {
		headers["Idempotency-Key"] = key
	}
	path, query, _ := strings.Cut(path, "?")
	parameters := map[string]string{}
	if name, value, found := strings.Cut(query, "="); found {
		parameters[name] = value
	}
	event, _ := json.Marshal(map[string]any{
		"version": "v1", "rawPath": path, "headers": headers, "queryParameters": parameters, "body": body, "isBase64Encoded": false,
		"requestContext": map[string]any{"http": map[string]string{"method": method, "path": path, "sourceIp": "192.0.2.1"}},
	})
	return event
}

// redrive is a redrive of a superseded job, which makes a new intent of it, in the time of its request.
type redrive struct {
	id         string
	began, end time.Time
}

// operate lets an operator redrive a job, or call one off.
func (r *run) operate() bool {
	keys := slices.Sorted(maps.Keys(r.ids))
	if len(keys) == 0 || r.plan.orders == 0 || r.calm {
		return false
	}
	key := keys[r.random.IntN(len(keys))]
	id := r.ids[key]
	row, err := r.ledger.Row(r.t.Context(), id)
	r.must(err)
	path := "/v1/jobs/" + id + ":cancel"
	switch row.State {
	case routine.Queued:
		if !r.chance(3) {
			return false
		}
	case routine.DeadLettered, routine.Superseded:
		path = "/v1/dead-letters/" + id + ":redrive"
	default:
		return false
	}
	if !r.visit(http.MethodPost, path, operator, "", "", func(in *invocation) {
		if row.State == routine.Superseded {
			r.redrives[len(r.redrives)-1].end = r.clock.Now()
		}
	}) {
		return false
	}
	r.log("that is %s, which is %s", key, row.State)
	r.plan.orders--
	if row.State == routine.Superseded {
		r.redrives = append(r.redrives, redrive{id: id, began: r.clock.Now()})
	}
	return true
}
