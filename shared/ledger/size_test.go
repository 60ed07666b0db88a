package ledger_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// largest is a job with everything that a row can hold, as long as it can be: a dead letter made of a message as long as MNS takes, whose
// request is as long as a message of ours can hold, redriven and corrected until nothing grows any more.
func largest(t testing.TB) ledger.Row {
	t.Helper()
	description := ""
	e := queue.Envelope{JobID: newRow(0).ID, Caller: strings.Repeat("c", 255), AcceptedAt: noon, Number: 1, Request: newRow(0).Request}
	e.Request.Description, e.Request.CallbackURL = &description, "https://ci.example/"+strings.Repeat("x", routine.MaxCallbackURL-19)
	progress := routine.Progress{Routine: routine.Created, RecordUnknown: true}
	for n := range routine.MaxRecords {
		record := routine.Record{SiteID: math.MaxInt64, RecordName: strings.Repeat("r", 251) + strconv.Itoa(10+n)}
		e.Request.Records = append(e.Request.Records[:n:n], record)
		progress.Records = append(progress.Records, routine.RecordResult{
			RecordName: record.RecordName, SiteID: record.SiteID, RecordID: math.MaxInt64, Outcome: routine.Created, SupersededBy: strings.Repeat("j", 255),
		})
	}
	empty, err := sim.Keys(t, strings.Repeat("k", 32)).Seal(e)
	must(t, err)
	description = strings.Repeat("\u2028", (queue.MaxEnvelopeBytes-len(empty))/6)
	_, err = sim.Keys(t, sim.Key).Seal(e)
	must(t, err)
	body := strings.Repeat("\"\n", queue.MaxMessageBytes/2) // each is two bytes as JSON
	received := queue.Delivery{MessageID: strings.Repeat("m", 64), Body: []byte(body)}.Received()
	text := strings.Repeat("\"\x00", 1000)
	failure := routine.Attempt{At: noon, Kind: text, Code: text, RequestID: text, Step: routine.Step(text), Message: text, Hint: text}
	job := routine.Job{ID: e.JobID, Caller: e.Caller, Key: strings.Repeat("k", 255), AcceptedAt: noon, Request: e.Request}
	row := ledger.Unreadable(job, failure, text, ledger.Trigger, nil, received)
	for round := range 25 {
		corrected := row.Request
		corrected.Name = fmt.Sprintf("%063d", round)
		must(t, row.Redrive(text, text, &corrected, after(round), after(round), noon))
		for n := range 500 {
			row.CountUndelivered(fmt.Sprint(n, strings.Repeat("m", 300)))
		}
		row.Die(failure, text, ledger.Worker, progress, noon)
	}
	for range routine.MaxOvertook {
		row.Overtook = append(row.Overtook, strings.Repeat("j", 255))
	}
	return row
}

func TestLargestRows(t *testing.T) {
	const wholeRows = 16
	rows := newRows(wholeRows)
	for n, long := 0, largest(t); n < wholeRows; n++ {
		long.ID = rows[n].ID
		rows[n] = long
	}
	b := newBook(t, rows...)
	t.Run("are smaller than row.go says", func(t *testing.T) {
		for _, row := range b.rows(t, "jobs")[:20] {
			size := 0
			for _, column := range row.Columns {
				text, _ := column.Value.(string)
				size += len(text)
			}
			check(t, size, size <= 240<<10)
		}
	})
	t.Run("are changed so many at a time, in one read", func(t *testing.T) {
		b.calls()
		for _, done := range b.ChangeAll(t.Context(), idsOf(rows), redriven(3600)) {
			must(t, done.Err)
		}
		same(t, slices.DeleteFunc(b.calls(), func(action string) bool { return action != "BatchGetRow" }), []string{"BatchGetRow"})
	})
}

func TestUnreadable(t *testing.T) {
	garbage := func(body string, request routine.Request) ledger.Row {
		return ledger.Unreadable(routine.Job{ID: "x", AcceptedAt: noon, Request: request}, failureAt(0, "X"), "", ledger.Worker, nil,
			&routine.Received{Encoding: routine.TextEncoding, Body: body})
	}
	t.Run("keeps every message that MNS takes whole", func(t *testing.T) {
		body := strings.Repeat("x", 4*queue.MaxMessageBytes/3)
		same(t, garbage(body, routine.Request{}).Received.Body, body)
	})
	t.Run("cuts what no queue can hold", func(t *testing.T) {
		r := garbage(strings.Repeat("漢", 1<<20), routine.Request{})
		check(t, len(r.Received.Body), len(r.Received.Body) <= 90_112 && !strings.Contains(r.Received.Body, "\uFFFD"))
	})
	t.Run("keeps a request that no message could hold without its description", func(t *testing.T) {
		huge := strings.Repeat("x", 1<<20)
		same(t, garbage("x", routine.Request{Name: "pr-1", Description: &huge}).Request, routine.Request{Name: "pr-1"})
	})
	t.Run("lists names of any length by their beginning, and keeps index rows small", func(t *testing.T) {
		b := newBook(t, garbage("x", routine.Request{Name: strings.Repeat("n", 30_000), Records: []routine.Record{{RecordName: "pr.example.com"}}}))
		same(t, dead(t, b.Ledger, ledger.DeadFilter{RecordName: "pr.example.com"}, 10), []string{"x"})
		for _, row := range b.rows(t, "jobs") {
			text, err := json.Marshal(row.Columns)
			must(t, err)
			check(t, len(text), isJob(row) || len(text) <= 2000)
		}
	})
}
