package routine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/shared/routine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFinal(t *testing.T) {
	for state, want := range map[routine.State]bool{
		routine.Queued: false, routine.Succeeded: true, routine.DeadLettered: true, routine.Cancelled: true, routine.Dropped: true, routine.Superseded: true,
	} {
		same(t, string(state)+" is final", state.Final(), want)
	}
}

func TestJobJSON(t *testing.T) {
	job := routine.Job{
		ID: "1", State: routine.Queued, AcceptedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Request: routine.Request{Name: "pr-1", Records: []routine.Record{{SiteID: 5, RecordName: "pr-1.example.com"}}},
	}
	t.Run("leaves out what has not happened", func(t *testing.T) {
		want := `{"id":"1","state":"queued","ready":false,"request":{"name":"pr-1","siteId":5,"recordName":"pr-1.example.com"},` +
			`"acceptedAt":"2026-03-01T12:00:00Z"}`
		same(t, "JSON", string(marshal(t, job)), want)
	})
	t.Run("says how it ended", func(t *testing.T) {
		ended := job
		ended.State, ended.UpdatedAt, ended.StartedAt = routine.DeadLettered, job.AcceptedAt, job.AcceptedAt
		ended.Attempt, ended.HandedBack, ended.Redriven, ended.Caller = 2, 3, 1, "ci"
		ended.Kind, ended.Code, ended.Hint, ended.Reason = "account", "ServiceNotOpen", "activate it", "not retryable"
		want := `{"id":"1","state":"dead-lettered","ready":false,"request":{"name":"pr-1","siteId":5,"recordName":"pr-1.example.com"},` +
			`"caller":"ci","acceptedAt":"2026-03-01T12:00:00Z","updatedAt":"2026-03-01T12:00:00Z","startedAt":"2026-03-01T12:00:00Z",` +
			`"attempt":2,"handedBack":3,"redriven":1,"kind":"account","code":"ServiceNotOpen","hint":"activate it",` +
			`"reason":"not retryable"}`
		same(t, "JSON", string(marshal(t, ended)), want)
	})
}

func TestShownURL(t *testing.T) {
	for url, want := range map[string]string{
		"":                                        "",
		"https://hooks.example.com":               "https://hooks.example.com",
		"https://hooks.example.com:8443/a%2Fb/":   "https://hooks.example.com:8443/a%2Fb/",
		"https://h.example.com/a?token=hush":      "https://h.example.com/a?***",
		"https://h.example.com/a?":                "https://h.example.com/a?***",
		"https://h.example.com/a#hush":            "https://h.example.com/a?***",
		"https://hush:hush@h.example.com/a":       "https://h.example.com/a",
		"https://hush@h.example.com/a?hush#hush":  "https://h.example.com/a?***",
		"https://h.example.com/a?x=https://y/z#w": "https://h.example.com/a?***",
		"https:/hush:hush@h.example.com/a":        "***",
		"hush:hush@h.example.com":                 "***",
		`https://hush:hush\@h.example.com/a`:      "***",
		"https://h.example.com/%zz?hush":          "***",
	} {
		same(t, url, routine.Request{CallbackURL: url}.Shown().CallbackURL, want)
	}
}

func TestCorrect(t *testing.T) {
	text := "preview"
	was := routine.Request{Name: "pr-1", Description: &text, Records: []routine.Record{{SiteID: 7, RecordName: "pr-1.example.com"}}, CallbackURL: "https://h.example.com/?t=1"}
	t.Run("changes the given members alone, in either spelling, and null takes one away", func(t *testing.T) {
		want := was
		want.Records, want.Description = []routine.Record{{SiteID: 8, RecordName: "pr-2.example.com"}}, nil
		got, err := routine.Correct(was, []byte(`{"SiteId":"8","recordName":"PR-2.example.com.","description":null}`))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	})
	for name, test := range map[string]struct{ changes, pointer, code string }{
		"nothing":                           {`{}`, "", "missing"},
		"an array":                          {`[]`, "", "syntax"},
		"a member that there is not":        {`{"site":8}`, "/site", "unknown-field"},
		"a member twice, in two spellings":  {`{"siteId":8,"SiteId":9}`, "/SiteId", "duplicate"},
		"a value that is not possible":      {`{"SiteId":0}`, "/SiteId", "value"},
		"a required member that goes away":  {`{"name":null}`, "/name", "missing"},
		"an idempotency key, which is kept": {`{"idempotencyKey":"k"}`, "/idempotencyKey", "unknown-field"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			_, err := routine.Correct(was, []byte(test.changes))
			var invalid *routine.Invalid
			if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Pointer != test.pointer || invalid.Problems[0].Code != test.code {
				t.Errorf("got %v", err)
			}
			if below := routine.Below("request", err); !errors.As(below, &invalid) || invalid.Problems[0].Pointer != "/request"+test.pointer {
				t.Errorf("below: %v", below)
			}
		})
	}
	t.Run("needs the whole of a request where there was none", func(t *testing.T) {
		if _, err := routine.Correct(routine.Request{}, []byte(`{"siteId":8}`)); err == nil {
			t.Error("accepted")
		}
		got, err := routine.Correct(routine.Request{}, []byte(`{"name":"pr-1","siteId":8,"recordName":"a.example.com"}`))
		if err != nil || got.Records[0].SiteID != 8 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
