package deadletters

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/logging"
)

// maxPending bounds how many bytes of letters in parts are kept until the last part comes. Further ones stay on the queue.
const maxPending = 16 << 20

// work is one redrive or deletion.
type work struct {
	*pass
	filter filter
	order  order
	act    act
	// all letters met so far, by id.
	letters map[string]*letter
	pending int

	mu  sync.Mutex
	out api.WorkedOff
	// worked is how many letters were tried.
	worked int
	// refused is why a whole batch failed: the next would too.
	refused error
}

// order is what a caller wants.
type order struct {
	rate, limit int
	dryRun      bool
	by, reason  string
}

// act is what a redrive and a deletion do differently.
type act struct {
	// done is the word for it in the log.
	done string
	// before does what must be done before the messages of a letter may be deleted, and returns an error for each letter that
	// must stay.
	before func(context.Context, *work, []*letter) []error
	// whole means that it needs all parts of a letter.
	whole bool
	// mustDelete means that nothing is achieved by a letter that is still on the queue.
	mustDelete bool
}

// letter is what is known of a dead letter from the messages seen so far.
type letter struct {
	id string
	// story is the first message that fits the filter, nil while there is none.
	story *queue.Letter
	// messages are the ids of all its messages, parts and copies.
	messages []string
	// parts are the parts of the received body, of a letter that has several.
	parts map[int]queue.Received
	state state
}

type state int

const (
	open state = iota // not chosen, or not whole yet
	chosen
	done
	failed
)

// run works until the end of the queue, of the time or of the limit.
func (w *work) run() (api.WorkedOff, error) {
	defer w.close()
	w.out.IDs, w.out.DryRun = []string{}, w.order.dryRun
	w.leaves = chooses(w.filter.DeadLetterFilter) && !w.order.dryRun
	err := w.rounds()
	if w.over && w.leaves && w.caller.Err() == nil {
		w.leaveOthers()
	}
	if err != nil && w.out.Count == 0 {
		return api.WorkedOff{}, err
	}
	if err != nil {
		logging.From(w.caller).WithField(logging.Error, err.Error()).Warn("dead letters: stopped before the end of the queue")
	}
	if w.Complete() {
		w.reportIncomplete()
	}
	w.out.More = !w.Complete() || w.over
	return w.out, nil
}

func (w *work) rounds() error {
	for !w.limitReached() {
		batch, err := w.next(w.wanted())
		if err != nil || len(batch) == 0 {
			return err
		}
		chosen, copies := w.gather(batch)
		if len(copies) > 0 {
			w.Delete(context.WithoutCancel(w.caller), copies) // of letters that were worked off; one more copy does no harm
		}
		w.workOff(chosen)
		if w.refused != nil {
			return w.refused
		}
	}
	return nil
}

func (w *work) limitReached() bool { return w.order.limit > 0 && w.out.Count >= w.order.limit }

// wanted is how many messages to take: what is taken and not worked off is out of everybody's sight for a while.
func (w *work) wanted() int {
	wanted := queue.SweepBatch
	if w.order.rate > 0 {
		wanted = min(wanted, w.order.rate)
	}
	if w.order.limit > 0 {
		wanted = min(wanted, w.order.limit-w.out.Count)
	}
	return max(wanted, queue.MaxBatch)
}

// gather adds messages to their letters. It returns the letters that can now be worked off, and the messages of those that were.
func (w *work) gather(batch []queue.Letter) (ready []*letter, copies []string) {
	for i := range batch {
		m := &batch[i]
		l := w.letters[m.ID]
		if l == nil {
			l = &letter{id: m.ID}
			w.letters[m.ID] = l
		}
		l.messages = append(l.messages, m.MessageID)
		switch l.state {
		case done:
			copies = append(copies, m.MessageID)
		case open:
			if w.collect(l, m); l.state == chosen {
				ready = append(ready, l)
			}
		case chosen, failed:
		}
	}
	return ready, copies
}

// collect takes a message into its letter, which is chosen once it fits the filter and is whole.
func (w *work) collect(l *letter, m *queue.Letter) {
	if l.story == nil && w.filter.fits(m) {
		l.story = m
	}
	part := m.Received
	if part.Parts > 1 && w.act.whole {
		if m.Request != nil {
			part.Body = "" // it is not needed to redrive the job
		}
		if l.parts == nil {
			l.parts = map[int]queue.Received{}
		}
		if _, have := l.parts[part.Part]; !have && w.pending+len(part.Body) <= maxPending {
			l.parts[part.Part] = part
			w.pending += len(part.Body)
		}
	}
	if l.story == nil {
		return
	}
	if part.Parts > 1 && w.act.whole {
		whole, complete := queue.JoinParts(l.parts)
		if !complete {
			return
		}
		l.story.Received, l.parts = whole, nil
		w.pending -= len(whole.Body)
	}
	l.state = chosen
}

