package routine_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/routine"
)

func TestCorrect(t *testing.T) {
	text := "preview"
	was := routine.Request{Name: "pr-1", Description: &text, SiteID: 7, RecordName: "pr-1.example.com", CallbackURL: "https://h.example.com/?t=1"}
	t.Run("changes the given members alone, in either spelling, and null takes one away", func(t *testing.T) {
		want := was
		want.SiteID, want.RecordName, want.Description = 8, "pr-2.example.com", nil
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
		if err != nil || got.SiteID != 8 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
