package accept

import (
	"encoding/json"
	"strings"
	"testing"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/callback"
	"routinely/shared/routine"
)

// hook is a callback URL whose query is a secret.
const hook = "https://hooks.example.com/routinely?token=hush&tenant=7"

func withCallback(url string) string {
	return `{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","callbackUrl":"` + url + `"}`
}

func TestCallbackURL(t *testing.T) {
	t.Run("travels with the job, and of its query nothing is shown", func(t *testing.T) {
		f := startRecorded(t)
		made := read[routine.Job](t, f.call(t, event("POST", "/v1/routines", withCallback(hook), "Idempotency-Key", "k")), 202)
		seen := read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+made.ID, "")), 200)
		for _, job := range []routine.Job{made, seen} {
			if job.Request.CallbackURL != "https://hooks.example.com/routinely?***" {
				t.Errorf("shown as %q", job.Request.CallbackURL)
			}
		}
		got := f.queued(t)
		if len(got) != 1 || got[0].Request.CallbackURL != hook {
			t.Errorf("queued %+v", got)
		}
		if strings.Contains(f.log.String(), "hush") {
			t.Errorf("logged: %s", f.log)
		}
	})
	t.Run("is sent whole with a job that has to be sent once more", func(t *testing.T) {
		f := startRecorded(t)
		for range 2 {
			f.call(t, event("POST", "/v1/routines", withCallback(hook), "Idempotency-Key", "k"))
		}
		for _, e := range f.queued(t) {
			if e.Request.CallbackURL != hook {
				t.Errorf("queued %q", e.Request.CallbackURL)
			}
		}
	})
	t.Run("belongs to what an idempotency key stands for", func(t *testing.T) {
		f := startRecorded(t)
		f.call(t, event("POST", "/v1/routines", withCallback(hook), "Idempotency-Key", "k"))
		res := f.call(t, event("POST", "/v1/routines", withCallback(hook+"7"), "Idempotency-Key", "k"))
		if p := read[api.Problem](t, res, 422); p.Code != "idempotency-key-reused" {
			t.Errorf("got %+v", p)
		}
	})
	for url, want := range map[string]string{
		"http://hooks.example.com/":               "scheme",
		"https://127.0.0.1:8443/":                 "loopback",
		"https://[::1]:8443/":                     "loopback",
		"https://100.100.100.200/latest":          "metadata",
		"https://192.168.0.1/":                    "private",
		"https://0x7f.1/":                         "IPv4",
		"https://localhost/":                      "outside",
		"https://user:hush@hooks.example.com/":    "user",
		"https://hooks.example.com:25/":           "port",
		"https://hooks.example.com/#hush":         "fragment",
		"ftp://hooks.example.com/":                "scheme",
		"/hook":                                   "scheme",
		"":                                        "empty",
		"https://hooks.example.com/a b":           "spaces",
		"https://h.example.com/" + long():         "bytes",
		"https://xn--.example.com/?token=hush":    "host name",
		"https://hooks.example.com:x/?token=hush": "cannot be read",
	} {
		t.Run("is refused with the reason and without what may be secret: "+want+" in "+cut(url), func(t *testing.T) {
			f := start(t)
			p := read[api.Problem](t, f.call(t, event("POST", "/v1/routines", withCallback(url))), 422)
			if p.Code != "invalid-request" || len(p.Errors) != 1 || p.Errors[0].Pointer != "/callbackUrl" || !strings.Contains(p.Errors[0].Detail, want) {
				t.Errorf("got %+v", p)
			}
			if text, _ := json.Marshal(p); strings.Contains(string(text), "hush") {
				t.Errorf("shown: %s", text)
			}
			if got := f.queued(t); len(got) != 0 {
				t.Errorf("queued %+v", got)
			}
		})
	}
	t.Run("shows no secret in a dead letter of the job, the message received included", func(t *testing.T) {
		f := start(t)
		f.call(t, event("POST", "/v1/routines", withCallback(hook)))
		e := f.queued(t)[0]
		body, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		letter := queue.DeadLetter{
			JobID: e.JobID, Kind: "operator", Code: "ServiceNotOpen", Message: "m", Hint: "h", Reason: "r", AcceptedAt: e.AcceptedAt, Attempt: 1,
			Request: &e.Request, DeadAt: now, Received: queue.ReceivedBody("M1", body),
		}
		if err := f.jobs.SendDead(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
		list := f.letters(t, nil)
		if got := list.DeadLetters[0].Request.CallbackURL; got != routine.ShownURL(hook) {
			t.Errorf("listed with %q", got)
		}
		f.again(t)
		one := f.call(t, event("GET", "/v1/dead-letters/"+list.DeadLetters[0].ID, ""))
		got := read[api.DeadLetter](t, one, 200)
		if got.Request.CallbackURL != routine.ShownURL(hook) || !strings.Contains(got.Received.Body, "hooks.example.com/routinely?***") || strings.Contains(one.Body, "hush") {
			t.Errorf("got %s", one.Body)
		}
	})
	t.Run("is refused for one item of a batch alone", func(t *testing.T) {
		f := start(t)
		got := read[api.BatchResult](t, f.call(t, event("POST", "/v1/routines:batch", "["+withCallback(hook)+","+withCallback("https://10.0.0.1/")+"]")), 202)
		if got.Accepted != 1 || got.Rejected != 1 || got.Items[1].Problem.Errors[0].Pointer != "/callbackUrl" {
			t.Errorf("got %+v", got)
		}
	})
}