// workOff works off letters until the limit is reached.
func (w *work) workOff(letters []*letter) {
	for len(letters) > 0 && !w.limitReached() && w.refused == nil && !w.over {
		n := len(letters)
		if w.order.limit > 0 {
			n = min(n, w.order.limit-w.out.Count)
		}
		switch {
		case w.order.dryRun:
			for _, l := range letters[:n] {
				w.count(l)
				l.story = nil
			}
		case w.order.rate > 0:
			w.paced(letters[:n])
		default:
			w.atOnce(letters[:n])
		}
		letters = letters[n:]
	}
}

// atOnce works off letters several batches at a time.
func (w *work) atOnce(letters []*letter) {
	var running sync.WaitGroup
	defer running.Wait()
	for batch := range slices.Chunk(letters, queue.MaxBatch) {
		running.Go(func() { w.batch(batch) })
	}
}

// paced works off letters at the wanted rate, as far as the time goes.
func (w *work) paced(letters []*letter) {
	for batch := range slices.Chunk(letters, min(queue.MaxBatch, w.order.rate)) {
		due := w.began.Add(time.Duration(w.worked) * time.Second / time.Duration(w.order.rate))
		wait := max(due.Sub(w.cfg.Now()), 0)
		if w.refused != nil || w.timeOver(wait) {
			return
		}
		w.cfg.Sleep(w.ctx, wait)
		if w.timeOver(0) {
			return
		}
		w.batch(batch)
	}
}

// batch works off letters: what must come before, then the deletion of exactly those for which it is confirmed. A crash in
// between repeats, and loses nothing.
func (w *work) batch(letters []*letter) {
	errs := w.act.before(w.ctx, w, letters)
	var ids []string
	for i, l := range letters {
		if errs[i] == nil {
			ids = append(ids, l.messages...)
		}
	}
	// What is done is done: its messages must go even if the caller is gone or the time is over.
	deleted := map[string]error{}
	for i, err := range w.Delete(context.WithoutCancel(w.caller), ids) {
		deleted[ids[i]] = err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.worked += len(letters)
	achieved := false
	for i, l := range letters {
		err := w.settle(l, errs[i], deleted)
		// What is wrong with one letter is not wrong with the next.
		achieved = achieved || err == nil || fault.HasKind(err, fault.Invalid) || fault.HasKind(err, fault.NotFound)
		errs[i] = err
	}
	if !achieved && w.refused == nil {
		w.refused = errs[0]
	}
}

// settle takes down what became of a letter.
func (w *work) settle(l *letter, before error, deleted map[string]error) error {
	if before != nil {
		w.fail(l, problemOf(before))
		return before
	}
	for _, id := range l.messages {
		err := deleted[id]
		if err == nil || (!w.act.mustDelete && fault.HasKind(err, fault.NotFound)) {
			continue // a lease that has ended: the letter may be redriven once more, which jobs survive
		}
		w.audit(l).WithFields(logging.Fields{logging.Outcome: "not-removed", logging.Error: err.Error()}).Warn("dead letter may still be on the queue")
		w.fail(l, problemNotRemoved(err))
		return err
	}
	w.audit(l).Info("dead letter " + w.act.done)
	w.count(l)
	l.state, l.story = done, nil
	return nil
}

func (w *work) count(l *letter) {
	w.out.Count++
	if len(w.out.IDs) < api.MaxIDs {
		w.out.IDs = append(w.out.IDs, l.id)
	}
}

func (w *work) fail(l *letter, p *api.Problem) {
	l.state, l.story = failed, nil
	if len(w.out.Failed) < api.MaxIDs {
		w.out.Failed = append(w.out.Failed, api.DeadLetterFailure{ID: l.id, Problem: p})
	}
}

// audit begins the line that tells who did what to a letter, and why.
func (w *work) audit(l *letter) *logrus.Entry {
	return logging.From(w.caller).WithFields(logging.Fields{
		"deadLetterId": l.id, logging.Job: l.story.JobID, logging.Kind: l.story.Kind, logging.Code: l.story.Code,
		"by": w.order.by, "reason": w.order.reason, logging.Outcome: w.act.done,
	})
}

// reportIncomplete lists the letters of which a part was not to be seen.
func (w *work) reportIncomplete() {
	for _, id := range slices.Sorted(maps.Keys(w.letters)) {
		if l := w.letters[id]; l.state == open && l.story != nil {
			w.fail(l, problemIncomplete(len(l.parts), l.story.Received.Parts))
		}
	}
}

// leaveOthers keeps the letters that do not fit the filter out of sight until their leases end, so that the next call, which
// is about to come for the rest, finds those behind them instead of the same ones again.
func (w *work) leaveOthers() {
	for _, l := range w.letters {
		if l.state == open && l.story == nil {
			w.Leave(l.messages)
		}
	}
}
