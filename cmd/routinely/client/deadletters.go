package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"routinely/shared/api"
)

// DeadLetters lists dead letters, the latest first, at most limit; 0 means all. summary is the last page's: what is true of
// all letters that fit the filter.
func (c *Client) DeadLetters(ctx context.Context, f api.DeadLetterFilter, limit int) (letters []api.DeadLetter, summary api.DeadLetterList, err error) {
	list := paged(limit, pageLetters, func(size int, cursor string) ([]api.DeadLetter, string, error) {
		query := filterValues(f)
		query.Set("limit", strconv.Itoa(size))
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		summary = api.DeadLetterList{}
		_, err := c.get(ctx, call{method: http.MethodGet, path: "/v1/dead-letters", query: query}, &summary)
		return summary.DeadLetters, summary.Next, err
	})
	for letter, err := range list {
		if err != nil {
			return nil, summary, err
		}
		letters = append(letters, letter)
	}
	return letters, summary, nil
}

// filterValues is a filter as query parameters.
func filterValues(f api.DeadLetterFilter) url.Values {
	site := ""
	if f.SiteID != 0 {
		site = strconv.FormatInt(f.SiteID, 10)
	}
	return values(map[string]string{
		"id": strings.Join(f.IDs, ","), "jobId": f.JobID, "kind": f.Kind, "code": f.Code, "step": string(f.Step),
		"origin": string(f.Origin), "name": f.Name, "record": f.RecordName, "siteId": site, "caller": f.Caller,
	})
}

// DeadLetter reads one dead letter with its attempts and the message as it was received.
func (c *Client) DeadLetter(ctx context.Context, id string) (letter api.DeadLetter, err error) {
	_, err = c.get(ctx, call{method: http.MethodGet, path: "/v1/dead-letters/" + url.PathEscape(id)}, &letter)
	return letter, err
}

// Redrive puts dead letters back on the job queue, for some time; while the answer says more, call it again. When an answer
// was lost and the call made again, the answer is about the second time.
func (c *Client) Redrive(ctx context.Context, r api.Redrive) (done api.WorkedOff, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return done, err
	}
	_, err = c.get(ctx, call{method: http.MethodPost, path: "/v1/dead-letters:redrive", body: body}, &done)
	return done, err
}

// Drop deletes dead letters, like Redrive redrives them; Rate and Limit mean nothing here.
func (c *Client) Drop(ctx context.Context, r api.Redrive) (done api.WorkedOff, err error) {
	query := filterValues(r.DeadLetterFilter)
	for name, value := range map[string]bool{"all": r.All, "dryRun": r.DryRun} {
		if value {
			query.Set(name, "true")
		}
	}
	if r.Reason != "" {
		query.Set("reason", r.Reason)
	}
	_, err = c.get(ctx, call{method: http.MethodDelete, path: "/v1/dead-letters", query: query}, &done)
	return done, err
}
