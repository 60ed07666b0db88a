package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// product keeps its customers in memory; a real one has a database.
type product struct {
	routinely *routinely
	// public is the address at which Routinely reaches the product.
	public string
	// secrets verify callbacks: any of them, so that one can take the place of another.
	secrets []*standardwebhooks.Webhook

	mu        sync.Mutex
	customers map[string]*customer
}

// customer is one customer and what is known of the job.
type customer struct {
	ID        string    `json:"id"`
	Host      string    `json:"host"`
	Job       string    `json:"job,omitempty"`
	State     string    `json:"state"`
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
}

func (p *product) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /customers", p.create)
	mux.HandleFunc("GET /customers/{id}", p.show)
	mux.HandleFunc("POST /hook", p.hook)
	return mux
}

// create stores the customer first and asks then: after a crash in between, poll asks with the same key.
func (p *product) create(w http.ResponseWriter, r *http.Request) {
	var c customer
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&c); err != nil || c.ID == "" || c.Host == "" {
		http.Error(w, "want id and host", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	if known := p.customers[c.ID]; known == nil {
		p.customers[c.ID] = &customer{ID: c.ID, Host: c.Host, State: "asked"}
	}
	p.mu.Unlock()
	var wrong *problem
	if err := p.ask(r.Context(), c); errors.As(err, &wrong) && wrong.final() {
		http.Error(w, wrong.Detail, wrong.Status)
		return
	}
	w.WriteHeader(http.StatusAccepted) // it is stored; if Routinely did not answer, poll asks again
	p.write(w, c.ID)
}

// ask asks for a customer's routine. What is refused for good is not asked for again.
func (p *product) ask(ctx context.Context, c customer) error {
	found, err := p.routinely.ask(ctx, c.ID, c.Host, p.public+"/hook")
	var wrong *problem
	switch {
	case err == nil:
		p.learn(c.ID, found)
	case errors.As(err, &wrong) && wrong.final():
		p.learn(c.ID, job{State: "refused"})
	}
	return err
}

func (p *product) show(w http.ResponseWriter, r *http.Request) { p.write(w, r.PathValue("id")) }

// write shows a customer.
func (p *product) write(w http.ResponseWriter, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.customers[id]
	if c == nil {
		http.Error(w, "no such customer", http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(c)
}

// hook receives callbacks. It verifies the bytes as they came, before it reads them.
func (p *product) hook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || !p.verified(body, r.Header) {
		http.Error(w, "bad signature", http.StatusUnauthorized)
		return
	}
	var event struct {
		Type string `json:"type"`
		Data job    `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		http.Error(w, "malformed body", http.StatusBadRequest)
		return
	}
	id := event.Data.Request.Labels["customer"]
	p.learn(id, event.Data)
	log.Printf("callback %s: customer %s", event.Type, id)
	w.WriteHeader(http.StatusNoContent)
}

func (p *product) verified(body []byte, header http.Header) bool {
	for _, secret := range p.secrets {
		if secret.Verify(body, header) == nil {
			return true
		}
	}
	return false
}

// learn keeps what is newest: a callback can come twice, late, and before the answer to the request.
func (p *product) learn(id string, j job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.customers[id]; c != nil && !j.UpdatedAt.Before(c.UpdatedAt) {
		c.Job, c.State, c.UpdatedAt = j.ID, j.State, j.UpdatedAt
	}
}

// poll is the fallback: it asks for the jobs that have not ended as far as is known, and for customers without a job.
func (p *product) poll(ctx context.Context) {
	p.mu.Lock()
	var open []customer
	for _, c := range p.customers {
		if c.State == "asked" || c.State == "queued" {
			open = append(open, *c)
		}
	}
	p.mu.Unlock()
	for _, c := range open {
		if err := p.look(ctx, c); err != nil {
			log.Printf("customer %s: %v", c.ID, err)
		}
	}
}

// look asks for the job of a customer, or for the routine if no job is known.
func (p *product) look(ctx context.Context, c customer) error {
	if c.Job == "" {
		return p.ask(ctx, c)
	}
	found, err := p.routinely.job(ctx, c.Job)
	if err == nil {
		p.learn(c.ID, found)
	}
	return err
}
