package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"

	"routinely/functions/deadletters"
	"routinely/functions/invocation"
	"routinely/queue"
	"routinely/shared/ledger"
)

// anonymous is the caller's name as long as requests are not authenticated.
const anonymous = "anonymous"

//go:embed problems.md
var problemsPage []byte

//go:embed openapi.yaml
var contractPage []byte

// service holds what the handlers need.
type service struct {
	jobs    *queue.Client
	record  *invocation.Record
	letters *deadletters.Desk
	now     func() time.Time
	sleep   func(context.Context, time.Duration)
	newID   func() (uuid.UUID, error)
}

// anyPath is the pattern of everything that has no other.
const anyPath = "/"

// target is the wildcard of patterns whose last segment names a thing and an action, as in /v1/jobs/ID:cancel.
const target = "{target}"

// newRoutes returns the function's HTTP interface; openapi.yaml describes it.
func newRoutes(s service) http.Handler {
	mux := http.NewServeMux()
	other := unknown(mux)
	mux.HandleFunc(anyPath, other)
	mux.HandleFunc("POST /v1/routines", serve(s.createRoutine))
	mux.HandleFunc("POST /v1/routines:batch", serve(s.createRoutines))
	mux.HandleFunc("GET /v1/routines/{name}", serve(s.withLedger(s.routine)))
	mux.HandleFunc("GET /v1/jobs", serve(s.withLedger(s.listJobs)))
	mux.HandleFunc("GET /v1/jobs/{id}", serve(s.withLedger(s.job)))
	mux.HandleFunc("POST /v1/jobs/"+target, action("cancel", serve(s.withLedger(s.cancelJob)), other))
	mux.HandleFunc("GET /v1/dead-letters", serve(s.listDeadLetters))
	mux.HandleFunc("DELETE /v1/dead-letters", serve(s.deleteDeadLetters))
	mux.HandleFunc("POST /v1/dead-letters:redrive", serve(s.redriveDeadLetters))
	mux.HandleFunc("GET /v1/dead-letters/{id}", serve(s.deadLetter))
	mux.HandleFunc("DELETE /v1/dead-letters/{id}", serve(s.deleteDeadLetter))
	mux.HandleFunc("POST /v1/dead-letters/"+target, action("redrive", serve(s.redriveDeadLetter), other))
	mux.HandleFunc("GET /healthz", serve(health))
	mux.HandleFunc("GET /problems", serve(page("text/markdown; charset=utf-8", problemsPage)))
	mux.HandleFunc("GET /openapi.yaml", serve(page("application/yaml", contractPage)))
	return onlyClean(mux)
}

// handler answers one request; its error becomes a problem.
type handler func(*http.Request) (reply, error)

// reply is a handler's successful answer: JSON, unless text is set.
type reply struct {
	status int
	header map[string]string
	body   any
	text   []byte
}

// serve makes an http.HandlerFunc of a handler: the answer is written as JSON, an error as a problem.
func serve(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := h(r)
		if err != nil {
			writeProblem(r.Context(), w, problemOf(err))
			return
		}
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
}

// withLedger makes a handler of one that reads the ledger.
func (s service) withLedger(h func(*ledger.Ledger, *http.Request) (reply, error)) handler {
	return func(r *http.Request) (reply, error) {
		if s.record.Ledger() == nil {
			return reply{}, problemNoLedger
		}
		return h(s.record.Ledger(), r)
	}
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	// A client that went away is all that can fail here: the bodies are our own types.
	_ = json.NewEncoder(w).Encode(body)
}

// action takes requests whose last segment is ID:name, and leaves the others to other. The id becomes the path value "id".
func action(name string, act, other http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, found := strings.CutSuffix(r.PathValue("target"), ":"+name)
		if !found || id == "" {
			other(w, r)
			return
		}
		r.SetPathValue("id", id)
		act(w, r)
	}
}

// unknown answers what no route takes, in place of the router's own 404 and 405.
func unknown(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := problemNoSuchPath
		if allowed := allowedMethods(mux, r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			p = problemMethod.with(fmt.Sprintf("%s is not possible here; allowed: %s", r.Method, strings.Join(allowed, ", ")))
		}
		writeProblem(r.Context(), w, p)
	}
}

func allowedMethods(mux *http.ServeMux, r *http.Request) []string {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		_, pattern := mux.Handler(other)
		if pattern != anyPath && !strings.HasSuffix(pattern, target) {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

// onlyClean keeps paths that are not clean from the router, which would redirect them: no use to an API's clients.
func onlyClean(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean(r.URL.Path) != r.URL.Path {
			writeProblem(r.Context(), w, problemNoSuchPath)
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
