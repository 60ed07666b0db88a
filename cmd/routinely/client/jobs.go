package client

import (
	"context"
	"encoding/json"
	"fmt"
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

// Window is a part of a list.
type Window struct {
	// Limit is how many things it holds at most; 0 means all.
	Limit int
	// Cursor is where it begins, as the part before it said; empty means at the beginning.
	Cursor string
	// Seen is told how many things were read so far; nil for nobody.
	Seen func(count int)
}

// Jobs lists jobs, the latest first, without their attempts. next is the cursor of the part that follows; empty if none does.
func (c *Client) Jobs(ctx context.Context, f JobFilter, w Window) (jobs []routine.Job, next string, err error) {
	return paged(w, func(size int, cursor string) ([]routine.Job, string, error) {
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

// paged walks pages to the end of a window. A page can be short, even empty, and not be the last.
func paged[T any](w Window, page func(size int, cursor string) (items []T, next string, err error)) (items []T, next string, err error) {
	for next = w.Cursor; ; {
		size := pageItems
		if w.Limit > 0 {
			size = min(w.Limit-len(items), pageItems)
		}
		var got []T
		if got, next, err = page(size, next); err != nil {
			return nil, "", err
		}
		items = append(items, got...)
		if w.Seen != nil {
			w.Seen(len(items))
		}
		if next == "" || w.Limit > 0 && len(items) >= w.Limit {
			return items, next, nil
		}
	}
}

// Notify sends the callback of an ended job again, to the URL that its request names.
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
