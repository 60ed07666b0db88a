package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"routinely/shared/api"
	"routinely/shared/routine"
)

// JobFilter chooses jobs by exact values; empty fields choose all.
type JobFilter struct {
	State                routine.State
	Name, Record, Caller string
	// CallbackFailed chooses jobs of whose end nobody could be told.
	CallbackFailed bool
}

// pageItems is how many jobs or dead letters a page holds at most.
const pageItems = 100

// Job reads a job with its attempts, and waits up to about wait for it to end, if accept can; waited tells whether it could.
func (c *Client) Job(ctx context.Context, id string, wait time.Duration) (job routine.Job, waited bool, err error) {
	do := call{method: http.MethodGet, path: "/v1/jobs/" + url.PathEscape(id), header: map[string]string{}}
	if wait > 0 {
		do.header["Prefer"] = fmt.Sprintf("wait=%d", int(wait.Seconds()))
	}
	got, err := c.get(ctx, do, &job)
	return job, got.header.Get("Preference-Applied") != "", err
}

// Jobs lists jobs, the latest first, at most limit; 0 means all. They come without their attempts.
func (c *Client) Jobs(ctx context.Context, f JobFilter, limit int) iter.Seq2[routine.Job, error] {
	return paged(limit, pageItems, func(size int, cursor string) ([]routine.Job, string, error) {
		page, err := c.jobPage(ctx, f, size, cursor)
		return page.Jobs, page.Next, err
	})
}

func (c *Client) jobPage(ctx context.Context, f JobFilter, size int, cursor string) (page api.JobList, err error) {
	query := values(map[string]string{
		"state": string(f.State), "name": f.Name, "record": f.Record, "caller": f.Caller, "cursor": cursor, "limit": strconv.Itoa(size),
	})
	if f.CallbackFailed {
		query.Set("callback", routine.CallbackFailed)
	}
	_, err = c.get(ctx, call{method: http.MethodGet, path: "/v1/jobs", query: query}, &page)
	return page, err
}

// values makes a query of what is not empty.
func values(from map[string]string) url.Values {
	query := url.Values{}
	for name, value := range from {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// paged walks pages until limit items were seen, or the last page; limit 0 means all. An error ends the walk.
func paged[T any](limit, most int, page func(size int, cursor string) (items []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for left, cursor := limit, ""; ; {
			size := most
			if limit > 0 {
				size = min(left, most)
			}
			items, next, err := page(size, cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			left -= len(items)
			if next == "" || (limit > 0 && left <= 0) {
				return
			}
			cursor = next
		}
	}
}

// Notify sends the news of a job's end once more to whoever its request names.
func (c *Client) Notify(ctx context.Context, id string) (job routine.Job, err error) {
	_, err = c.get(ctx, call{method: http.MethodPost, path: "/v1/jobs/" + url.PathEscape(id) + ":notify"}, &job)
	return job, err
}

// Cancel calls a job off that no worker has begun with. Cancelling it again is a success.
func (c *Client) Cancel(ctx context.Context, id, reason string) (job routine.Job, err error) {
	body, err := json.Marshal(api.Cancellation{Reason: reason})
	if err != nil {
		return job, err
	}
	_, err = c.get(ctx, call{method: http.MethodPost, path: "/v1/jobs/" + url.PathEscape(id) + ":cancel", body: body}, &job)
	return job, err
}

// Routine tells what the ledger knows of a routine.
func (c *Client) Routine(ctx context.Context, name string) (r api.Routine, err error) {
	_, err = c.get(ctx, call{method: http.MethodGet, path: "/v1/routines/" + url.PathEscape(name)}, &r)
	return r, err
}
