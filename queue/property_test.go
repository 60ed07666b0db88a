package queue_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/queue"
	"routinely/shared/routine"
)

// anyTime draws a time that all formats can hold.
func anyTime(t *rapid.T, name string) time.Time {
	return time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, name), rapid.Int64Range(0, 999_999_999).Draw(t, name+"'s fraction")).UTC()
}

// anyText draws a text of any characters, line ends and quotes included.
func anyText(t *rapid.T, name string) string {
	letters := rapid.OneOf(rapid.Rune(), rapid.RuneFrom([]rune("a{}[]\"\\<&\r\n\t\x00\ufffe\u2028é")))
	return rapid.StringOfN(letters, -1, 8, -1).Draw(t, name)
}

// textOf is a long text without a long draw.
func textOf(t *rapid.T, name string, most int) string {
	piece := rapid.SampledFrom([]string{"x", "é", "漢", "日本 ", "<", "\"", "\n", "\u2028", "\uffff", "\x01"}).Draw(t, name)
	return strings.Repeat(piece, rapid.IntRange(0, most/len(piece)).Draw(t, name+" times"))
}

func anyAttempt(t *rapid.T) routine.Attempt {
	return routine.Attempt{
		Number: rapid.IntRange(1, 20).Draw(t, "number"), Redriven: rapid.IntRange(0, 9).Draw(t, "redriven"), At: anyTime(t, "at"),
		Step: routine.CreateRoutine, Kind: "unavailable", Code: anyText(t, "code"), Message: anyText(t, "message"), Hint: anyText(t, "hint"),
	}
}

// anyRequest draws a request that keeps the rules.
func anyRequest(t *rapid.T) routine.Request {
	return routine.Request{
		Name: rapid.StringMatching(`[a-z][a-z0-9]{1,8}`).Draw(t, "name"), SiteID: rapid.Int64Min(1).Draw(t, "siteId"),
		RecordName:  rapid.StringMatching(`[a-z0-9]{1,8}\.example\.com`).Draw(t, "record"),
		Description: rapid.Ptr(rapid.Custom(func(t *rapid.T) string { return anyText(t, "description") }), true).Draw(t, "description"),
		HasAssets:   rapid.Ptr(rapid.Bool(), true).Draw(t, "hasAssets"),
		IfExists:    rapid.SampledFrom([]routine.IfExists{"", routine.Adopt, routine.Fail}).Draw(t, "ifExists"),
	}
}

// anyEnvelope draws a job with a life behind it.
func anyEnvelope(t *rapid.T) queue.Envelope {
	e := queue.Envelope{
		JobID: rapid.StringMatching(`[!-~é]{1,64}`).Draw(t, "id"), Caller: anyText(t, "caller"), AcceptedAt: anyTime(t, "accepted"),
		Attempt: rapid.IntRange(1, 100).Draw(t, "attempt"), HandedBack: rapid.IntRange(0, 1000).Draw(t, "handed back"),
		Request: anyRequest(t), Progress: routine.Progress{RecordUnknown: rapid.Bool().Draw(t, "unknown")},
	}
	for range rapid.IntRange(0, 3).Draw(t, "redrives") {
		attempt, count := e.Attempt, e.HandedBack
		e.Redrive(anyTime(t, "redriven at"), anyText(t, "by"), anyText(t, "reason"))
		e.Attempt, e.HandedBack = attempt, count
	}
	for range rapid.IntRange(0, 3).Draw(t, "failures") {
		e.Fail(anyAttempt(t))
	}
	return e
}

