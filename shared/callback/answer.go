package callback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"routinely/shared/fault"
	"routinely/shared/plain"
	"routinely/shared/retry"
)

// minHidden is the length of the shortest part of a query that may be a secret.
const minHidden = 4

// verdict is what an answer comes to.
func (t target) verdict(res *http.Response, now time.Time) error {
	status := res.StatusCode
	if status >= 200 && status <= 299 {
		return nil
	}
	failure := &fault.Error{
		Step: Step, Message: fmt.Sprintf("%s answered %d", t, status), RetryAfter: retry.After(res.Header, now), Err: answered(status),
	}
	switch {
	case status == http.StatusGone:
		failure.Kind, failure.Code = fault.NotFound, CodeGone
		failure.Hint = "The receiver wants no more callbacks at this URL: ask without it, or with another one."
	case status >= 300 && status <= 399:
		failure.Kind, failure.Code = fault.Invalid, CodeRedirected
		failure.Message = fmt.Sprintf("%s answered %d, a redirect, which callbacks do not follow", t, status)
		failure.Hint = "Give the URL that the redirect leads to."
	case status == http.StatusTooManyRequests:
		failure.Kind, failure.Code = fault.Throttled, CodeThrottled
		failure.Hint = "The receiver wants fewer requests; the callback is sent again later."
	case status >= 400 && status <= 499 && status != http.StatusRequestTimeout && status != http.StatusTooEarly:
		failure.Kind, failure.Code = fault.Invalid, CodeRefused
		failure.Hint = "The receiver does not take callbacks like this one: check the URL, and the receiver's log and signing secret."
	default:
		failure.Kind, failure.Code, failure.OutcomeUnknown = fault.Unavailable, CodeUnavailable, status >= 500
		failure.Hint = "The receiver cannot take the callback now; it is sent again later."
	}
	return failure
}

// answered is the status of an answer that did not take the callback.
type answered int

func (a answered) Error() string { return "HTTP " + strconv.Itoa(int(a)) }

// Status is the HTTP status of the answer that a failure of Post is about; 0 if there was none.
func Status(failure error) int {
	var status answered
	if !errors.As(failure, &status) {
		return 0
	}
	return int(status)
}

// unreachable is what the lack of an answer comes to. sent means that the receiver may have got the callback.
func (t target) unreachable(ctx context.Context, err error, sent bool) error {
	var denied notAllowed
	if errors.As(err, &denied) {
		return t.forbidden(string(denied))
	}
	return &fault.Error{
		Kind: fault.Unavailable, Step: Step, Code: CodeUnreachable, OutcomeUnknown: sent,
		Message: fmt.Sprintf("%s did not answer: %s", t, t.reason(ctx, err)),
		Hint:    "Check that the URL can be reached from the internet; the callback is sent again later.",
		Err:     ctx.Err(), // other causes can hold what must not be shown
	}
}

// reason is the cause in words that tell nothing of this side: the errors of package net name name servers and own addresses.
func (t target) reason(ctx context.Context, err error) string {
	var timed net.Error
	var lookup *net.DNSError
	var network *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return "the request was called off"
	case ctx.Err() != nil || errors.As(err, &timed) && timed.Timeout():
		return "the time for it is over"
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "there is no such host name"
	case errors.As(err, &lookup):
		return "the host name could not be looked up"
	case errors.As(err, &network):
		err = network.Err
	}
	return t.presentable(err.Error())
}

func (t target) forbidden(what string) error {
	return &fault.Error{
		Kind: fault.Denied, Step: Step, Code: CodeForbidden, Message: fmt.Sprintf("%s leads to %s, where callbacks may not go", t, what),
		Hint: "Give a URL with a public host. Whoever runs Routinely can allow callbacks into a private network.",
	}
}

// presentable makes an error fit for logs: short, on one line, and without the URL's query, since errors quote heads that cannot be
// read, and receivers like to repeat what they got.
func (t target) presentable(text string) string {
	return plain.Line(t.withoutQuery(text), maxShown)
}

// withoutQuery hides the query, and each value in it, in both spellings.
func (t target) withoutQuery(text string) string {
	parts := []string{t.url.RawQuery}
	for pair := range strings.SplitSeq(t.url.RawQuery, "&") {
		_, value, found := strings.Cut(pair, "=")
		if !found {
			value = pair
		}
		parts = append(parts, value)
	}
	for _, part := range parts {
		if plain, err := url.QueryUnescape(part); err == nil {
			parts = append(parts, plain)
		}
	}
	// The longest first, so that none is left in pieces.
	slices.SortFunc(parts, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, part := range parts {
		if len(part) >= minHidden {
			text = strings.ReplaceAll(text, part, "***")
		}
	}
	return text
}
