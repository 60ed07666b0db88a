package deadletters

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

func origin(l *queue.Letter) api.Origin {
	if l.Undelivered {
		return api.Trigger
	}
	return api.Worker
}

// brief is the letter as lists show it.
func brief(l *queue.Letter) *api.DeadLetter {
	out := &api.DeadLetter{
		ID: l.ID, Origin: origin(l), JobID: l.JobID, Kind: l.Kind, Code: l.Code, Message: l.Message, RequestID: l.RequestID,
		Step: l.Step, Hint: l.Hint, Reason: l.Reason, Problems: l.Problems, DeadAt: l.DeadAt, Caller: l.Caller,
		AcceptedAt: l.AcceptedAt, Attempt: l.Attempt, Redriven: l.Redriven,
	}
	out.Request = shown(l.Request)
	if c := l.Callback; c != nil {
		out.Callback = &api.Callback{ID: c.ID, URL: routine.ShownURL(c.URL), CreatedAt: c.CreatedAt}
	}
	return out
}

// Get returns one dead letter with all that is known of it. One that is not to be seen is a fault of kind NotFound and code
// UnknownDeadLetter, or of kind Unavailable if the time was over before the end of the queue.
func (d *Desk) Get(ctx context.Context, id string) (api.DeadLetter, error) {
	pass := d.begin(ctx)
	defer pass.close()
	var found *queue.Letter
	parts := map[int]queue.Received{}
	for {
		letters, err := pass.next(queue.SweepBatch)
		if err != nil {
			return api.DeadLetter{}, err
		}
		for i := range letters {
			if l := &letters[i]; l.ID == id {
				found, parts[l.Received.Part] = l, l.Received
			}
		}
		whole, complete := queue.JoinParts(parts)
		switch {
		case found != nil && (complete || len(letters) == 0):
			return full(found, whole, complete), nil
		case len(letters) == 0 && !pass.Complete():
			return api.DeadLetter{}, &fault.Error{
				Kind: fault.Unavailable, Step: "dead letters", Code: "NotSeenThrough", Hint: "Ask again.",
				Message: fmt.Sprintf("the time was over before dead letter %q was found", id),
			}
		case len(letters) == 0:
			return api.DeadLetter{}, unknown(id)
		}
	}
}

func unknown(id string) error {
	return &fault.Error{
		Kind: fault.NotFound, Step: "dead letters", Code: CodeUnknown, Message: fmt.Sprintf("there is no dead letter %q to be seen", id),
		Hint: "It was worked off, or somebody else is looking at it at this moment: then ask again.",
	}
}

// full is the letter with its whole story.
func full(l *queue.Letter, whole queue.Received, complete bool) api.DeadLetter {
	out := *brief(l)
	out.Progress, out.Attempts, out.Redrives, out.Incomplete = l.Progress, l.Attempts, l.Redrives, !complete
	if l.Callback != nil {
		out.Callback.Event = l.Callback.Event
		return out
	}
	if complete {
		out.Received = received(whole)
		out.Received.Body = hide(out.Received.Body)
		if l.Received = whole; out.Request == nil && out.JobID != "" {
			out.Request = shown(l.RequestReceived())
		}
	}
	return out
}

// shown is a request as it may be shown, if there is one.
func shown(r *routine.Request) *routine.Request {
	if r == nil {
		return nil
	}
	visible := r.Shown()
	return &visible
}

// hide replaces the queries of callback URLs in a message by stars, whatever the message is: a request that breaks the rules, an event
// with JSON in the strings of JSON, or either in Base64. A backslash more or less, and what escapes write, is all the same to it.
func hide(body string) string {
	const character = `(?:[^"\\]|\\+u[0-9a-f]{4}|\\+/)` // of a string in JSON, and what is left of it in a string in a string
	url := regexp.MustCompile(`(?i)(callbackurl\\*"\s*:\s*\\*"` + character + `*?)(?:\?|\\+u003f)` + character + `*`)
	mask := func(text string) string { return url.ReplaceAllString(text, "${1}?***") }
	if decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(body)); err == nil {
		if hidden := mask(string(decoded)); hidden != string(decoded) {
			return base64.StdEncoding.EncodeToString([]byte(hidden))
		}
		return body
	}
	return mask(body)
}

// received is a message as this interface shows it. A body whose encoding somebody has broken is shown as it is written.
func received(r queue.Received) *api.Received {
	body, err := r.Bytes()
	if err != nil {
		body = []byte(r.Body)
	}
	if utf8.Valid(body) {
		return &api.Received{MessageID: r.MessageID, Encoding: queue.Text, Body: string(body)}
	}
	return &api.Received{MessageID: r.MessageID, Encoding: queue.Base64, Body: base64.StdEncoding.EncodeToString(body)}
}
