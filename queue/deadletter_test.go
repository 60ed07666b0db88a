package queue_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/queue"
	"routinely/shared/routine"
)

// received puts the parts of a dead letter's body together, as a reader of the queue would.
func received(t *testing.T, bodies [][]byte) []byte {
	t.Helper()
	var encoding string
	var joined strings.Builder
	for i, body := range bodies {
		size := len(body)
		if bytes.ContainsRune(body, '\uffff') { // which is sent in Base64
			size = base64.StdEncoding.EncodedLen(size)
		}
		if size > queue.MaxMessageBytes {
			t.Fatal("a part has", size, "bytes")
		}
		var message struct {
			Data queue.DeadLetter `json:"data"`
		}
		if err := json.Unmarshal(body, &message); err != nil {
			t.Fatal(err)
		}
		r := message.Data.Received
		if len(bodies) > 1 && (r.Part != i+1 || r.Parts != len(bodies)) {
			t.Fatal("part", r.Part, "of", r.Parts, "in place", i+1, "of", len(bodies))
		}
		encoding = r.Encoding
		joined.WriteString(r.Body)
	}
	if encoding == queue.Text {
		return []byte(joined.String())
	}
	raw, err := base64.StdEncoding.DecodeString(joined.String())
	if err != nil {
		t.Fatal(err)
	}
	if encoding == queue.Base64 {
		return raw
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDeadLetterKeepsTheMessage(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 100_000)
	_, _ = random.Read(noise)
	for name, test := range map[string]struct {
		body     []byte
		encoding string
		parts    int
	}{
		"a request, readable":          {[]byte(bare), queue.Text, 1},
		"nothing":                      {nil, queue.Text, 1},
		"control characters":           {[]byte("a\x00\x1f<>&\u2028b"), queue.Text, 1},
		"bytes that are not text":      {[]byte{0xff, 0, 0xfe}, queue.Base64, 1},
		"a full message, compressed":   {bytes.Repeat([]byte("\x01<é"), 15_000), queue.GzipBase64, 1},
		"a full message of pure noise": {[]byte(base64.StdEncoding.EncodeToString(noise))[:65536], queue.GzipBase64, 2},
		"more noise than one can hold": {noise, queue.GzipBase64, 4},
	} {
		t.Run(name, func(t *testing.T) {
			letter := queue.DeadLetter{Kind: "invalid", DeadAt: now, Received: queue.ReceivedBody("M1", test.body)}
			bodies, err := letter.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if letter.Received.Encoding != test.encoding || len(bodies) != test.parts {
				t.Errorf("%s in %d parts, want %s in %d", letter.Received.Encoding, len(bodies), test.encoding, test.parts)
			}
			if got := received(t, bodies); !bytes.Equal(got, test.body) {
				t.Errorf("got %d bytes back, sent %d", len(got), len(test.body))
			}
		})
	}
}

func TestDeadLetterAlwaysFits(t *testing.T) {
	for _, piece := range []string{"\x00", "é", "<", "\uffff"} {
		for _, length := range []int{500, 9_000} {
			for _, size := range []int{0, 9_000, 70_000} {
				t.Run(fmt.Sprintf("%d bytes of %q beside %d", length, piece, size), func(t *testing.T) {
					text, body := strings.Repeat(piece, length/len(piece)), []byte(strings.Repeat(piece, size/len(piece)))
					letter := queue.DeadLetter{
						JobID: text, Kind: "invalid", Code: text, Message: text, RequestID: text, Hint: text, Reason: text,
						Caller: text, DeadAt: now, Request: &routine.Request{Name: "ab", Description: &text},
						Problems: []routine.Problem{{Pointer: text, Detail: text}},
						Attempts: []routine.Attempt{{Code: text, RequestID: text}},
						Redrives: []routine.Redrive{{By: text, Reason: text}},
						Received: queue.ReceivedBody(text, body),
					}
					bodies, err := letter.Encode()
					if err != nil {
						t.Fatal(err)
					}
					if got := received(t, bodies); !bytes.Equal(got, body) {
						t.Fatalf("got %d bytes back, sent %d", len(got), len(body))
					}
				})
			}
		}
	}
}

func TestDeadLetterID(t *testing.T) {
	id := func(t *testing.T, messageID string, body []byte, change func(*queue.DeadLetter)) string {
		t.Helper()
		request := wish
		letter := queue.DeadLetter{JobID: "job-1", Request: &request, Kind: "operator", DeadAt: now, Received: queue.ReceivedBody(messageID, body)}
		change(&letter)
		bodies, err := letter.Encode()
		if err != nil {
			t.Fatal(err)
		}
		name, _, err := queue.DecodeDeadLetter(string(bodies[0]))
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	told := func(round int) func(*queue.DeadLetter) {
		return func(d *queue.DeadLetter) { d.Callback = &queue.Callback{ID: "msg_1", JobID: "job-1", Redriven: round} }
	}
	redriven := func(d *queue.DeadLetter) { d.Redriven++ }
	none := func(*queue.DeadLetter) {}
	noise := make([]byte, 32_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	one, another := []byte("one"), []byte("another")
	job, callback := id(t, "M1", one, none), id(t, "M1", nil, told(0))
	for name, test := range map[string]struct {
		a, b string
		same bool
	}{
		"is that of the job's round, whichever message died":         {job, id(t, "M2", another, none), true},
		"is another in the next round":                               {job, id(t, "M1", one, redriven), false},
		"is that of the callback's round, whichever message died":    {callback, id(t, "M2", another, told(0)), true},
		"is another in the callback's next round":                    {callback, id(t, "M1", nil, told(1)), false},
		"of a callback is not that of its job":                       {callback, job, false},
		"is that of the message, if a body is told in several parts": {id(t, "M1", noise, none), id(t, "M1", noise[1:], none), false},
	} {
		t.Run(name, func(t *testing.T) {
			if (test.a == test.b) != test.same {
				t.Errorf("%s and %s", test.a, test.b)
			}
		})
	}
}

func TestDeadLetterTellsTheStory(t *testing.T) {
	request := wish
	want := queue.DeadLetter{
		JobID: "job-1", Kind: "operator", Code: "ServiceNotOpen", Message: "not activated", RequestID: "R1",
		Step: routine.CreateRoutine, Hint: "activate it", Reason: "not retryable", Caller: "ci", AcceptedAt: now, Attempt: 2,
		Request: &request, Progress: routine.Progress{RecordUnknown: true}, DeadAt: now,
		Attempts: []routine.Attempt{{Number: 1, At: now, Kind: "unavailable", Message: "no answer"}},
		Redriven: 1, Redrives: []routine.Redrive{{Number: 1, At: now, By: "ops", Reason: "bill paid"}},
		Received: queue.ReceivedBody("M1", []byte(bare)),
	}
	bodies, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var message struct {
		Type string           `json:"type"`
		Data queue.DeadLetter `json:"data"`
	}
	if err := json.Unmarshal(bodies[0], &message); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, message.Data); diff != "" || message.Type != queue.TypeDeadLetter {
		t.Errorf("type %s, -want +got:\n%s", message.Type, diff)
	}
}
