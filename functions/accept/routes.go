package accept

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"routinely/shared/auth"
	"routinely/shared/plain"
)

//go:embed problems.md
var problemsPage []byte

//go:embed openapi.yaml
var contractPage []byte

// schemaFiles are the JSON Schemas that openapi.yaml names in x-schemas; TestSchemaFiles cuts them from it.
//
//go:embed schemas
var schemaFiles embed.FS

// newRoutes returns the function's HTTP interface; openapi.yaml describes it.
func (s *Service) newRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/routines", resource{
		http.MethodGet: s.allow(auth.Read, s.listRoutines), http.MethodPost: s.allow(auth.Submit, bare(keyed(s.createRoutine))),
	})
	mux.Handle("/v1/routines:batch", resource{http.MethodPost: s.allow(auth.Submit, bare(keyed(s.createRoutines)))})
	mux.Handle("/v1/routines:plan-delete", resource{http.MethodPost: s.allow(auth.Submit, bare(byToken(s.planDeletion)))})
	mux.Handle("/v1/routines:apply-delete", resource{http.MethodPost: s.allow(auth.Submit, bare(byToken(keyed(s.applyDeletion))))})
	mux.Handle("/v1/routines:check", resource{http.MethodGet: s.allow(auth.Read, bare(s.checkDrift))})
	mux.Handle("/v1/code", resource{http.MethodPost: s.allow(auth.Submit, bare(byToken(s.postCode)))})
	mux.Handle("/v1/github", resource{http.MethodPost: s.allow(auth.Submit, bare(s.receiveGitHub))})
	mux.Handle("/v1/routines/{id}", thing{
		resource{http.MethodGet: s.allow(auth.Read, bare(s.routine)), http.MethodDelete: s.allow(auth.Submit, bare(byToken(keyed(s.deleteRoutine))))},
		map[string]handler{
			"renew":    s.allow(auth.Submit, bare(byToken(keyed(s.renewRoutine)))),
			"rollback": s.allow(auth.Submit, bare(byToken(keyed(s.rollbackRoutine)))),
			"claim":    s.allow(auth.Operate, bare(keyed(s.claimRoutine))),
		},
	})
	mux.Handle("/v1/routines/{id}/records/{record}", resource{http.MethodDelete: s.allow(auth.Submit, bare(byToken(keyed(s.deleteRecord))))})
	mux.Handle("/v1/jobs", resource{http.MethodGet: s.allow(auth.Read, s.listJobs)})
	mux.Handle("/v1/jobs/{id}", thing{
		resource{http.MethodGet: s.allow(auth.Read, bare(s.job))},
		map[string]handler{"cancel": s.allow(ownRule, bare(s.cancelJob)), "notify": s.allow(auth.Operate, bare(bodiless(s.notifyJob)))},
	})
	mux.Handle("/v1/dead-letters", resource{
		http.MethodGet: s.allow(auth.Read, s.listDeadLetters), http.MethodDelete: s.allow(auth.Operate, bodiless(s.dropDeadLetters)),
	})
	mux.Handle("/v1/dead-letters:redrive", resource{http.MethodPost: s.allow(auth.Operate, bare(s.redriveDeadLetters))})
	mux.Handle("/v1/dead-letters/{id}", thing{
		resource{http.MethodGet: s.allow(auth.Read, bare(s.deadLetter)), http.MethodDelete: s.allow(auth.Operate, bodiless(s.dropDeadLetter))},
		map[string]handler{"redrive": s.allow(auth.Operate, bare(s.redriveDeadLetter))},
	})
	mux.Handle("/v1/account", resource{http.MethodGet: s.allow(auth.Read, bare(s.account))})
	mux.Handle("/v1/account:pause", resource{http.MethodPost: s.allow(auth.Operate, bare(s.pauseLane))})
	mux.Handle("/v1/account:resume", resource{http.MethodPost: s.allow(auth.Operate, bare(s.resumeLane))})
	mux.Handle("/healthz", resource{http.MethodGet: bare(health)})
	mux.Handle("/problems", resource{http.MethodGet: bare(page("text/markdown; charset=utf-8", problemsPage))})
	mux.Handle("/openapi.yaml", resource{http.MethodGet: bare(page("application/yaml", contractPage))})
	mux.Handle("/schemas/{file}", resource{http.MethodGet: bare(schema)})
	mux.HandleFunc("/", noSuchPath)
	return onlyClean(mux)
}

// resource is what one path answers, by method; HEAD is answered as GET is.
type resource map[string]handler

