package record_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/otsemu"
	"routinely/deploy/sim"
	"routinely/functions/record"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// book is a record in a ledger, with what it logs and a clock that only the test moves.
type book struct {
	*record.Record
	ots   *otsemu.Server
	clock *clock.Manual
	log   bytes.Buffer
}

func open(t *testing.T) *book {
	t.Helper()
	b := &book{clock: clock.NewManual(time.Date(2026, 1, 15, 6, 28, 17, 0, time.UTC))}
	server, l := sim.NewLedger(t)
	b.ots = server
	b.Record = record.New(l, b.clock.Now)
	return b
}

func (b *book) context(t *testing.T) context.Context {
	t.Helper()
	log, err := logging.New(&b.log, "info", "test")
	if err != nil {
		t.Fatal(err)
	}
	return logging.Into(t.Context(), log)
}

// lines are how many log lines hold the text.
func (b *book) lines(text string) int { return strings.Count(b.log.String(), text) }

// breakdown makes every call of Tablestore fail until heal.
func (b *book) breakdown(t *testing.T) (heal func()) {
	t.Helper()
	rule := faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerUnavailable"}}
	if _, err := b.ots.Faults().Add(rule); err != nil {
		t.Fatal(err)
	}
	return b.ots.Faults().Clear
}

func job(n int) routine.Job {
	return routine.Job{
		ID: fmt.Sprintf("job-%d", n), Caller: "ci", AcceptedAt: time.Date(2026, 1, 15, 6, 0, n, 0, time.UTC),
		Request: routine.Request{Name: "pr-1", SiteID: 7, RecordName: "pr-1.example.com"},
	}
}

// unfit is a job that no ledger takes.
func unfit() routine.Job {
	bad := job(1)
	bad.ID = strings.Repeat("x", 300)
	return bad
}

var (
	begun = ledger.Entry{Kind: ledger.Started, Attempt: 1}
	done  = ledger.Entry{Kind: ledger.Succeeded, Attempt: 1, Result: &routine.Result{Routine: routine.Created, Record: routine.Created}}
)

func TestRecordWithoutLedger(t *testing.T) {
	r := record.New(nil, time.Now)
	if _, ok := r.Append(t.Context(), job(1), begun); ok || r.Ledger() != nil {
		t.Error("something was recorded")
	}
	if claims := r.Claim(t.Context(), job(1), job(2)); len(claims) != 2 || claims[0].Existing != nil || claims[0].Err != nil {
		t.Errorf("claims %+v", claims)
	}
}

func TestRecordInOutage(t *testing.T) {
	t.Run("is said once, and so is its end; what was missed is written then", func(t *testing.T) {
		b := open(t)
		ctx := b.context(t)
		heal := b.breakdown(t)
		for n := range 3 {
			if claims := b.Claim(ctx, job(n)); claims[0].Existing != nil {
				t.Errorf("claims %+v", claims)
			}
			if _, ok := b.Append(ctx, job(n), begun); ok {
				t.Error("an answer of a ledger that is down")
			}
			b.Append(ctx, job(n), done)
			b.clock.Advance(6 * time.Second) // every other job finds the ledger rested
		}
		if b.lines("the ledger fails") != 1 || b.lines(`"hint":`) != 1 || b.lines("\n") != 1 {
			t.Errorf("log: %s", &b.log)
		}
		heal()
		b.clock.Advance(time.Minute)
		if _, ok := b.Append(ctx, job(9), begun); !ok {
			t.Error("no answer of a ledger that is back")
		}
		for n := range 3 {
			got, err := b.Ledger().Job(ctx, job(n).ID)
			if err != nil || got.State != routine.Succeeded || !got.Gap {
				t.Errorf("job %d: %+v, %v", n, got, err)
			}
		}
		if b.lines("the ledger is back") != 1 || b.lines(`"entriesLost":0`) != 1 || b.lines("\n") != 2 {
			t.Errorf("log: %s", &b.log)
		}
	})
	t.Run("leaves the ledger alone for a while", func(t *testing.T) {
		b := open(t)
		ctx := b.context(t)
		b.breakdown(t)
		calls := func() int { return len(b.ots.Faults().Calls()) }
		b.Append(ctx, job(1), begun)
		first := calls()
		for n := range 50 {
			b.Append(ctx, job(n), done)
			b.Claim(ctx, job(n))
		}
		if first == 0 || calls() != first {
			t.Errorf("%d calls, then %d", first, calls())
		}
	})
	t.Run("keeps so many entries and counts the others", func(t *testing.T) {
		b := open(t)
		ctx := b.context(t)
		heal := b.breakdown(t)
		b.Append(ctx, job(1), done)
		bad := unfit() // which tells how many were kept without a thousand writes
		for range 1002 {
			b.Append(ctx, bad, done)
		}
		heal()
		for range 51 {
			b.clock.Advance(time.Minute)
			b.Append(ctx, job(2), begun)
		}
		if b.lines(`"entriesLost":3`) != 1 || b.lines("the ledger refused an entry") != 999 {
			t.Errorf("log: %s", &b.log)
		}
	})
}

func TestRecordOfARefusedEntry(t *testing.T) {
	b := open(t)
	ctx := b.context(t)
	if _, ok := b.Append(ctx, unfit(), begun); ok {
		t.Error("recorded")
	}
	if _, ok := b.Append(ctx, job(1), begun); !ok {
		t.Error("one bad entry stopped the others")
	}
	if b.lines("the ledger refused an entry") != 1 || b.lines("\n") != 1 {
		t.Errorf("log: %s", &b.log)
	}
}

func TestFlush(t *testing.T) {
	t.Run("writes what was missed, without waiting for the next job", func(t *testing.T) {
		b := open(t)
		ctx := b.context(t)
		heal := b.breakdown(t)
		const missed = 21 // more than are written at a time
		for n := range missed {
			b.Append(ctx, job(n), done)
		}
		heal()
		b.Flush(ctx)
		for n := range missed {
			if got, err := b.Ledger().Job(ctx, job(n).ID); err != nil || got.State != routine.Succeeded {
				t.Errorf("job %d: %+v, %v", n, got, err)
			}
		}
	})
	t.Run("comes to an end while the ledger is still down, and keeps what it has", func(t *testing.T) {
		b := open(t)
		ctx := b.context(t)
		heal := b.breakdown(t)
		b.Append(ctx, job(1), done)
		b.Flush(ctx)
		heal()
		b.Flush(ctx)
		if got, err := b.Ledger().Job(ctx, job(1).ID); err != nil || got.State != routine.Succeeded {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