// written must be JSON.
func written(t rapid.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func bodyOf(t rapid.TB, e queue.Envelope) string {
	t.Helper()
	body, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// wrapped puts a message's body into an event in one of all the ways that triggers do.
func wrapped(t *rapid.T, body string) string {
	if rapid.Bool().Draw(t, "in Base64") {
		body = base64.StdEncoding.EncodeToString([]byte(body))
	}
	value := written(t, body)
	switch rapid.SampledFrom([]string{"", "topic", "topic pushed to a queue", "STREAM", "STREAM with attributes", "parsed"}).Draw(t, "way") {
	case "topic":
		return `{"TopicName":"t","MessageId":"M1","Message":` + value + `}`
	case "topic pushed to a queue":
		value = written(t, `{"TopicName":"t","MessageId":"T1","Message":`+value+`}`)
	case "STREAM":
		return body
	case "STREAM with attributes":
		return `{"body":` + value + `,"attrs":{}}`
	case "parsed":
		if body[0] == '{' {
			value = body
		}
	}
	data := `{"requestId":"R","messageId":"M1","messageBody":` + value + `}`
	if rapid.Bool().Draw(t, "raw") {
		return data
	}
	if rapid.Bool().Draw(t, "data as a string") {
		data = written(t, data)
	}
	return `{"id":"e1","source":"MNS","specversion":"1.0","type":"mns:Queue:SendMessage","data":` + data + `}`
}

func TestEnvelopeProperties(t *testing.T) {
	t.Run("comes back as it was sent through every shape of an event", rapid.MakeCheck(func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(anyEnvelope), 1, 2).Draw(t, "envelopes")
		var elements []string
		for _, e := range want {
			element := wrapped(t, bodyOf(t, e))
			if rapid.Bool().Draw(t, "as a string") || element[0] != '{' {
				element = written(t, element)
			}
			elements = append(elements, element)
		}
		text := "[" + strings.Join(elements, ",") + "]"
		if len(elements) == 1 && rapid.Bool().Draw(t, "alone") {
			text = elements[0]
		}
		var got []queue.Envelope
		for _, d := range queue.Decode([]byte(text), now) {
			if d.Err != nil {
				t.Fatalf("%v in %s", d.Err, text)
			}
			got = append(got, d.Envelope)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	}))
	t.Run("keeps its identity and a bounded history through any life, and moves forward in time", rapid.MakeCheck(func(t *rapid.T) {
		e := anyEnvelope(t)
		id, accepted, round, at := e.JobID, e.AcceptedAt, e.Redriven, anyTime(t, "begin")
		for step := range rapid.IntRange(0, 40).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "redrive") > 0 {
				e.Fail(routine.Attempt{Number: step, Message: textOf(t, "message", 900), Hint: textOf(t, "hint", 900)})
				continue
			}
			at = at.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "later")))
			e.Redrive(at, textOf(t, "by", 500), textOf(t, "reason", 500))
			if round++; !e.Since().Equal(at) || e.Redriven != round || e.Attempt != 1 || e.HandedBack != 0 {
				t.Fatalf("round %d begins at %s, want %s: %+v", e.Redriven, e.Since(), at, e)
			}
		}
		if e.JobID != id || !e.AcceptedAt.Equal(accepted) || len(e.Failures) > 12 || len(e.Redrives) > 5 {
			t.Fatalf("%d failures, %d redrives: %+v", len(e.Failures), len(e.Redrives), e)
		}
	}))
}

// bytesOf draws bytes that do or do not compress, are or are not text, up to a few parts of a dead letter.
func bytesOf(t *rapid.T) []byte {
	size := rapid.IntRange(0, 3_000).Draw(t, "size")
	if rapid.IntRange(0, 9).Draw(t, "large") > 8 {
		size += rapid.SampledFrom([]int{60_000, 130_000, 30_000}).Draw(t, "more")
	}
	switch rapid.SampledFrom([]string{"noise", "hex", "one byte", "text"}).Draw(t, "sort") {
	case "noise":
		noise := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{rapid.Byte().Draw(t, "seed")}).Read(noise)
		return noise
	case "hex":
		noise := make([]byte, size/2)
		_, _ = rand.NewChaCha8([32]byte{rapid.Byte().Draw(t, "seed")}).Read(noise)
		return fmt.Appendf(nil, "%x", noise)
	case "one byte":
		return bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, size)
	}
	return []byte(anyText(t, "text"))
}

