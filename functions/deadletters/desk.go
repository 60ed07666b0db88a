// Package deadletters works off the dead-letter queue: what accept's dead-letter endpoints do, without HTTP. It lists dead
// letters, shows one, puts them back on the job queue and deletes them.
//
// MNS gives no access to a message but by receiving it, so every call here is a sweep: it takes all that is visible, keeps
// the leases meanwhile and gives back at its end what is to stay. Two calls at a time share the messages between them; what
// the one holds the other does not see. A call that is killed loses nothing, since the leases end by themselves. Nothing is
// kept between two calls.
package deadletters

import (
	"context"
	"time"

	"routinely/queue"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

const (
	// budget is how long a call works at most; a caller's context that ends earlier shortens it.
	budget = 20 * time.Second
	// reserve is what is kept of it for coming to an end.
	reserve = time.Second
)

// Config is what a Desk needs. All fields but Record are required.
type Config struct {
	Queue *queue.Client
	// Record appends an entry to the ledger; it deals with its failures itself. Nil means that there is no ledger.
	Record func(context.Context, routine.Job, ledger.Entry)
	Now    func() time.Time
	// Sleep paces redrives; it returns early when the context ends.
	Sleep func(context.Context, time.Duration)
	// LastLook is how long the last receive of a sweep waits for a message, in whole seconds. 0 is for tests: MNS may then
	// hide messages for which it would have had to look in more than one place.
	LastLook time.Duration
}

// Desk works off dead letters. It is safe for concurrent use.
type Desk struct {
	cfg Config
}

// New returns a desk. It makes no call.
func New(cfg Config) *Desk { return &Desk{cfg: cfg} }

// pass is the sweep of one call, within its time.
type pass struct {
	*queue.Sweep
	cfg Config
	// caller is the call's context, ctx the same but ended when the time is over.
	caller, ctx context.Context
	cancel      context.CancelFunc
	// end is when the time is over, began when it began.
	began, end time.Time
	// leaves means that what is held need not be given back when the time is over.
	leaves bool
	over   bool
	takes  int
	taking time.Duration
}

func (d *Desk) begin(ctx context.Context) *pass {
	left := budget
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline))
	}
	now := d.cfg.Now()
	p := &pass{Sweep: d.cfg.Queue.SweepDead(d.cfg.LastLook), cfg: d.cfg, caller: ctx, began: now, end: now.Add(left)}
	p.ctx, p.cancel = context.WithTimeout(ctx, left)
	return p
}

// next takes up to limit messages and reads them. There are none at the end of the queue (see Complete), and when the time is
// over.
func (p *pass) next(limit int) ([]queue.Letter, error) {
	if p.timeOver(0) {
		return nil, nil
	}
	before := p.cfg.Now()
	messages, err := p.Next(p.ctx, limit)
	p.taking += p.cfg.Now().Sub(before)
	p.takes++
	if err != nil && p.ctx.Err() != nil {
		p.over = true
		return nil, nil
	}
	letters := make([]queue.Letter, 0, len(messages))
	for _, m := range messages {
		letters = append(letters, queue.ReadLetter(m))
	}
	return letters, err
}

// timeOver reports whether too little time is left after a wait to take more and to give back what is held. A give-back is a
// call for each message; it takes as long as a receive did.
func (p *pass) timeOver(wait time.Duration) bool {
	need := reserve + wait
	if !p.leaves && p.takes > 0 {
		rounds := p.Held()/queue.ParallelGiveBacks + 1
		need += time.Duration(rounds) * (p.taking / time.Duration(p.takes))
	}
	p.over = p.over || p.ctx.Err() != nil || p.end.Sub(p.cfg.Now()) < need
	return p.over
}

// close gives back what is still held, even if the caller is gone.
func (p *pass) close() {
	p.cancel()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.caller), max(p.end.Sub(p.cfg.Now()), reserve))
	defer cancel()
	p.GiveBack(ctx)
}
