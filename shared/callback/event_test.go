package callback_test

import (
	"encoding/json"
	"fmt"
	"math"
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

// largest is a job with as much in it as its row in the ledger can hold.
func largest(state routine.State) routine.Job {
	text, word := strings.Repeat(`"`, 400), strings.Repeat(`"`, 255)
	out := job()
	out.State, out.Ready, out.Caller, out.Kind, out.Code, out.Hint, out.Reason, out.By = state, false, word, "not-found", word, text, text, word
	out.Request = routine.Request{Name: strings.Repeat("n", routine.MaxName), Description: &text, CallbackURL: "https://example.com/" + strings.Repeat("&", 2_000)}
	out.Request.Labels = map[string]string{}
	for i := range routine.MaxLabels {
		out.Request.Labels[fmt.Sprintf("%040d", i)] = strings.Repeat(`"`, routine.MaxLabelValue)
	}
	out.Result = &routine.Result{Note: strings.Repeat("x", 900)}
	for i := range routine.MaxRecords {
		name := fmt.Sprintf("%0253d", i)
		out.Request.Records = append(out.Request.Records, routine.Record{SiteID: math.MaxInt64, RecordName: name})
		out.Result.Records = append(out.Result.Records, routine.RecordResult{
			SiteID: math.MaxInt64, RecordName: name, RecordID: math.MaxInt64, Outcome: routine.Passed, NeedsCNAME: true, SupersededBy: out.ID,
		})
		out.Left = append(out.Left, routine.Left{Routine: out.Request.Name, SiteID: math.MaxInt64, RecordName: name, Outcome: routine.Adopted})
		out.Overtook = append(out.Overtook, out.ID)
		out.Attempts = append(out.Attempts, routine.Attempt{Number: i + 1, At: now, Kind: "internal", Code: word, RequestID: word, Message: text, Hint: text})
	}
	for i := range 5 {
		was := out.Request
		out.Redrives = append(out.Redrives, routine.Redrive{Number: i + 1, At: now, By: word, Reason: text, Was: &was})
	}
	if state == routine.Succeeded {
		out.Kind, out.Code, out.Hint, out.Reason, out.By = "", "", "", "", ""
	} else {
		out.Result = nil
	}
	return out
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
			given.ID, given.Request.Name = strings.Repeat("\x00", 128), strings.Repeat("n", 63)
			given.Request.Records = []routine.Record{{SiteID: 1, RecordName: strings.Repeat("r", 253)}}
			newEvent(t, given)
		}
	})
	t.Run("has all host names of the request, whatever a job can hold besides", func(t *testing.T) {
		for _, state := range []routine.State{routine.Succeeded, routine.DeadLettered, routine.Superseded} {
			given := largest(state)
			got := newEvent(t, given)
			if !strings.Contains(got.Note, "of lists only the latest items are there") || !cmp.Equal(got.Data.Request.RecordNames(), given.Request.RecordNames()) {
				t.Errorf("%s: the note is %q, the request %+v", state, got.Note, got.Data.Request)
			}
			if result := got.Data.Result; result != nil && result.More+len(result.Records) != routine.MaxRecords {
				t.Errorf("%s: %d and %d more host names", state, len(result.Records), result.More)
			}
			if !cmp.Equal(given, largest(state)) {
				t.Errorf("%s: the job itself was changed", state)
			}
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