// weight is what MNS counts of a body: the client sends in Base64 what XML cannot carry.
func weight(body string) int {
	foreign := strings.ContainsFunc(body, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\r\n", r) || r == 0xfffe || r == 0xffff })
	if foreign || !utf8.ValidString(body) {
		return base64.StdEncoding.EncodedLen(len(body))
	}
	return len(body)
}

// sentAs returns the messages that a dead letter is sent in, which must fit.
func sentAs(t rapid.TB, d queue.DeadLetter) []string {
	t.Helper()
	bodies, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, body := range bodies {
		if weight(string(body)) > queue.MaxMessageBytes {
			t.Fatalf("a message of %d bytes", weight(string(body)))
		}
		out = append(out, string(body))
	}
	return out
}

// wantBody puts a body together from the messages of its dead letter.
func wantBody(t rapid.TB, messages []string, want []byte) {
	t.Helper()
	parts, ids := map[int]queue.Received{}, map[string]bool{}
	for _, m := range messages {
		l := queue.ReadLetter(queue.Message{ID: "D1", Body: m, EnqueuedAt: now})
		parts[l.Received.Part], ids[l.ID] = l.Received, true
		missing := max(l.Received.Parts, 1) - len(parts)
		if l.Undelivered || missing < 2 && isWhole(parts) != (missing == 0) {
			t.Fatalf("undelivered %t, %d parts of %d are missing", l.Undelivered, missing, l.Received.Parts)
		}
	}
	whole, _ := queue.JoinParts(parts)
	if got, err := whole.Bytes(); err != nil || !bytes.Equal(got, want) || len(ids) != 1 {
		t.Fatalf("%v, %d bytes of %d, ids %v", err, len(got), len(want), ids)
	}
}

func isWhole(parts map[int]queue.Received) bool {
	_, ok := queue.JoinParts(parts)
	return ok
}

func TestDeadLetterProperties(t *testing.T) {
	t.Run("gives the body back byte for byte, from messages that come in any order and more than once", rapid.MakeCheck(func(t *rapid.T) {
		body := bytesOf(t)
		d := queue.DeadLetter{JobID: "job-1", Kind: "internal", DeadAt: anyTime(t, "dead"), Received: queue.ReceivedBody(anyText(t, "message id"), body)}
		messages := rapid.Permutation(sentAs(t, d)).Draw(t, "order")
		wantBody(t, append(messages, rapid.SampledFrom(messages).Draw(t, "again")), body)
	}))
	t.Run("gives a megabyte back", func(t *testing.T) {
		noise := make([]byte, 33<<10) // more than gzip looks back, so that some of the body stays long
		_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
		body := append(bytes.Repeat([]byte("a long event "), 1<<20/13), noise...)
		messages := sentAs(t, queue.DeadLetter{Kind: "internal", DeadAt: now, Received: queue.ReceivedBody("M1", body)})
		slices.Reverse(messages)
		if wantBody(t, messages, body); len(messages) < 2 {
			t.Error("one message")
		}
	})
	t.Run("is redriven twice to the same job in the same round", rapid.MakeCheck(func(t *rapid.T) {
		e := anyEnvelope(t)
		d := queue.DeadLetter{
			JobID: e.JobID, Kind: "internal", Caller: e.Caller, AcceptedAt: e.AcceptedAt, Attempt: e.Attempt, Redriven: e.Redriven,
			Redrives: e.Redrives, Progress: e.Progress, Attempts: e.Failures, DeadAt: anyTime(t, "dead"),
			Received: queue.ReceivedBody("M1", []byte(wrapped(t, bodyOf(t, e)))),
		}
		if rapid.Bool().Draw(t, "with its request") {
			d.Request = &e.Request
		}
		l := queue.ReadLetter(queue.Message{ID: "D1", Body: sentAs(t, d)[0], EnqueuedAt: now})
		at := e.Since().Add(time.Hour)
		first, second := redriven(t, l.DeadLetter, at), redriven(t, l.DeadLetter, at.Add(time.Minute))
		if first.Redriven != e.Redriven+1 || second.Redriven != first.Redriven || second.JobID != e.JobID {
			t.Fatalf("job %s in round %d, then %s in round %d", first.JobID, first.Redriven, second.JobID, second.Redriven)
		}
		if len(first.Redrives) > 5 || !first.Since().Equal(at) || !first.Since().After(e.Since()) {
			t.Fatalf("%d redrives since %s", len(first.Redrives), first.Since())
		}
		want := e
		want.Redrive(at, "ops", "why")
		if diff := cmp.Diff(want, first); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	}))
	t.Run("is redriven by a message that fits, whatever was tried before", rapid.MakeCheck(func(t *rapid.T) {
		request := anyRequest(t)
		description := textOf(t, "description", queue.MaxAcceptedBytes)
		request.Description = &description
		e := queue.Envelope{JobID: "job-1", Caller: "ci", AcceptedAt: now, Attempt: 1, Request: request}
		for len(bodyOf(t, e)) > queue.MaxAcceptedBytes { // accept would refuse it
			description = strings.ToValidUTF8(description[:len(description)*9/10], "")
		}
		for n := range 13 {
			e.Fail(routine.Attempt{Number: n, At: now, Message: textOf(t, "message", 900), Hint: strings.Repeat("h", 400)})
			e.Redrive(now, textOf(t, "by", 400), strings.Repeat("漢", 200))
		}
		d := queue.DeadLetter{JobID: e.JobID, Redriven: e.Redriven, Redrives: e.Redrives, Request: &e.Request, Attempts: e.Failures, DeadAt: now}
		got := redriven(t, d, now.Add(time.Hour))
		if diff := cmp.Diff(e.Failures, got.Failures); diff != "" || got.Redriven != 14 {
			t.Fatalf("history in round %d -want +got:\n%s", got.Redriven, diff)
		}
	}))
}

// redriven is the job that a letter becomes.
func redriven(t *rapid.T, d queue.DeadLetter, at time.Time) queue.Envelope {
	t.Helper()
	out, err := d.Redrive(at, "ops", "why")
	if err != nil || len(out) != 1 || out[0].Job == nil {
		t.Fatalf("got %+v, %v", out, err)
	}
	if weight(out[0].Body) > queue.MaxMessageBytes || out[0].Body != bodyOf(t, *out[0].Job) {
		t.Fatalf("a message of %d bytes", weight(out[0].Body))
	}
	return *out[0].Job
}
