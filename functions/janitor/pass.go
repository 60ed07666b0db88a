package janitor

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// pass is where a task stands that goes through a list of jobs, once an hour, in as many runs as it takes. It is kept in the ledger.
type pass struct {
	// At is when the pass at work began, or the last one if none is.
	At time.Time `json:"at"`
	// Since is when the pass before it began; zero if there was none.
	Since time.Time `json:"since,omitzero"`
	// From is where to go on; empty between two passes.
	From string `json:"from,omitempty"`
}

const (
	// passEvery is the time between the beginnings of two passes.
	passEvery = time.Hour
	// maxPages bounds the pages of a pass in a run.
	maxPages = 50
)

// pass goes on with the pass of a task, or begins one: an hour after the one before began, or at once if that was before restart. page does one page
// and returns where the next one begins, empty at the end. A page that failed is done again by the next run.
func (r *run) pass(ctx context.Context, task string, restart time.Time, page func(context.Context, pass) (next string, err error)) error {
	text, err := r.Ledger.Mark(ctx, task)
	if err != nil {
		return err
	}
	var p pass
	if json.Unmarshal([]byte(text), &p) != nil {
		p = pass{} // there is none yet, or one that nobody can read: all begins again
	}
	if p.From == "" {
		if r.Now().Sub(p.At) < passEvery && !p.At.Before(restart) {
			return nil
		}
		p.Since, p.At = p.At, r.Now().UTC()
	}
	ended := false
	for n := 0; !ended && err == nil && !r.over(ctx); n++ {
		if n == maxPages {
			r.out.More = true
			break
		}
		var next string
		if next, err = page(ctx, p); err == nil {
			p.From, ended = next, next == ""
		}
	}
	if !ended && p.From == "" {
		return err // the next run begins it again
	}
	mark, _ := json.Marshal(p) // times in range and a text
	return errors.Join(err, r.Ledger.SetMark(context.WithoutCancel(ctx), task, string(mark)))
}