func (res resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if h := res[method]; h != nil {
		serve(h, w, r)
		return
	}
	allowed := slices.Sorted(maps.Keys(res))
	if res[http.MethodGet] != nil {
		allowed = append(allowed, http.MethodHead)
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeProblem(r.Context(), w, problemMethod.with(fmt.Sprintf("%s is not possible here; allowed: %s", plain.Clip(r.Method, maxShown), w.Header().Get("Allow"))))
}

// thing is a resource with an id, which the name of an action may follow, as in POST /v1/jobs/ID:cancel.
type thing struct {
	resource
	actions map[string]handler
}

func (t thing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answers := t.resource
	for name, act := range t.actions {
		id, found := strings.CutSuffix(r.PathValue("id"), ":"+name)
		switch {
		case !found || id == "":
		case r.Method == http.MethodPost:
			r.SetPathValue("id", id)
			serve(act, w, r)
			return
		default:
			answers = maps.Clone(answers)
			answers[http.MethodPost] = act // for the header Allow
		}
	}
	answers.ServeHTTP(w, r)
}

// handler answers one request; its error becomes a problem.
type handler func(*http.Request) (reply, error)

// bare makes a handler of one for addresses without parameters.
func bare(h handler) handler {
	return func(r *http.Request) (reply, error) {
		if err := readQuery(r).end(); err != nil {
			return reply{}, err
		}
		return h(r)
	}
}

// bodiless makes a handler of one for requests without a body. What is in a body would be passed over, a dry run for example.
func bodiless(h handler) handler {
	return func(r *http.Request) (reply, error) {
		if err := readOptional(r, &struct{}{}); err != nil {
			return reply{}, err
		}
		return h(r)
	}
}

// byToken makes a handler of one for callers with a token. A signature shows who wrote the body, and not at which path it was meant to go.
func byToken(h handler) handler {
	return func(r *http.Request) (reply, error) {
		if callerOf(r.Context()).Signed() {
			return reply{}, challenged(problemDenied.with("a signature shows who wrote the body, and not which routine the path names: send a bearer token"))
		}
		return h(r)
	}
}

// keyed makes a handler of one for requests with an idempotency key or without. An empty one comes of a variable that was empty: passed over,
// each repeat would be a new job.
func keyed(h handler) handler {
	return func(r *http.Request) (reply, error) {
		if values := r.Header.Values("Idempotency-Key"); len(values) > 0 && values[0] == "" {
			return reply{}, problemKey.with("the header Idempotency-Key is empty: leave it out")
		}
		return h(r)
	}
}

// reply is a handler's successful answer: JSON, unless text is set.
type reply struct {
	status int
	header map[string]string
	body   any
	text   []byte
	// more are header fields beside header.
	more http.Header
}

// with adds header fields.
func (r reply) with(more http.Header) reply {
	r.more = more
	return r
}

// serve writes a handler's answer as JSON, an error as a problem.
func serve(h handler, w http.ResponseWriter, r *http.Request) {
	err := checkRepeated(r.Header)
	var out reply
	if err == nil {
		out, err = h(r)
	}
	if err != nil {
		writeProblem(r.Context(), w, problemOf(err))
		return
	}
	maps.Copy(w.Header(), out.more)
	for name, value := range out.header {
		w.Header().Set(name, value)
	}
	if out.text != nil {
		w.WriteHeader(out.status)
		_, _ = w.Write(out.text)
		return
	}
	writeJSON(w, out.status, "application/json", out.body)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // an escape takes six bytes, and no browser takes JSON for a page
	_ = encoder.Encode(body)     // cannot fail: the bodies are our own types, and the answer is in memory
}

func noSuchPath(w http.ResponseWriter, r *http.Request) {
	writeProblem(r.Context(), w, problemNoSuchPath)
}

// onlyClean keeps paths that are not clean from the router, which would redirect them: no use to an API's clients.
func onlyClean(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean(r.URL.Path) != r.URL.Path {
			noSuchPath(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func health(*http.Request) (reply, error) {
	return reply{status: http.StatusOK, body: map[string]string{"status": "ok"}}, nil
}

// page answers with a text that does not change until the next deployment.
func page(contentType string, text []byte) handler {
	return func(r *http.Request) (reply, error) {
		sum := sha256.Sum256(text)
		tag := `"` + hex.EncodeToString(sum[:8]) + `"`
		out := reply{status: http.StatusOK, text: text, header: map[string]string{
			"Content-Type": contentType, "Cache-Control": "public, max-age=300", "ETag": tag,
		}}
		if sameText(r.Header.Get("If-None-Match"), tag) {
			delete(out.header, "Content-Type")
			out.status, out.text = http.StatusNotModified, []byte{}
		}
		return out, nil
	}
}

// sameText reports whether a header If-None-Match names a text. A weak name is as good as a strong one there (RFC 9110, section 13.1.2).
func sameText(wanted, tag string) bool {
	for one := range strings.SplitSeq(wanted, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}

// schema answers with a JSON Schema.
func schema(r *http.Request) (reply, error) {
	text, err := schemaFiles.ReadFile("schemas/" + r.PathValue("file"))
	if err != nil {
		return reply{}, problemNoSuchPath
	}
	return page("application/schema+json", text)(r)
}
