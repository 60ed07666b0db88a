package fcemu_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/fcemu"
)

func TestInvoke(t *testing.T) {
	t.Run("returns the result byte for byte and reuses the warm instance", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}})
		event := `{"text":"ümläut"}`
		first, second := h.mustInvoke("f", event), h.mustInvoke("f", event)
		if diff := cmp.Diff(event, string(first.Result)); diff != "" {
			t.Errorf("result (-want +got):\n%s", diff)
		}
		if !first.ColdStart || second.ColdStart || first.InstanceID != second.InstanceID {
			t.Errorf("got %+v then %+v, want one instance, cold then warm", first, second)
		}
		h.stop()
		close(h.lines)
		printed := 0
		for range h.lines {
			printed++
		}
		if printed != 4 {
			t.Errorf("%d lines, want 4: the SDK complains when next does not hold it", printed)
		}
	})

	t.Run("hands credentials over with the event and in a clean environment", func(t *testing.T) {
		f := function("f")
		f.Env, f.Timeout, f.MemoryMB = map[string]string{"OWN": "value"}, 7*time.Second, 256
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}, AccessKeyID: "id", AccessKeySecret: "secret", SecurityToken: "token"})
		t.Setenv("PARENT_SECRET", "must not be inherited")
		var got struct {
			Env      []string
			Folder   string
			Deadline int64
			Context  struct {
				RequestID   string
				Credentials struct{ AccessKeyID, AccessKeySecret, SecurityToken string }
				Function    struct {
					Name, Handler, Memory string
					Timeout               int
				}
				Region, AccountID string
			}
		}
		result := h.mustInvoke("f", `{"do":"describe"}`)
		if err := json.Unmarshal(result.Result, &got); err != nil {
			t.Fatalf("%v in %s", err, result.Result)
		}
		keys := map[string]string{}
		for _, entry := range got.Env {
			key, value, _ := strings.Cut(entry, "=")
			keys[key] = value
		}
		delete(keys, "FC_RUNTIME_API")
		want := map[string]string{
			"FC_ACCOUNT_ID": "1234567890123456", "FC_FUNCTION_HANDLER": "function", "FC_FUNCTION_MEMORY_SIZE": "256",
			"FC_FUNCTION_NAME": "f", "FC_FUNCTION_VERSION": "LATEST", "FC_FUNC_CODE_PATH": filepath.Dir(binary("function")),
			"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "TZ": "UTC",
			"FC_INSTANCE_ID": result.InstanceID, "FC_REGION": "cn-hangzhou", "FC_VER_ID": "LATEST", "OWN": "value",
			"ALIBABA_CLOUD_ACCESS_KEY_ID": "id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secret", "ALIBABA_CLOUD_SECURITY_TOKEN": "token",
		}
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("environment (-want +got):\n%s", diff)
		}
		c := got.Context
		if c.Credentials.AccessKeyID != "id" || c.Credentials.AccessKeySecret != "secret" || c.Credentials.SecurityToken != "token" {
			t.Errorf("credentials with the event: %+v", c.Credentials)
		}
		if c.RequestID != result.RequestID || c.Function.Name != "f" || c.Function.Timeout != 7 || c.Function.Memory != "256" || c.Region != "cn-hangzhou" {
			t.Errorf("context: %+v", c)
		}
		if want := h.clock.Now().Add(7 * time.Second).UnixMilli(); got.Deadline != want {
			t.Errorf("deadline %d, want %d", got.Deadline, want)
		}
		if got.Folder != filepath.Dir(binary("function")) {
			t.Errorf("working directory %q, want the binary's", got.Folder)
		}
	})

	t.Run("keeps web pages from the Runtime API", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}})
		var got struct{ Env []string }
		if err := json.Unmarshal(h.mustInvoke("f", `{"do":"describe"}`).Result, &got); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(got.Env, func(entry string) bool { return strings.HasPrefix(entry, "FC_RUNTIME_API=") })
		url := "http://" + strings.TrimPrefix(got.Env[i], "FC_RUNTIME_API=") + "/2020-11-11/runtime/invocation/1/response"
		if answer := post(t, url, "null", "Origin", "https://page.example"); answer.status != http.StatusForbidden {
			t.Errorf("got %d, want 403", answer.status)
		}
	})

	t.Run("hands a warm instance another key with its next event, and leaves its environment", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}, AccessKeyID: "id", AccessKeySecret: "secret", SecurityToken: "token"})
		base := serve(t, h.API())
		describe := func() (environment, event fcemu.Credentials, instance string) {
			var got struct {
				Env     []string
				Context struct{ Credentials fcemu.Credentials }
			}
			result := h.mustInvoke("f", `{"do":"describe"}`)
			if err := json.Unmarshal(result.Result, &got); err != nil {
				t.Fatalf("%v in %s", err, result.Result)
			}
			for _, entry := range got.Env {
				switch key, value, _ := strings.Cut(entry, "="); key {
				case "ALIBABA_CLOUD_ACCESS_KEY_ID":
					environment.AccessKeyID = value
				case "ALIBABA_CLOUD_ACCESS_KEY_SECRET":
					environment.AccessKeySecret = value
				case "ALIBABA_CLOUD_SECURITY_TOKEN":
					environment.SecurityToken = value
				}
			}
			return environment, got.Context.Credentials, result.InstanceID
		}
		_, _, first := describe()
		put := func(body string) int {
			return send(t, http.MethodPut, base+"/_local/credentials", strings.NewReader(body)).status
		}
		if status := put(`{"function":"f","accessKeyId":"id2","accessKeySecret":"secret2","securityToken":"token2"}`); status != http.StatusNoContent {
			t.Errorf("got %d", status)
		}
		environment, event, second := describe()
		if want := (fcemu.Credentials{AccessKeyID: "id2", AccessKeySecret: "secret2", SecurityToken: "token2"}); event != want || second != first {
			t.Errorf("with the event %+v, instances %s and %s", event, first, second)
		}
		if want := (fcemu.Credentials{AccessKeyID: "id", AccessKeySecret: "secret", SecurityToken: "token"}); environment != want {
			t.Errorf("in the environment %+v", environment)
		}
		for _, bad := range []string{`{"function":"g","accessKeyId":"i","accessKeySecret":"s"}`, `{"function":"f","accessKeyId":"i"}`, `{`} {
			if status := put(bad); status != http.StatusBadRequest {
				t.Errorf("%s: got %d", bad, status)
			}
		}
	})

	t.Run("passes on an error with its type and keeps the instance", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}})
		for _, c := range []struct{ do, kind, message string }{
			{"error", "ownError", "it did not work"}, {"panic", "errorString", "handler panics"},
		} {
			failed := h.failedInvoke("f", `{"do":"`+c.do+`"}`)
			if failed.Kind != fcemu.FunctionFailed || failed.Type != c.kind || failed.Message != c.message || failed.Status != http.StatusOK {
				t.Errorf("%s: got %+v", c.do, failed)
			}
		}
		if got := h.mustInvoke("f", `1`); got.ColdStart {
			t.Error("a recovered panic must not cost the instance")
		}
	})

	t.Run("reports a crash and gives the next event to a new instance", func(t *testing.T) {
		f := function("f")
		f.MaxInstances = 1
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		for do, exit := range map[string]string{"crash": "exit status 2", "exit": "exit status 7"} {
			failed := h.failedInvoke("f", `{"do":"`+do+`"}`)
			if failed.Kind != fcemu.Exited || !strings.Contains(failed.Message, exit) {
				t.Errorf("%s: got %+v, want %s", do, failed, exit)
			}
			if got := h.mustInvoke("f", `1`); !got.ColdStart {
				t.Errorf("after %s: want a new instance", do)
			}
		}
	})

	t.Run("kills a function that takes longer than its timeout", func(t *testing.T) {
		g := newGate(t)
		f := gated("f", g)
		f.Timeout = 30 * time.Second
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		done := h.invoke("f", `1`)
		v := g.next()
		h.clock.Advance(29 * time.Second)
		select {
		case got := <-done:
			t.Fatalf("ended a second early: %v", got.err)
		default:
		}
		h.clock.Advance(time.Second)
		got := wait(t, done, "the timeout")
		var failed *fcemu.Error
		if !errors.As(got.err, &failed) || failed.Kind != fcemu.TimedOut || failed.Message != "Function timed out after 30 seconds" {
			t.Errorf("got %v, want the timeout", got.err)
		}
		v.gone(t)
	})

	t.Run("reports an instance that is killed with its event", func(t *testing.T) {
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}})
		done := h.invoke("f", `1`)
		v := g.next()
		pid, err := h.KillInstance("f")
		if err != nil || pid != v.PID {
			t.Errorf("killed %d (%v), want %d", pid, err, v.PID)
		}
		var failed *fcemu.Error
		if got := wait(t, done, "the error"); !errors.As(got.err, &failed) || failed.Kind != fcemu.Exited {
			t.Errorf("got %v, want the exit", got.err)
		}
		next := h.invoke("f", `2`)
		g.next().say("return 3")
		if got := wait(t, next, "the result"); string(got.Result) != "3" || !got.ColdStart {
			t.Errorf("got %+v, want 3 from a new instance", got)
		}
	})

	t.Run("gives an event to a new instance when the warm one has died", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}})
		h.mustInvoke("f", `1`)
		if _, err := h.KillInstance("f"); err != nil {
			t.Fatal(err)
		}
		if got := h.mustInvoke("f", `2`); !got.ColdStart {
			t.Error("want a cold start")
		}
	})

	t.Run("refuses a call over the instance limit and runs others side by side", func(t *testing.T) {
		g := newGate(t)
		f := gated("f", g)
		f.MaxInstances = 2
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		one, two := h.invoke("f", `1`), h.invoke("f", `2`)
		first, second := g.next(), g.next()
		if first.PID == second.PID {
			t.Error("one instance got two events at once")
		}
		failed := h.failedInvoke("f", `3`)
		if failed.Kind != fcemu.Throttled || failed.Status != http.StatusTooManyRequests || failed.Code != "ResourceExhausted" {
			t.Errorf("got %+v, want 429 ResourceExhausted", failed)
		}
		first.say("return 1")
		second.say("return 2")
		wait(t, one, "the first")
		wait(t, two, "the second")
		same(t, "counters", h.Counters()["f"], fcemu.Counters{Invocations: 3, Throttled: 1, ColdStarts: 2})
	})

	t.Run("ends an instance that was idle for too long", func(t *testing.T) {
		listener := listen(t)
		f := function("f")
		f.Env = map[string]string{"LIFELINE": listener.Addr().String()}
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		done := h.invoke("f", `1`)
		ended := lifeline(t, listener)
		wait(t, done, "the result")
		h.clock.Advance(299 * time.Second)
		if got := len(h.Instances()); got != 1 {
			t.Fatalf("%d instances before the idle timeout, want 1", got)
		}
		h.clock.Advance(time.Second)
		ended()
	})

	t.Run("goes on with a function whose caller went away", func(t *testing.T) {
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			_, err := h.Invoke(ctx, "f", []byte(`1`))
			done <- err
		}()
		v := g.next()
		cancel()
		if err := wait(t, done, "the caller"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		v.say("return 1")
		if got := wait(t, h.invocations, "the invocation"); got.Err != nil || string(got.Result) != "1" {
			t.Errorf("got %+v, want success", got)
		}
	})

	t.Run("refuses an unknown function and an event over 32 MB", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}})
		if got := h.failedInvoke("g", `1`); got.Status != http.StatusNotFound || got.Code != "FunctionNotFound" {
			t.Errorf("unknown: got %+v", got)
		}
		_, err := h.Invoke(context.Background(), "f", make([]byte, 32<<20+1))
		var failed *fcemu.Error
		if !errors.As(err, &failed) || failed.Code != "EntityTooLarge" {
			t.Errorf("large: got %v", err)
		}
	})

	t.Run("keeps the lines of many instances whole", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}})
		const writers, lines = 3, 100
		var results []<-chan result
		for i := range writers {
			results = append(results, h.invoke("f", fmt.Sprintf(`{"do":"print","lines":%d,"text":"writer%d"}`, lines, i)))
		}
		for _, r := range results {
			wait(t, r, "the result")
		}
		h.stop()
		close(h.lines)
		seen := 0
		for line := range h.lines {
			if !strings.HasPrefix(line, "writer") {
				continue
			}
			seen++
			if fields := strings.Fields(line); len(fields) != 3 || fields[2] != strings.Repeat("x", 5000) {
				t.Fatalf("mixed line: %.80s…", line)
			}
		}
		if seen != writers*lines {
			t.Errorf("%d lines, want %d", seen, writers*lines)
		}
	})
}
