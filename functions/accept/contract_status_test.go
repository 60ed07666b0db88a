package accept

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// operation is how to ask for one, about a job of that id.
type operation struct {
	method, path, body string
	// media is the type of the body, if it is not JSON.
	media string
	// may says which of the callers with a single scope may make it; empty if everybody may, and nobody has to be known.
	may string
	// about names the job that a good request is about.
	about string
	// others are requests that end otherwise, by their status: about another job, or with another body or key.
	others map[int]operation
	key    string
	// who asks, if it is not the caller with all scopes.
	who string
	// never is set to ask a deployment that does not delete.
	never bool
	// first is what is asked for before, so that there is something to do. If ends is set, its job succeeds.
	first *operation
	ends  bool
	// plan makes the body of a request to carry out a plan about the job's id.
	plan bool
}

func operations() map[string]operation {
	const submit, read, operate, letter, paused = "submitter", "reader", "operator", "/v1/dead-letters/ID", `{"reason":"moving"}`
	const badURL = `{"callbackUrl":"https://a b"}`
	nobody, adopted := map[int]operation{404: {about: "nobody"}}, map[int]operation{409: {about: "adopted"}}
	return map[string]operation{
		"createRoutine": {method: "POST", path: "/v1/routines", body: wishFor(9), may: submit, others: map[int]operation{
			200: {body: wishFor(2), key: "ended"}, 409: {who: submit, body: `{"name":"own","recordName":"own.example.com","protected":true}`}, 422: {body: "{}"},
		}},
		"listRoutines":  {method: "GET", path: "/v1/routines", may: read},
		"deleteRoutine": changes(operation{method: "DELETE", path: "/v1/routines/ID", may: submit, others: adopted}, badURL),
		"deleteRecord": changes(operation{
			method: "DELETE", path: "/v1/routines/ID/records/own.example.com", may: submit, others: map[int]operation{409: {about: "own", never: true}},
		}, badURL),
		"renewRoutine": changes(operation{
			method: "POST", path: "/v1/routines/ID:renew", body: `{"expiresIn":"72h"}`, may: submit, others: adopted,
		}, `{"expiresIn":"1s"}`),
		"rollbackRoutine": changes(operation{
			method: "POST", path: "/v1/routines/ID:rollback", body: `{"to":"previous"}`, may: submit, others: adopted,
		}, `{"to":"7"}`),
		"keepCode": {method: "POST", path: "/v1/code", body: "export default {}", media: "application/javascript", may: submit, others: map[int]operation{
			422: {body: " "},
		}},
		"claimRoutine": changes(operation{method: "POST", path: "/v1/routines/ID:claim", may: operate}, badURL),
		"planDeletion": {method: "POST", path: "/v1/routines:plan-delete", body: `{"all":true}`, may: submit, others: map[int]operation{422: {body: "{}"}}},
		"applyDeletion": {method: "POST", path: "/v1/routines:apply-delete", about: "own", plan: true, may: submit, others: map[int]operation{
			409: {about: "adopted"}, 422: {body: "{}"},
		}},
		"receiveGitHub": {method: "POST", path: "/v1/github", body: closed(7), may: submit, others: map[int]operation{
			200: {body: `{"action":"opened","number":7,"pull_request":{}}`}, 409: {never: true},
		}},
		"checkDrift": {method: "GET", path: "/v1/routines:check", may: read},
		"createRoutineBatch": {method: "POST", path: "/v1/routines:batch", body: "[" + wishFor(9) + "]", may: submit, others: map[int]operation{
			422: {body: "[{}]"},
		}},
		"getRoutine": {method: "GET", path: "/v1/routines/ID", about: "pr-1", may: read, others: nobody},
		"listJobs":   {method: "GET", path: "/v1/jobs", may: read},
		"getJob":     {method: "GET", path: "/v1/jobs/ID", about: "queued", may: read, others: nobody},
		"cancelJob": {
			method: "POST", path: "/v1/jobs/ID:cancel", about: "queued", may: submit + operate, others: map[int]operation{404: {about: "nobody"}, 409: {about: "ended"}},
		},
		"notifyJob": {
			method: "POST", path: "/v1/jobs/ID:notify", about: "told", may: operate, others: map[int]operation{404: {about: "nobody"}, 409: {about: "ended"}},
		},
		"listDeadLetters":    {method: "GET", path: "/v1/dead-letters", may: read},
		"dropDeadLetters":    {method: "DELETE", path: "/v1/dead-letters?all=true", may: operate},
		"redriveDeadLetters": {method: "POST", path: "/v1/dead-letters:redrive", body: `{"all":true}`, may: operate, others: map[int]operation{422: {body: "{}"}}},
		"getDeadLetter":      {method: "GET", path: letter, about: "dead", may: read, others: nobody},
		"dropDeadLetter":     {method: "DELETE", path: letter, about: "dead", may: operate, others: nobody},
		"redriveDeadLetter": {method: "POST", path: letter + ":redrive", about: "dead", may: operate, others: map[int]operation{
			404: {about: "nobody"}, 422: {about: "dead", body: `{"request":{}}`},
		}},
		"getAccount": {method: "GET", path: "/v1/account", may: read},
		"pauseLane":  {method: "POST", path: "/v1/account:pause", body: paused, may: operate},
		"resumeLane": {
			method: "POST", path: "/v1/account:resume", may: operate, others: map[int]operation{409: {}},
			first: &operation{method: "POST", path: "/v1/account:pause", body: paused},
		},
		"getHealth": {method: "GET", path: "/healthz"}, "getProblems": {method: "GET", path: "/problems"}, "getContract": {method: "GET", path: "/openapi.yaml"},
		"getSchema": {method: "GET", path: "/schemas/ID.json", about: "job", others: nobody},
	}
}

