package provision

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// How often, and after which pauses, the worker asks a ledger that does not answer: a short hiccup must not cost a delivery.
const (
	patience   = 3
	firstPause = 200 * time.Millisecond
)

// patiently makes a call of the ledger, and again after a short wait if the ledger does not answer.
func (w *Worker) patiently(ctx context.Context, call func() error) error {
	return retry.Do(ctx, w.Sleep, func(err error, made int) (time.Duration, bool) {
		passing := fault.HasKind(err, fault.Unavailable) || fault.HasKind(err, fault.Throttled)
		return firstPause << (2 * (made - 1)), passing && made < patience
	}, call)
}

// begin marks in the row that the delivery is begun, with what was seen of ESA right before.
func (t *task) begin(_ context.Context, progress routine.Progress) error {
	mark := func(r *ledger.Row) { r.Look(progress, t.Now()) }
	if !t.begun {
		mark = func(r *ledger.Row) { r.Begin(t.d.Envelope.Number, progress, t.Now()) }
	}
	switch err := t.write(mine, mark); {
	case errors.Is(err, errPassed):
		t.passed = true
		return err
	case err != nil:
		t.lost = err
		return err
	}
	t.begun = true
	return nil
}

// settle writes what became of the delivery.
func (t *task) settle(whose owner, change func(*ledger.Row)) error {
	answered, stopped := t.row.AnsweredAt, t.row.AnsweredStopped
	return t.write(whose, func(r *ledger.Row) {
		if !answered.IsZero() {
			r.Answered(answered, stopped)
		}
		change(r)
	})
}

// owner says which of several workers with the same delivery may write.
type owner int

const (
	// mine: only the one that began last, so that the marks of its calls stay until their outcome is known.
	mine owner = iota
	// anybodys: also one that another has overtaken.
	anybodys
)

// errPassed says that a delivery is no longer to be worked on, and errWritten that the row is as it was to be written.
var (
	errPassed  = errors.New("the job has ended, or is with another worker")
	errWritten = errors.New("written before")
)

// write changes the row. If somebody else has written it since it was read, that is done only while the delivery is to be worked on, by
// its owner. A write whose answer was lost is known by its mark when it is made again.
func (t *task) write(whose owner, change func(*ledger.Row)) error {
	ctx := t.reserve // that its time is over is no reason not to record what is done
	was, mark := t.row, rand.Text()
	marked := func(r *ledger.Row) {
		change(r)
		r.Write = mark
	}
	return t.patiently(ctx, func() error {
		row, err := t.Ledger.Update(ctx, was, marked)
		if fault.HasCode(err, ledger.CodeChanged) {
			row, err = t.Ledger.Change(ctx, was.ID, func(r *ledger.Row) error {
				overtaken := !r.Begun.Equal(was.Begun) || r.Begins != was.Begins
				switch {
				case r.Write == mark:
					return errWritten
				case r.Standing(t.d.Envelope.Round, t.d.Envelope.Number) != ledger.Ours, overtaken && whose == mine:
					return errPassed
				}
				marked(r)
				return nil
			})
		}
		if err == nil || errors.Is(err, errPassed) || errors.Is(err, errWritten) {
			t.row = row
		}
		if errors.Is(err, errWritten) {
			return nil
		}
		return err
	})
}
