package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"routinely/shared/api"
)

// DeadLetterQuery says which dead letters to list.
type DeadLetterQuery struct {
	api.DeadLetterFilter
	// Expiring chooses those that the ledger is about to forget.
	Expiring bool
	// Limit is how many are listed at most; 0 means all.
	Limit int
	// Count asks for counts of all that fit.
	Count bool
}

// DeadLetters lists dead letters, those that died latest first.
func (c *Client) DeadLetters(ctx context.Context, q DeadLetterQuery) (letters []api.DeadLetter, counts api.Counts, err error) {
	list := paged(q.Limit, pageItems, func(size int, cursor string) ([]api.DeadLetter, string, error) {
		query := filterValues(q.DeadLetterFilter)
		query.Set("limit", strconv.Itoa(size))
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		if q.Expiring {
			query.Set("expiring", "true")
		}
		if q.Count && cursor == "" {
			query.Set("counts", "true")
		}
		var page api.DeadLetterList
		do := call{method: http.MethodGet, path: "/v1/dead-letters", query: query}
		got, err := c.get(ctx, do, &page)
		if err == nil && query.Has("counts") {
			if page.Counts == nil {
				return nil, "", foreign(do, got, "the answer lacks the counts that were asked for")
			}
			counts = *page.Counts
		}
		return page.DeadLetters, page.Next, err
	})
	for letter, err := range list {
		if err != nil {
			return nil, api.Counts{}, err
		}
		letters = append(letters, letter)
	}
	return letters, counts, nil
}

// filterValues is a filter as query parameters.
func filterValues(f api.DeadLetterFilter) url.Values {
	site := ""
	if f.SiteID != 0 {
		site = strconv.FormatInt(f.SiteID, 10)
	}
	return values(map[string]string{
		"id": strings.Join(f.IDs, ","), "kind": f.Kind, "code": f.Code, "step": string(f.Step), "origin": string(f.Origin), "name": f.Name,
		"record": f.RecordName, "siteId": site, "caller": f.Caller, "keyPrefix": f.KeyPrefix, "since": moment(f.Since), "until": moment(f.Until),
	})
}

// moment is a time as a parameter; the zero time is empty.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// DeadLetter reads one dead letter with its attempts and, if it was made of a message that holds no job, that message.
func (c *Client) DeadLetter(ctx context.Context, id string) (letter api.DeadLetter, err error) {
	_, err = c.get(ctx, call{method: http.MethodGet, path: deadLetterPath(id)}, &letter)
	return letter, err
}

func deadLetterPath(id string) string { return "/v1/dead-letters/" + url.PathEscape(id) }

// Redrive queues dead letters again, for some time; while the answer says more, call it again with its Next as the cursor. When an answer
// was lost and the call made again, the answer is about the second time: nothing is redriven twice.
func (c *Client) Redrive(ctx context.Context, r api.Redrive) (done api.WorkedOff, err error) {
	return c.workOff(ctx, "/v1/dead-letters:redrive", r)
}

// Correct queues one dead letter again, with those members of its request changed that the correction has.
func (c *Client) Correct(ctx context.Context, id string, correction api.Correction) (done api.WorkedOff, err error) {
	return c.workOff(ctx, deadLetterPath(id)+":redrive", correction)
}

func (c *Client) workOff(ctx context.Context, path string, wanted any) (done api.WorkedOff, err error) {
	body, err := json.Marshal(wanted)
	if err != nil {
		return done, err
	}
	_, err = c.get(ctx, call{method: http.MethodPost, path: path, body: body}, &done)
	return done, err
}

// Drop leaves dead letters undone, like Redrive redrives them; Limit means nothing here.
func (c *Client) Drop(ctx context.Context, r api.Redrive) (done api.WorkedOff, err error) {
	query := filterValues(r.DeadLetterFilter)
	for name, value := range map[string]bool{"all": r.All, "dryRun": r.DryRun} {
		if value {
			query.Set(name, "true")
		}
	}
	for name, value := range map[string]string{"reason": r.Reason, "cursor": r.Cursor} {
		if value != "" {
			query.Set(name, value)
		}
	}
	_, err = c.get(ctx, call{method: http.MethodDelete, path: "/v1/dead-letters", query: query}, &done)
	return done, err
}