// changes makes an operation whose jobs change a routine one that can be asked for again. bad is a body with a value that is not possible.
func changes(op operation, bad string) operation {
	op.about = "own"
	first := op
	first.key = "done"
	others := map[int]operation{200: {about: "own", key: "done", first: &first, ends: true}, 422: {about: "own", body: bad}}
	maps.Copy(others, op.others)
	op.others = others
	return op
}

// as is a request for it with what another one has of its own.
func (op operation) as(other operation) operation {
	op.about, op.key, op.first, op.ends, op.who, op.never = other.about, other.key, other.first, other.ends, other.who, other.never
	if other.body != "" {
		op.body, op.plan = other.body, false
	}
	return op
}

// crew is a function with callers of every kind and jobs in every state.
type crew struct {
	*function
	tokens, jobs map[string]string
	seen         map[string]bool
}

func newCrew(t *testing.T) *crew {
	t.Helper()
	f := start(t)
	tokens := f.knows(t, map[string]string{
		"all": fmt.Sprintf(`"scopes":["submit","read","operate"],"githubSecrets":[%q],"deleteOnClose":"pr-{number}"`, githubSecret), "slow": `"scopes":["submit","read","operate"],"requestsPerMinute":1`,
		"submitter": `"scopes":["submit"]`, "reader": `"scopes":["read"]`, "operator": `"scopes":["operate"]`,
	})
	c := &crew{f, tokens, map[string]string{"pr-1": "pr-1", "nobody": "nobody", "job": "job", "own": "own", "adopted": "adopted"}, map[string]bool{}}
	c.owns(t, "all", "own", "own.example.com")
	c.owns(t, "all", "adopted")
	c.claims(t, "adopted", func(claim *routine.Claim) { claim.Ownership = routine.AdoptedThing })
	for state, body := range map[string]string{"queued": wishFor(1), "ended": wishFor(2), "dead": wishFor(3), "told": withCallback(hook)} {
		res := c.call(t, as(event("POST", "/v1/routines", body, "Idempotency-Key", state), c.tokens["all"]))
		c.jobs[state] = strings.TrimPrefix(res.Headers["Location"], "/v1/jobs/")
	}
	c.succeeds(t, c.jobs["ended"])
	c.dies(t, c.jobs["dead"])
	c.succeeds(t, c.jobs["told"])
	c.changes(t, c.jobs["told"], func(r *ledger.Row) {
		if err := r.Sent(0, 1, "k1", c.clock.Now()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// ask makes a request; change, if it is not nil, makes it a bad one.
func (c *crew) ask(t *testing.T, who string, op operation, change func(map[string]any)) int {
	t.Helper()
	if c.MayDelete = !op.never; op.who != "" {
		who = op.who
	}
	if op.first != nil {
		c.ask(t, "all", *op.first, nil)
	}
	if op.ends {
		c.succeeds(t, queue.KeyedJobID("all", op.key))
	}
	path, query, _ := strings.Cut(strings.Replace(op.path, "ID", c.jobs[op.about], 1), "?")
	e := event(op.method, path, op.body)
	if op.plan {
		e["body"] = planOf(t, api.PlanItem{Name: c.jobs[op.about], CreateTime: made, Number: made.UnixMilli(), Delete: true, Why: "the filter chooses it"})
	}
	if op.media != "" {
		e["headers"].(map[string]string)["Content-Type"] = op.media
	}
	if op.key != "" {
		e["headers"].(map[string]string)["Idempotency-Key"] = op.key
	}
	if query == "all=true" {
		e["queryParameters"] = map[string]string{"all": "true"}
	}
	if who != "" {
		as(e, c.tokens[who])
	}
	if change != nil {
		change(e)
	}
	status := c.call(t, e).StatusCode
	c.seen[strconv.Itoa(status)] = true
	return status
}

// TestContractStatuses asserts that the statuses of an operation are those that are documented for it. That no test sees another one is for the
// contract's check of every answer.
func TestContractStatuses(t *testing.T) {
	known := operations()
	for _, item := range newContract(t).doc.Paths.Map() {
		for _, documented := range item.Operations() {
			t.Run(documented.OperationID, func(t *testing.T) {
				op, found := known[documented.OperationID]
				if !found {
					t.Fatal("nobody knows how to ask for it")
				}
				c := newCrew(t)
				c.provoke(t, op)
				if diff := cmp.Diff(slices.Sorted(maps.Keys(documented.Responses.Map())), slices.Sorted(maps.Keys(c.seen))); diff != "" {
					t.Errorf("-documented +seen:\n%s", diff)
				}
			})
		}
	}
}

// provoke makes an operation answer in every way it can.
func (c *crew) provoke(t *testing.T, op operation) {
	t.Helper()
	expect := func(want int, who string, op operation, change func(map[string]any)) {
		t.Helper()
		if got := c.ask(t, who, op, change); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	for status, other := range op.others {
		expect(status, "all", op.as(other), nil)
	}
	expect(400, "all", op, func(e map[string]any) { e["queryParameters"] = map[string]string{"nosuch": "1"} })
	if op.may == "" {
		expect(200, "", op, nil)
		if op.path != "/healthz" { // which is no text
			expect(304, "", op, func(e map[string]any) { e["headers"].(map[string]string)["If-None-Match"] = "*" })
		}
		c.routes = func() http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken") })
		}
		expect(500, "", op, nil)
		return
	}
	expect(401, "", op, nil)
	nobody := op.as(operation{about: "nobody"})
	for _, who := range []string{"submitter", "reader", "operator"} {
		if strings.Contains(op.may, who) {
			if got := c.ask(t, who, nobody, nil); got == 403 {
				t.Errorf("the %s may not", who)
			}
			continue
		}
		for _, about := range []operation{op, nobody} { // they are told the same of jobs there are and of others
			expect(403, who, about, nil)
		}
	}
	longest := queue.MaxMessageBytes
	switch op.path {
	case "/v1/routines", "/v1/routines:batch", "/v1/routines:apply-delete":
		longest = api.MaxBatchBytes
	case "/v1/code":
		longest = routine.MaxCode
	case "/v1/github":
		longest = maxGitHubEvent
	}
	expect(413, "all", op, func(e map[string]any) { e["body"] = strings.Repeat(" ", longest+1) })
	expect(415, "all", op, func(e map[string]any) {
		e["body"], e["headers"].(map[string]string)["Content-Type"] = "a,b", "text/csv"
	})
	for c.ask(t, "slow", nobody, nil) != 429 {
	}
	if got := c.ask(t, "all", op, nil); got/100 != 2 {
		t.Errorf("status %d of a good request", got)
	}
	breaks(t, c.ots, otsDown)
	expect(503, "all", op, nil)
	c.Ledger = nil
	expect(500, "all", op, nil)
}
