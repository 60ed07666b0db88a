package invocation_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"routinely/functions/invocation"
	"routinely/shared/config"
)

// parts are those of a function without a ledger.
func parts(t *testing.T) *invocation.Parts {
	t.Helper()
	var common config.Common
	common.Endpoint, common.Name, common.DeadLetter, common.LogLevel = "http://localhost", "jobs", "jobs-dead", "info"
	common.Queue.Timeout = time.Second
	p, err := invocation.NewParts(common, io.Discard, "test")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type handler = func(context.Context, json.RawMessage) (string, error)

func nothing(context.Context) {}

func TestServe(t *testing.T) {
	t.Run("passes events on, and what is said of them back", func(t *testing.T) {
		failed := errors.New("no")
		invocation.Serve(t.Context(), parts(t), func(h any, _ func(context.Context)) {
			got, err := h.(handler)(t.Context(), json.RawMessage(`1`))
			if got != "done 1" || !errors.Is(err, failed) {
				t.Errorf("%q, %v", got, err)
			}
		}, func(_ context.Context, event json.RawMessage) (string, error) { return "done " + string(event), failed }, nothing)
	})
	t.Run("lets the event at work come to its end, and begins no other", func(t *testing.T) {
		stopping, stop := context.WithCancel(t.Context())
		begun, release, ended := make(chan bool), make(chan bool), make(chan bool)
		events, finished, flushed := 0, false, false
		go func() {
			defer close(ended)
			invocation.Serve(stopping, parts(t), func(h any, _ func(context.Context)) {
				if _, err := h.(handler)(t.Context(), nil); err != nil {
					t.Error(err)
				}
				if _, err := h.(handler)(t.Context(), nil); err == nil {
					t.Error("another event was taken")
				}
			}, func(context.Context, json.RawMessage) (string, error) {
				events++
				begun <- true
				<-release
				finished = true
				return "", nil
			}, func(context.Context) { flushed = finished })
		}()
		<-begun
		stop()
		select {
		case <-ended:
			t.Error("the process ends in the middle of an event")
		default:
		}
		close(release)
		<-ended
		if !finished || !flushed || events != 1 {
			t.Errorf("%d events, finished %t, and then flushed %t", events, finished, flushed)
		}
	})
}
