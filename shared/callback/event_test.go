package callback_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

func TestNewEvent(t *testing.T) {
	t.Run("says what happened, when, and to which job", func(t *testing.T) {
		text, err := json.Marshal(newEvent(t, job()))
		must(t, err)
		want := `{"type":"routinely.job.succeeded","timestamp":"2026-03-01T11:59:59Z","data":{"id":"01a1ff34-5180-7e86-8ecb-eb5dec3b375b",` +
			`"state":"succeeded","ready":true,"request":{"name":"hello","siteId":54362329990032,"recordName":"hello.example.com"},` +
			`"acceptedAt":"2026-03-01T11:59:00Z","updatedAt":"2026-03-01T11:59:59Z","attempt":1,` +
			`"result":{"routine":"created","record":"created","recordId":3227405728754049}}}`
		same(t, "JSON", string(text), want)
	})
	t.Run("has the type of the end, the same id for the same end of the same job, and another id for any other", func(t *testing.T) {
		ids := map[string]string{}
		for _, id := range []string{"1", "2", "1\x000"} {
			for redriven := range 2 {
				for _, state := range []routine.State{routine.DeadLettered, routine.Succeeded, routine.Cancelled} {
					one := job()
					one.ID, one.Redriven, one.State = id, redriven, state
					later := one
					later.UpdatedAt = one.UpdatedAt.Add(time.Hour)
					first := newEvent(t, one).ID()
					same(t, "type", newEvent(t, one).Type, "routinely.job."+string(state))
					if newEvent(t, later).ID() != first || ids[first] != "" || strings.Trim(first, "msg_0123456789abcdef") != "" {
						t.Errorf("%q %d %s: %s is also that of %s", id, redriven, state, first, ids[first])
					}
					ids[first] = fmt.Sprintf("%q %d %s", id, redriven, state)
				}
			}
		}
	})
	t.Run("is refused for a job that has not ended, or without an id or a time", func(t *testing.T) {
		queued, nameless, timeless, boundless := job(), job(), job(), job()
		queued.State, nameless.ID, timeless.UpdatedAt = routine.Queued, "", time.Time{}
		boundless.Request.Name = strings.Repeat("x", callback.MaxEventBytes)
		impossible := job()
		impossible.UpdatedAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
		for _, one := range []routine.Job{queued, nameless, timeless, boundless, impossible, {}} {
			_, err := callback.NewEvent(one)
			failed(t, err, fault.Invalid, callback.CodeEvent)
		}
	})
}

func TestLongEvent(t *testing.T) {
	// manyAttempts is a job with so many attempts, each with texts of so many bytes.
	manyAttempts := func(n int, text string) routine.Job {
		out := job()
		out.State, out.Ready, out.Result, out.Hint = routine.DeadLettered, false, nil, text
		for i := range n {
			out.Attempts = append(out.Attempts, routine.Attempt{Number: i + 1, At: now, Kind: "internal", Message: text, Hint: text})
		}
		return out
	}
	t.Run("keeps the latest attempts, as many as there is room for, and says so", func(t *testing.T) {
		got := newEvent(t, manyAttempts(300, strings.Repeat("x", 399)))
		kept := len(got.Data.Attempts)
		if kept < 15 || got.Data.Attempts[0].Number != 301-kept || got.Data.Attempts[kept-1].Number != 300 {
			t.Errorf("got %d attempts: %+v", kept, got.Data.Attempts)
		}
		if want := fmt.Sprintf("the first %d of 300 attempts are left out", 300-kept); !strings.Contains(got.Note, want) {
			t.Errorf("got the note %q, want %q", got.Note, want)
		}
		if text, _ := json.Marshal(got); len(text) > callback.MaxEventBytes || len(text) < callback.MaxEventBytes-1000 {
			t.Errorf("got %d bytes", len(text))
		}
	})
	t.Run("cuts texts between characters and keeps all attempts if that is enough", func(t *testing.T) {
		got := newEvent(t, manyAttempts(5, "x"+strings.Repeat("ü", 5000)))
		if want := "x" + strings.Repeat("ü", 198) + "…"; got.Data.Hint != want || got.Data.Attempts[4].Message != want || len(got.Data.Attempts) != 5 {
			t.Errorf("got %+v", got)
		}
		if got.Note != "texts of more than 400 bytes are cut" {
			t.Errorf("got the note %q", got.Note)
		}
	})
	t.Run("fits whatever the texts hold", func(t *testing.T) {
		for _, text := range []string{strings.Repeat("\x00", 1_000), strings.Repeat("\xff", 1_000), strings.Repeat("<", 1_000), strings.Repeat("\xffx", 1_000)} {
			given := manyAttempts(20, text)
			given.Caller, given.Kind, given.Code, given.Reason, given.Request.Description = text, text, text, text, &text
			given.ID, given.Request.Name, given.Request.RecordName = strings.Repeat("\x00", 128), strings.Repeat("n", 63), strings.Repeat("r", 253)
			newEvent(t, given)
		}
	})
	t.Run("leaves a job alone that is short, and never changes the job it is made of", func(t *testing.T) {
		short := manyAttempts(10, strings.Repeat("x", 800))
		if got := newEvent(t, short); got.Note != "" || !cmp.Equal(short, got.Data) {
			t.Errorf("got %+v", got)
		}
		description := strings.Repeat("d", 30_000)
		given, before := manyAttempts(40, strings.Repeat("x", 800)), manyAttempts(40, strings.Repeat("x", 800))
		given.Request.Description = &description
		if got := newEvent(t, given); *got.Data.Request.Description == description {
			t.Error("the description is not cut")
		}
		same(t, "attempts", given.Attempts, before.Attempts)
		same(t, "length of the description", len(description), 30_000)
	})
}
