package ledger

import (
	"context"
	"crypto/rand"
	"iter"
	"slices"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Claimed is what became of a claim. Its zero value is a job that was claimed.
type Claimed struct {
	// Existing is the job that was there before, with its Attempts.
	Existing *routine.Job
	// SameBody tells whether the existing job asks for the same.
	SameBody bool
	// Err is a *fault.Error if the job could not be claimed; whether it is recorded then, another claim tells.
	Err error
}

// Claim records that a job was accepted, unless a job of its id is there: then that job is returned as existing, and
// sameBody tells whether it asks for the same. Of job ID, Caller, AcceptedAt and Request are read.
//
// Of several claims at once exactly one returns no existing job. An existing job that is queued and that no worker has begun
// (Job.StartedAt is zero) may never have reached the queue, because whoever claimed it failed in between: sending it again is
// harmless, leaving it is not.
func (l *Ledger) Claim(ctx context.Context, job routine.Job) (existing *routine.Job, sameBody bool, err error) {
	claimed := l.ClaimAll(ctx, []routine.Job{job})[0]
	return claimed.Existing, claimed.SameBody, claimed.Err
}

// ClaimAll claims many jobs in few calls and tells of each, in their order, what Claim would. Of jobs with the same ID the
// first is claimed and is what the others find existing; if it cannot be claimed, they share its error.
//
// A row that is refused is the error of its job alone, a call that fails that of the jobs in it. Once a call has failed as
// Unavailable or Operator no other is made, and its error is that of every job without an answer: a ledger that is down costs
// one time limit, not one for each call.
func (l *Ledger) ClaimAll(ctx context.Context, jobs []routine.Job) []Claimed {
	c := &claiming{table: l.table, jobs: jobs, out: make([]Claimed, len(jobs))}
	for open := range slices.Chunk(c.claims(), maxWrites) {
		for range maxTries {
			if open = c.put(ctx, c.find(ctx, open)); len(open) == 0 {
				break
			}
		}
		for _, one := range open {
			c.fail(one, contended(one.job.ID))
		}
	}
	return c.out
}

// claim is an id to be claimed.
type claim struct {
	// job is the origin of the first job of the id, body the hash of its request.
	job  routine.Job
	body string
	// at is where the jobs of the id stand.
	at []int
	// token tells our row from another's, for a put whose answer was lost.
	token string
	// seq is that of the row that is there.
	seq int64
}

// record is the row to put.
func (one *claim) record() record {
	r := begin(one.job, Entry{Kind: Queued, At: one.job.AcceptedAt})
	r.head.Body, r.head.Claim = one.body, one.token
	return r
}

// claiming is one ClaimAll on its way.
type claiming struct {
	table *table
	jobs  []routine.Job
	out   []Claimed
	// down is the fault after which no call is made.
	down error
}

// claims are the ids to be claimed, each once.
func (c *claiming) claims() []*claim {
	var out []*claim
	byID := make(map[string]*claim, len(c.jobs))
	for i, job := range c.jobs {
		was, err := origin(job)
		if err != nil {
			c.out[i].Err = err
			continue
		}
		if byID[was.ID] == nil {
			byID[was.ID] = &claim{job: was, body: bodyHash(job.Request), token: rand.Text()}
			out = append(out, byID[was.ID])
		}
		byID[was.ID].at = append(byID[was.ID].at, i)
	}
	return out
}

func (c *claiming) fail(one *claim, err error) {
	for _, i := range one.at {
		c.out[i].Err = err
	}
}

// exists answers jobs with the one that is there.
func (c *claiming) exists(at []int, r record) {
	for _, i := range at {
		existing := r.job()
		c.out[i] = Claimed{Existing: &existing, SameBody: r.head.Body == bodyHash(c.jobs[i].Request)}
	}
}

// find answers the claims of jobs that exist and returns the others.
func (c *claiming) find(ctx context.Context, claims []*claim) (open []*claim) {
	there := claims
	// A single row is read at once. Of many few exist as a rule, and whole rows can be too large to ask for many.
	if len(claims) > 1 {
		there, open = c.findRows(ctx, claims)
	}
	for pack := range packs(there, maxReads, maxAnswer, func(one *claim) int { return rowBound(one.seq) }) {
		for one, r := range answered(c, pack, func() ([]outcome[record], error) { return c.table.readAll(ctx, idsOf(pack)) }) {
			switch {
			case r.seq == 0:
				open = append(open, one)
			case r.head.Claim == one.token:
				c.exists(one.at[1:], r)
			default:
				c.exists(one.at, r)
			}
		}
	}
	return open
}

// findRows tells the claims of jobs whose rows are there from the others.
func (c *claiming) findRows(ctx context.Context, claims []*claim) (there, open []*claim) {
	for chunk := range slices.Chunk(claims, maxReads) {
		for one, seq := range answered(c, chunk, func() ([]outcome[int64], error) { return c.table.seqs(ctx, idsOf(chunk)) }) {
			if one.seq = seq; seq == 0 {
				open = append(open, one)
			} else {
				there = append(there, one)
			}
		}
	}
	return there, open
}

// put writes the rows of new jobs, their index rows first, and returns the claims that another writer was faster with.
func (c *claiming) put(ctx context.Context, claims []*claim) (lost []*claim) {
	var listed []*claim
	for pack := range slices.Chunk(claims, maxWrites/maxIndexRows) {
		for one := range answered(c, pack, func() ([]outcome[struct{}], error) { return c.table.putIndexes(ctx, recordsOf(pack)) }) {
			listed = append(listed, one)
		}
	}
	for pack := range packs(listed, maxWrites, maxRequestBytes, newRowBound) {
		for one, created := range answered(c, pack, func() ([]outcome[bool], error) { return c.table.createAll(ctx, recordsOf(pack)) }) {
			if !created {
				lost = append(lost, one)
				continue
			}
			c.exists(one.at[1:], one.record())
		}
	}
	return lost
}

// answered makes a call for some claims, unless the service is known to be down, and yields those that did not fail.
func answered[T any](c *claiming, claims []*claim, call func() ([]outcome[T], error)) iter.Seq2[*claim, T] {
	return func(yield func(*claim, T) bool) {
		err := c.down
		var outcomes []outcome[T]
		if err == nil {
			outcomes, err = call()
		}
		if fault.HasKind(err, fault.Unavailable) || fault.HasKind(err, fault.Operator) {
			c.down = err
		}
		for i, one := range claims {
			switch {
			case err != nil:
				c.fail(one, err)
			case outcomes[i].err != nil:
				c.fail(one, outcomes[i].err)
			case !yield(one, outcomes[i].value):
				return
			}
		}
	}
}

func idsOf(claims []*claim) []string {
	ids := make([]string, 0, len(claims))
	for _, one := range claims {
		ids = append(ids, one.job.ID)
	}
	return ids
}

func recordsOf(claims []*claim) []record {
	records := make([]record, 0, len(claims))
	for _, one := range claims {
		records = append(records, one.record())
	}
	return records
}
