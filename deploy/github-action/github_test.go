package githubaction_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"routinely/deploy/local/localtest"
)

// githubToken is the one that the local GitHub takes.
const githubToken = "ghs_local-test-token"

// comment is one as GitHub's REST API has it (https://docs.github.com/en/rest/issues/comments).
type comment struct {
	ID   int    `json:"id"`
	Body string `json:"body"`
	User struct {
		Type string `json:"type"`
	} `json:"user"`
}

// github is the part of GitHub's REST API that is about comments of issue 7 of acme/shop. It refuses every call that is not as documented.
type github struct {
	url string
	t   *testing.T

	mu       sync.Mutex
	comments []comment
	edits    int
	// forbidden refuses all calls.
	forbidden bool
}

// newGitHub starts one, with more comments of users than fit on a page; one of them has the marker of any preview.
func newGitHub(t *testing.T) *github {
	t.Helper()
	g := &github{t: t}
	for i := range 130 {
		c := comment{ID: i + 1, Body: "+1"}
		c.User.Type = "User"
		g.comments = append(g.comments, c)
	}
	g.url = localtest.Listen(t, g, nil)
	return g
}

// mark gives a user's comment a body.
func (g *github) mark(body string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.comments[3].Body = body
}

// own are the comments that were made by calls.
func (g *github) own() (out []comment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.comments {
		if c.User.Type == "Bot" {
			out = append(out, c)
		}
	}
	return out
}

func (g *github) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	status, answer := g.serve(r)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (g *github) serve(r *http.Request) (status int, answer any) {
	h := r.Header
	switch {
	case h.Get("Authorization") != "Bearer "+githubToken, h.Get("Accept") != "application/vnd.github+json", h.Get("X-GitHub-Api-Version") != "2022-11-28", h.Get("User-Agent") == "":
		g.t.Errorf("%s %s with the headers %v", r.Method, r.URL, h)
		return http.StatusUnauthorized, map[string]string{"message": "Bad credentials"}
	case g.forbidden:
		return http.StatusForbidden, map[string]string{"message": "Resource not accessible by integration"}
	}
	const ofIssue = "/repos/acme/shop/issues/7/comments"
	var id int
	switch _, err := fmt.Sscanf(r.URL.Path, "/repos/acme/shop/issues/comments/%d", &id); {
	case r.Method == http.MethodGet && r.URL.Path == ofIssue:
		return g.page(r)
	case r.Method == http.MethodPost && r.URL.Path == ofIssue:
		c := comment{ID: len(g.comments) + 1, Body: g.body(r)}
		c.User.Type = "Bot"
		g.comments = append(g.comments, c)
		return http.StatusCreated, c
	case r.Method == http.MethodPatch && err == nil && id >= 1 && id <= len(g.comments):
		g.edits++
		c := &g.comments[id-1]
		if c.User.Type != "Bot" {
			g.t.Errorf("the comment %d of a user was edited", id)
		}
		c.Body = g.body(r)
		return http.StatusOK, *c
	}
	g.t.Errorf("%s %s", r.Method, r.URL)
	return http.StatusNotFound, map[string]string{"message": "Not Found"}
}

func (g *github) page(r *http.Request) (status int, answer any) {
	var size, page int
	if _, err := fmt.Sscanf(r.URL.RawQuery, "per_page=%d&page=%d", &size, &page); err != nil || size < 1 || size > 100 || page < 1 {
		g.t.Errorf("the query %s", r.URL.RawQuery)
		return http.StatusUnprocessableEntity, nil
	}
	from := min((page-1)*size, len(g.comments))
	return http.StatusOK, g.comments[from:min(from+size, len(g.comments))]
}

// body is that of a comment, which is the only member.
func (g *github) body(r *http.Request) string {
	var given struct{ Body string }
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil || given.Body == "" {
		g.t.Errorf("the body of %s %s: %v", r.Method, r.URL, err)
	}
	if _, err := decoder.Token(); err != io.EOF || strings.Contains(given.Body, githubToken) {
		g.t.Errorf("the body of %s %s: %s, %v", r.Method, r.URL, given.Body, err)
	}
	return given.Body
}
