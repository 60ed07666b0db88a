package mnsemu_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
)

func TestReceiptHandles(t *testing.T) {
	t.Run("look as recorded: the message's id and Base64 with any padding, 101 or 105 characters", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		form := regexp.MustCompile(`^[0-9A-F]{32}-[A-Za-z0-9]+={0,2}$`)
		paddings := map[int]bool{}
		for range 60 {
			send(t, q, "m")
			got := mustReceive(t, q)
			id, encoded, _ := strings.Cut(got.ReceiptHandle, "-")
			_, err := base64.StdEncoding.Strict().DecodeString(encoded)
			if length := len(got.ReceiptHandle); !form.MatchString(got.ReceiptHandle) || id != got.MessageId || err != nil || length != 101 && length != 105 {
				t.Errorf("handle %q of message %s, %v", got.ReceiptHandle, got.MessageId, err)
			}
			paddings[strings.Count(encoded, "=")] = true
		}
		if len(paddings) != 3 {
			t.Errorf("paddings %v, want none, one and two", paddings)
		}
	})

	t.Run("counts a changed visibility from the call, longer or shorter", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs", mns.WithVisibilityTimeout(30))
		send(t, q, "m")
		handle := mustReceive(t, q).ReceiptHandle
		for _, timeout := range []int64{100, 5} {
			e.clock.Advance(time.Second)
			changed, err := q.ChangeMessageVisibility(handle, timeout)
			if err != nil {
				t.Fatal(err)
			}
			id, _, _ := strings.Cut(handle, "-")
			if want := e.clock.Now().UnixMilli() + timeout*1000; changed.NextVisibleTime != want || changed.ReceiptHandle == handle || !strings.HasPrefix(changed.ReceiptHandle, id) {
				t.Errorf("changed %+v, want another handle of the same message until %d", changed, want)
			}
			handle = changed.ReceiptHandle
		}
		e.clock.Advance(5 * time.Second)
		if got := mustReceive(t, q); got.DequeueCount != 2 {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("accepts the handle from before a change until the next receive", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		for _, body := range []string{"one", "two"} {
			send(t, q, body)
			old := mustReceive(t, q).ReceiptHandle
			changed, err := q.ChangeMessageVisibility(old, 10)
			if err != nil {
				t.Fatal(err)
			}
			handle := map[string]string{"one": old, "two": changed.ReceiptHandle}[body]
			if err := q.DeleteMessage(handle); err != nil {
				t.Errorf("message %s: %v", body, err)
			}
		}
	})

	t.Run("refuses a handle once its time is over, received again or not", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs", mns.WithVisibilityTimeout(10))
		send(t, q, "m")
		old := mustReceive(t, q).ReceiptHandle
		e.clock.Advance(10 * time.Second)
		if err := q.DeleteMessage(old); errorCode(err) != codeMessageNotExist {
			t.Errorf("expired: got %v, want MessageNotExist", err)
		}
		latest := mustReceive(t, q).ReceiptHandle
		if err := q.DeleteMessage(old); errorCode(err) != codeMessageNotExist {
			t.Errorf("outdated: got %v, want MessageNotExist", err)
		}
		if _, err := q.ChangeMessageVisibility(old, 10); errorCode(err) != codeMessageNotExist {
			t.Errorf("change with an outdated handle: got %v, want MessageNotExist", err)
		}
		if err := q.DeleteMessage(latest); err != nil {
			t.Error(err)
		}
		if err := q.DeleteMessage(latest); errorCode(err) != codeMessageNotExist {
			t.Errorf("second delete: got %v, want MessageNotExist", err)
		}
	})

	t.Run("knows handles that were never issued for the queue", func(t *testing.T) {
		e := start(t, nil)
		q, other := e.queue(t, "jobs"), e.queue(t, "other")
		send(t, other, "m")
		foreign := mustReceive(t, other).ReceiptHandle
		for name, handle := range map[string]string{
			"made up": "1-ODU4OTkzNDU5My0xNDM1MTk3NjAwLTItNg==", "of another queue": foreign,
			"of the service":   "96B203D933FD7FCF7FB27DA130E356C1-MyAxNzkwMjk5NzE4ODc3IDMwMDAwIDIgMCBzaG1xbmluZTRzbXEtMDggMCAzfDFTMDFudQ==",
			"with a line feed": foreign + "\n", "short of its padding": strings.TrimRight(foreign, "=") + "====",
		} {
			if err := q.DeleteMessage(handle); errorCode(err) != codeReceiptHandleError {
				t.Errorf("%s: got %v, want ReceiptHandleError", name, err)
			}
		}
		for i := range foreign {
			changed := []byte(foreign)
			changed[i] = map[bool]byte{true: 'B', false: 'A'}[foreign[i] == 'A']
			if err := other.DeleteMessage(string(changed)); errorCode(err) != codeReceiptHandleError {
				t.Errorf("changed at %d: got %v, want ReceiptHandleError", i, err)
			}
		}
	})

	t.Run("takes a handle raw or percent-encoded, under a key in any case", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		encodings := map[string]func(handle string) string{
			"raw":                   func(handle string) string { return "receiptHandle=" + handle },
			"encoded":               func(handle string) string { return "ReceiptHandle=" + url.QueryEscape(handle) },
			"encoded in lower case": func(handle string) string { return "receipthandle=" + strings.ReplaceAll(handle, "=", "%3d") },
			"encoded needlessly":    func(handle string) string { return fmt.Sprintf("RECEIPTHANDLE=%%%02x%s", handle[0], handle[1:]) },
		}
		for name, query := range encodings {
			for range 20 { // paddings of all lengths come up
				send(t, q, "m")
				handle := mustReceive(t, q).ReceiptHandle
				if r := e.do(t, raw{method: "DELETE", target: "/queues/jobs/messages?" + query(handle)}); r.status != http.StatusNoContent {
					t.Errorf("%s: %s: got %+v", name, handle, r)
				}
			}
		}
	})

	t.Run("leaves a plus sign in a query alone", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs")
		// As a space it would be no number.
		if r := e.do(t, raw{method: "GET", target: "/queues/jobs/messages?numOfMessages=+1"}); r.text("Code") != "MessageNotExist" {
			t.Errorf("got %+v", r)
		}
	})
}
