package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// routinely is a client of the API, as much of it as the product needs.
type routinely struct{ url, token string }

// job is what the product reads of a job.
type job struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`
	UpdatedAt time.Time `json:"updatedAt"`
	Request   struct {
		Labels map[string]string `json:"labels"`
	} `json:"request"`
}

// problem is an answer that says what is wrong.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// final reports whether sending the request again does not help.
func (p *problem) final() bool {
	return p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests
}

// attempts is how often one request is sent.
const attempts = 5

// ask asks for the routine of a customer. The key makes it safe to ask again after a lost answer: the same key is the same job.
func (r *routinely) ask(ctx context.Context, id, host, callbackURL string) (job, error) {
	body, err := json.Marshal(map[string]any{
		"name": "customer-" + id, "recordName": host, "labels": map[string]string{"customer": id}, "callbackUrl": callbackURL,
	})
	if err != nil {
		return job{}, err
	}
	return r.call(ctx, http.MethodPost, "/v1/routines", "customer-"+id, body)
}

// job shows a job.
func (r *routinely) job(ctx context.Context, id string) (job, error) {
	return r.call(ctx, http.MethodGet, "/v1/jobs/"+id, "", nil)
}

// call sends a request, and sends it again while the service is busy or does not answer.
func (r *routinely) call(ctx context.Context, method, path, key string, body []byte) (found job, err error) {
	pause := time.Second
	for attempt := 1; ; attempt++ {
		var again bool
		if found, again, err = r.once(ctx, method, path, key, body, &pause); err == nil || !again || attempt == attempts {
			return found, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return job{}, ctx.Err()
		}
		pause *= 2
	}
}

// once sends a request once. again says that sending it again may help, after pause.
func (r *routinely) once(ctx context.Context, method, path, key string, body []byte, pause *time.Duration) (found job, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, bytes.NewReader(body))
	if err != nil {
		return job{}, false, err
	}
	req.Header.Set("Content-Type", "application/json")
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	client := http.Client{Timeout: 60 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return job{}, true, err
	}
	defer res.Body.Close()
	if res.StatusCode < http.StatusMultipleChoices { // 202: recorded, 200: a job that is known
		err := json.NewDecoder(res.Body).Decode(&found)
		return found, true, err
	}
	wrong := &problem{Status: res.StatusCode}
	_ = json.NewDecoder(res.Body).Decode(wrong) // a proxy's answer has no problem in it: the status says enough
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		*pause = time.Duration(seconds) * time.Second
	}
	return job{}, !wrong.final(), wrong
}
