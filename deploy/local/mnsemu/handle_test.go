package mnsemu_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
)

func TestReceiptHandles(t *testing.T) {
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
			if want := e.clock.Now().UnixMilli() + timeout*1000; changed.NextVisibleTime != want || changed.ReceiptHandle == handle {
				t.Errorf("changed %+v, want another handle until %d", changed, want)
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
		flipped := "A" + foreign[1:]
		if foreign[0] == 'A' {
			flipped = "B" + foreign[1:]
		}
		for name, handle := range map[string]string{
			"made up": "1-ODU4OTkzNDU5My0xNDM1MTk3NjAwLTItNg==", "of another queue": foreign, "changed": flipped,
		} {
			if err := q.DeleteMessage(handle); errorCode(err) != codeReceiptHandleError {
				t.Errorf("%s: got %v, want ReceiptHandleError", name, err)
			}
		}
	})

	t.Run("takes a handle raw or percent-encoded, under a key in any case", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		for _, form := range []string{"receiptHandle=%s", "ReceiptHandle=%s", "RECEIPTHANDLE=%%%02x%s"} {
			send(t, q, "m")
			handle := mustReceive(t, q).ReceiptHandle
			query := fmt.Sprintf(form, handle)
			if strings.Contains(form, "%%") {
				query = fmt.Sprintf(form, handle[0], handle[1:])
			}
			if r := e.do(t, raw{method: "DELETE", target: "/queues/jobs/messages?" + query}); r.status != http.StatusNoContent {
				t.Errorf("%s: got %+v", form, r)
			}
		}
	})
}