func long() string { return strings.Repeat("x", routine.MaxCallbackURL) }

func cut(text string) string { return text[:min(len(text), 60)] }

func TestDeadCallback(t *testing.T) {
	f := startRecorded(t)
	job := f.post(t, withCallback(hook))
	f.queued(t)
	event0, err := callback.NewEvent(routine.Job{ID: job.ID, State: routine.Succeeded, Request: job.Request, AcceptedAt: now, UpdatedAt: now, Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(event0)
	if err != nil {
		t.Fatal(err)
	}
	told := queue.Callback{ID: event0.ID(), JobID: job.ID, URL: hook, Event: text, CreatedAt: now, Attempt: 10}
	if err := f.jobs.SendDead(t.Context(), queue.DeadLetter{
		JobID: job.ID, Kind: "invalid", Code: callback.CodeRefused, Message: "the receiver answered 404", Step: callback.Step, Hint: "ask the receiver",
		Reason: "not retryable", Attempt: 10, Callback: &told, DeadAt: f.clock.Now(), Received: queue.ReceivedBody("", nil),
	}); err != nil {
		t.Fatal(err)
	}
	t.Run("is listed and shown as what it is, without the query", func(t *testing.T) {
		list := f.letters(t, map[string]string{"step": callback.Step})
		if len(list.DeadLetters) != 1 || list.DeadLetters[0].Callback == nil || list.DeadLetters[0].Callback.URL != routine.ShownURL(hook) {
			t.Fatalf("got %+v", list)
		}
		f.again(t)
		one := f.call(t, event("GET", "/v1/dead-letters/"+list.DeadLetters[0].ID, ""))
		if got := read[api.DeadLetter](t, one, 200); string(got.Callback.Event) != string(text) || got.Received != nil || strings.Contains(one.Body, "hush") {
			t.Errorf("got %s", one.Body)
		}
		f.again(t)
	})
	t.Run("goes back to the callbacks, and its job nowhere", func(t *testing.T) {
		done := read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters:redrive", `{"step":"Callback"}`)), 200)
		if done.Count != 1 {
			t.Errorf("got %+v", done)
		}
		if got := f.queued(t); len(got) != 0 {
			t.Errorf("queued %+v", got)
		}
		messages, err := f.queue.Receive(t.Context(), "jobs-callbacks", 16, 0)
		if err != nil || len(messages) != 1 {
			t.Fatalf("%d messages, %v", len(messages), err)
		}
		got := queue.DecodeCallbacks([]byte(messages[0].Body))[0]
		if got.Err != nil || got.Callback.Attempt != 1 || got.Callback.Redriven != 1 || got.Callback.URL != hook || got.Callback.ID != told.ID {
			t.Errorf("got %+v", got)
		}
	})
}
