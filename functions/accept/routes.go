package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"

	"routinely/queue"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// maxBody is the longest request body read. A job travels in one MNS message, so more could never be accepted.
const maxBody = queue.MaxMessageBytes

// anonymous is the caller's name as long as requests are not authenticated.
const anonymous = "anonymous"

// pollAfter is what Retry-After suggests to a caller who wants to know what became of the job, in seconds.
const pollAfter = "2"

//go:embed problems.md
var problemsPage []byte

// api holds what the handlers need.
type api struct {
	jobs  *queue.Client
	now   func() time.Time
	newID func() (uuid.UUID, error)
}

// anyPath is the pattern of everything that has no other.
const anyPath = "/"

// newRoutes returns the function's HTTP interface.
func newRoutes(a api) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/routines", serve(a.createRoutine))
	mux.HandleFunc("GET /v1/jobs/{id}", serve(a.noLedger))
	mux.HandleFunc("GET /healthz", serve(a.health))
	mux.HandleFunc("GET /problems", serve(a.problems))
	mux.HandleFunc(anyPath, unknown(mux))
	return onlyClean(mux)
}

// reply is a handler's successful answer: JSON, unless text is set.
type reply struct {
	status int
	header map[string]string
	body   any
	text   []byte
}

// serve makes an http.HandlerFunc of a handler: the answer is written as JSON, an error as a problem.
func serve(handler func(*http.Request) (reply, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := handler(r)
		if err != nil {
			writeProblem(r.Context(), w, problemOf(r.Context(), err))
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

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	// A client that went away is all that can fail here: the bodies are our own types.
	_ = json.NewEncoder(w).Encode(body)
}

// unknown answers what no route takes, in place of the router's own 404 and 405.
func unknown(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := problemNoSuchPath
		if allowed := allowedMethods(mux, r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			p = problemMethod
			p.Detail = fmt.Sprintf("%s is not possible here; allowed: %s", r.Method, strings.Join(allowed, ", "))
		}
		writeProblem(r.Context(), w, p)
	}
}

func allowedMethods(mux *http.ServeMux, r *http.Request) []string {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != anyPath {
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

func (a api) health(*http.Request) (reply, error) {
	return reply{status: http.StatusOK, body: map[string]string{"status": "ok"}}, nil
}

func (a api) problems(*http.Request) (reply, error) {
	return reply{
		status: http.StatusOK, text: problemsPage,
		header: map[string]string{"Content-Type": "text/markdown; charset=utf-8"},
	}, nil
}

func (a api) noLedger(*http.Request) (reply, error) { return reply{}, problemNoLedger }

// createRoutine accepts one request. It answers 202 only after MNS has confirmed the job.
func (a api) createRoutine(r *http.Request) (reply, error) {
	body, err := readBody(r)
	if err != nil {
		return reply{}, err
	}
	req, err := routine.Decode(body)
	if err != nil {
		return reply{}, err
	}
	id, err := a.jobID(r)
	if err != nil {
		return reply{}, err
	}
	job := routine.Job{ID: id, State: routine.Queued, Request: req, AcceptedAt: a.now().UTC()}
	if err := a.enqueue(r.Context(), job); err != nil {
		return reply{}, err
	}
	logging.From(r.Context()).WithFields(logging.Fields{logging.Job: id, "name": req.Name, "recordName": req.RecordName}).Info("job accepted")
	return reply{
		status: http.StatusAccepted, body: job,
		header: map[string]string{"Location": "/v1/jobs/" + id, "Retry-After": pollAfter},
	}, nil
}

func (a api) enqueue(ctx context.Context, job routine.Job) error {
	e := queue.Envelope{JobID: job.ID, Caller: anonymous, AcceptedAt: job.AcceptedAt, Attempt: 1, Request: job.Request}
	body, err := e.Encode()
	if err != nil {
		return err
	}
	if len(body) > queue.MaxAcceptedBytes {
		p := problemTooLarge
		p.Detail = fmt.Sprintf("the job would take %d bytes on the queue, at most %d are possible: shorten the description", len(body), queue.MaxAcceptedBytes)
		return p
	}
	// Nothing but its own time limit ends a send: once it is under way, giving it up would leave the outcome open.
	return a.jobs.SendRaw(context.WithoutCancel(ctx), string(body), 0)
}

// maxKey is the longest idempotency key, in bytes.
const maxKey = 255

// jobID returns the id of the job: of the same caller and key always the same, random without a key.
func (a api) jobID(r *http.Request) (string, error) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		key = r.Header.Get("Webhook-Id")
	}
	if key == "" {
		id, err := a.newID()
		return id.String(), err
	}
	if len(key) > maxKey {
		p := problemKey
		p.Detail = fmt.Sprintf("the idempotency key has %d bytes, at most %d are possible", len(key), maxKey)
		return "", p
	}
	return queue.KeyedJobID(anonymous, key), nil
}

// readBody checks the headers that describe the body and reads it.
func readBody(r *http.Request) ([]byte, error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		p := problemMediaType
		p.Detail = fmt.Sprintf("Content-Encoding %q: send the body as it is", encoding)
		return nil, p
	}
	given := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(given)
	if err != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
		p := problemMediaType
		p.Detail = fmt.Sprintf("Content-Type %q: want application/json", given)
		return nil, p
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		p := problemMediaType
		p.Detail = fmt.Sprintf("charset %q: JSON is UTF-8", charset)
		return nil, p
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		p := problemTooLarge
		p.Detail = fmt.Sprintf("the body is longer than %d bytes", maxBody)
		return nil, p
	}
	if err != nil {
		p := problemMalformed
		p.Detail = "the body could not be read: " + err.Error()
		return nil, p
	}
	return body, nil
}
