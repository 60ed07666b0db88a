package invocation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
	"routinely/shared/config"
	"routinely/shared/invocation"
)

// parts are those of a function without a ledger.
func parts(t *testing.T) *invocation.Parts {
	t.Helper()
	common := config.Function{MessageKeys: config.Secret(sim.KeysText(sim.Key))}
	common.Prefix, common.LogLevel = config.DefaultPrefix, "info"
	common.Queue = config.Queue{Endpoint: "http://localhost", Timeout: time.Second}
	p, err := invocation.NewParts(common, io.Discard, "test")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type handler = func(context.Context, []byte) (string, error)

func nothing(context.Context) {}

func TestServe(t *testing.T) {
	t.Run("passes events on, and what is said of them back", func(t *testing.T) {
		failed := errors.New("no")
		invocation.Serve(sim.Process(t, func(h any, _ func(context.Context)) {
			got, err := h.(handler)(t.Context(), []byte(`1`))
			if got != "done 1" || !errors.Is(err, failed) {
				t.Errorf("%q, %v", got, err)
			}
		}), parts(t), func(_ context.Context, event json.RawMessage) (string, error) { return "done " + string(event), failed }, nothing)
	})
	t.Run("writes a line when the platform gets an error, or the handler panics, and none otherwise", func(t *testing.T) {
		parts := parts(t)
		var out bytes.Buffer
		parts.Log.Logger.SetOutput(&out)
		failed := errors.New("no ledger")
		invocation.Serve(sim.Process(t, func(h any, _ func(context.Context)) {
			for _, event := range []string{"well", "fail", "panic"} {
				func() {
					defer func() { _ = recover() }() // the platform's SDK does that
					_, _ = h.(handler)(t.Context(), []byte(event))
				}()
			}
		}), parts, func(_ context.Context, event json.RawMessage) (string, error) {
			if string(event) == "panic" {
				panic("broken")
			}
			return "", map[string]error{"fail": failed}[string(event)]
		}, nothing)
		var got []string
		for text := range strings.Lines(out.String()) {
			var line struct{ Event, Error string }
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatal(err)
			}
			got = append(got, line.Event+": "+line.Error)
		}
		if diff := cmp.Diff([]string{"invocation.failed: no ledger", "invocation.failed: the handler has panicked"}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("looks out for its end before it begins an event, and not before the first", func(t *testing.T) {
		watched := 0
		p := sim.Process(t, func(h any, _ func(context.Context)) {
			if watched != 0 {
				t.Error("the start was held up")
			}
			for range 2 {
				if _, err := h.(handler)(t.Context(), nil); err != nil {
					t.Error(err)
				}
			}
		})
		p.Watch = func() { watched++ }
		events := 0
		invocation.Serve(p, parts(t), func(context.Context, json.RawMessage) (string, error) {
			events++
			if watched != events {
				t.Errorf("event %d was begun without", events)
			}
			return "", nil
		}, nothing)
	})
	t.Run("signs with the key that comes with each event, and with the end of the instance", func(t *testing.T) {
		parts := parts(t)
		call := func(id string) context.Context {
			key := fccontext.Credentials{AccessKeyId: id, AccessKeySecret: "secret"}
			return fccontext.NewContext(t.Context(), &fccontext.FcContext{Credentials: key})
		}
		var used []string
		use := func() {
			id, _, _ := parts.Credentials.Get()
			used = append(used, id)
		}
		invocation.Serve(sim.Process(t, func(h any, preStop func(context.Context)) {
			for _, id := range []string{"first", "second"} {
				if _, err := h.(handler)(call(id), nil); err != nil {
					t.Error(err)
				}
			}
			preStop(call("third"))
		}), parts, func(context.Context, json.RawMessage) (string, error) { use(); return "", nil }, func(context.Context) { use() })
		if diff := cmp.Diff([]string{"first", "second", "third"}, used); diff != "" {
			t.Errorf("keys -want +got:\n%s", diff)
		}
	})
	t.Run("lets the event at work come to its end, and begins no other", func(t *testing.T) {
		stopping, stop := context.WithCancel(t.Context())
		begun, release, ended := make(chan bool), make(chan bool), make(chan int)
		events, finished, flushed := 0, false, false
		p := sim.Process(t, func(h any, _ func(context.Context)) {
			if _, err := h.(handler)(t.Context(), nil); err != nil {
				t.Error(err)
			}
			if _, err := h.(handler)(t.Context(), nil); err == nil {
				t.Error("another event was taken")
			}
			<-t.Context().Done()
		})
		p.Stopping, p.Exit = stopping, func(code int) { ended <- code }
		go invocation.Serve(p, parts(t), func(context.Context, json.RawMessage) (string, error) {
			events++
			begun <- true
			<-release
			finished = true
			return "", nil
		}, func(context.Context) { flushed = finished })
		<-begun
		stop()
		select {
		case <-ended:
			t.Error("the process ends in the middle of an event")
		case <-time.After(time.Second): // it would have ended by then, the time for its last answer included
		}
		close(release)
		if code := <-ended; code != 0 || !finished || !flushed || events != 1 {
			t.Errorf("%d events, finished %t, and then flushed %t, exit code %d", events, finished, flushed, code)
		}
	})
}
