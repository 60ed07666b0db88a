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
}

// DeadLetters lists dead letters, those that died latest first. next is the cursor of the part that follows; empty if none does.
func (c *Client) DeadLetters(ctx context.Context, q DeadLetterQuery, w Window) (letters []api.DeadLetter, next string, err error) {
	return paged(w, func(size int, cursor string) ([]api.DeadLetter, string, error) {
		page, _, err := c.letterPage(ctx, q, url.Values{"limit": {strconv.Itoa(size)}, "cursor": {cursor}})
		return page.DeadLetters, page.Next, err
	})
}

// CountDeadLetters counts all dead letters that fit, and returns the one that died latest; nil if there is none.
func (c *Client) CountDeadLetters(ctx context.Context, q DeadLetterQuery) (latest *api.DeadLetter, counts api.Counts, err error) {
	page, got, err := c.letterPage(ctx, q, url.Values{"limit": {"1"}, "counts": {"true"}})
	switch {
	case err != nil:
		return nil, counts, err
	case page.Counts == nil:
		return nil, counts, foreign(call{method: http.MethodGet, path: deadLettersPath}, got, "the answer lacks the counts that were asked for")
	case len(page.DeadLetters) > 0:
		latest = &page.DeadLetters[0]
	}
	return latest, *page.Counts, nil
}

const deadLettersPath = "/v1/dead-letters"

// letterPage reads a page, with those of more parameters that have a value.
func (c *Client) letterPage(ctx context.Context, q DeadLetterQuery, more url.Values) (page api.DeadLetterList, got answer, err error) {
	query := filterValues(q.DeadLetterFilter)
	for name := range more {
		if value := more.Get(name); value != "" {
			query.Set(name, value)
		}
	}
	if q.Expiring {
		query.Set("expiring", "true")
	}
	got, err = c.get(ctx, call{method: http.MethodGet, path: deadLettersPath, query: query}, &page)
	return page, got, err
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

func deadLetterPath(id string) string { return deadLettersPath + "/" + url.PathEscape(id) }

// Redrive queues dead letters again, for some time; while the answer says more, call it again with its Next as the cursor. When an answer
// was lost and the call made again, the answer is about the second time: nothing is redriven twice.
func (c *Client) Redrive(ctx context.Context, r api.Redrive) (done api.WorkedOff, err error) {
	return c.workOff(ctx, deadLettersPath+":redrive", r)
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
	_, err = c.get(ctx, call{method: http.MethodDelete, path: deadLettersPath, query: query}, &done)
	return done, err
}
