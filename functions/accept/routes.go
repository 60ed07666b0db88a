package accept

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"routinely/shared/auth"
)

//go:embed problems.md
var problemsPage []byte

//go:embed openapi.yaml
var contractPage []byte

// newRoutes returns the function's HTTP interface; openapi.yaml describes it.
func (s *Service) newRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/routines", resource{http.MethodPost: s.allow(auth.Submit, s.createRoutine)})
	mux.Handle("/v1/routines:batch", resource{http.MethodPost: s.allow(auth.Submit, s.createRoutines)})
	mux.Handle("/v1/routines/{id}", resource{http.MethodGet: s.allow(auth.Read, s.routine)})
	mux.Handle("/v1/jobs", resource{http.MethodGet: s.allow(auth.Read, s.listJobs)})
	mux.Handle("/v1/jobs/{id}", thing{
		resource{http.MethodGet: s.allow(auth.Read, s.job)},
		map[string]handler{"cancel": s.allow(ownRule, s.cancelJob), "notify": s.allow(auth.Operate, s.notifyJob)},
	})
	mux.Handle("/v1/dead-letters", resource{
		http.MethodGet: s.allow(auth.Read, s.listDeadLetters), http.MethodDelete: s.allow(auth.Operate, s.dropDeadLetters),
	})
	mux.Handle("/v1/dead-letters:redrive", resource{http.MethodPost: s.allow(auth.Operate, s.redriveDeadLetters)})
	mux.Handle("/v1/dead-letters/{id}", thing{
		resource{http.MethodGet: s.allow(auth.Read, s.deadLetter), http.MethodDelete: s.allow(auth.Operate, s.dropDeadLetter)},
		map[string]handler{"redrive": s.allow(auth.Operate, s.redriveDeadLetter)},
	})
	mux.Handle("/healthz", resource{http.MethodGet: health})
	mux.Handle("/problems", resource{http.MethodGet: page("text/markdown; charset=utf-8", problemsPage)})
	mux.Handle("/openapi.yaml", resource{http.MethodGet: page("application/yaml", contractPage)})
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
	writeProblem(r.Context(), w, problemMethod.with(fmt.Sprintf("%s is not possible here; allowed: %s", clip(r.Method, maxShown), w.Header().Get("Allow"))))
}

// thing is a resource with an id, which the name of an action may follow, as in POST /v1/jobs/ID:cancel.
type thing struct {
	resource
	actions map[string]handler
}

func (t thing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, act := range t.actions {
		if id, found := strings.CutSuffix(r.PathValue("id"), ":"+name); found && id != "" && r.Method == http.MethodPost {
			r.SetPathValue("id", id)
			serve(act, w, r)
			return
		}
	}
	t.resource.ServeHTTP(w, r)
}

// handler answers one request; its error becomes a problem.
type handler func(*http.Request) (reply, error)

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

// page answers with a text that never changes.
func page(contentType string, text []byte) handler {
	return func(*http.Request) (reply, error) {
		return reply{status: http.StatusOK, text: text, header: map[string]string{"Content-Type": contentType}}, nil
	}
}
