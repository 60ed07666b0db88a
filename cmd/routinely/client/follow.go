package client

import (
	"context"
	"sync"
	"time"

	"routinely/shared/routine"
)

const (
	// longPoll is how long accept is asked to wait for one job.
	longPoll = 20 * time.Second
	// few jobs are asked for one by one, with askers calls at once: a page of the list costs as much as several of them.
	few    = 8
	askers = 4
	// pollMin and pollMax bound the pause between two rounds.
	pollMin = 200 * time.Millisecond
	pollMax = 5 * time.Second
)

// nextPoll is the pause after having waited so long: a tenth of it. An end is so seen at most a tenth late, with few calls
// about jobs that take long.
func nextPoll(waited time.Duration) time.Duration { return min(max(waited/10, pollMin), pollMax) }

// Wait returns once all jobs have ended, and tells ended of each as it is seen. The last one is waited for by accept, which
// answers at once when it ends. While there are more, accept is not made to wait: that would occupy an instance for each
// job. Many are read from the list, a hundred with one call. It has the latest jobs first, those just submitted, so its first
// pages are enough; what is not on them is asked for one by one.
func (c *Client) Wait(ctx context.Context, ids []string, ended func(routine.Job)) error {
	open := make(map[string]bool, len(ids))
	for _, id := range ids {
		open[id] = true
	}
	for waited := time.Duration(0); len(open) > 0; {
		jobs, waitedThere, err := c.look(ctx, open)
		if err != nil {
			return err
		}
		for _, job := range jobs {
			if job.State.Final() && open[job.ID] {
				delete(open, job.ID)
				ended(job)
			}
		}
		if len(open) == 0 || waitedThere {
			continue
		}
		d := nextPoll(waited)
		c.cfg.Sleep(ctx, d)
		waited += d
	}
	return nil
}

// look reads the open jobs once. waited means that accept took the time, so that no pause is needed.
func (c *Client) look(ctx context.Context, open map[string]bool) (jobs []routine.Job, waited bool, err error) {
	switch {
	case len(open) == 1:
		for id := range open {
			job, waited, err := c.Job(ctx, id, longPoll)
			return []routine.Job{job}, waited, err
		}
	case len(open) > few:
		jobs, err = c.leaf(ctx, open)
		return jobs, false, err
	}
	jobs, err = c.ask(ctx, open)
	return jobs, false, err
}

// leaf reads many open jobs from the list. Jobs of others lie between them, so it goes on for twice the pages that they
// would fill alone.
func (c *Client) leaf(ctx context.Context, open map[string]bool) (jobs []routine.Job, err error) {
	missing := make(map[string]bool, len(open))
	for id := range open {
		missing[id] = true
	}
	for page, cursor := 0, ""; page < 2*(len(open)/pageItems+1) && len(missing) > 0; page++ {
		got, err := c.jobPage(ctx, JobFilter{}, pageItems, cursor)
		if err != nil {
			return nil, err
		}
		for _, job := range got.Jobs {
			if missing[job.ID] {
				delete(missing, job.ID)
				jobs = append(jobs, job)
			}
		}
		if cursor = got.Next; cursor == "" {
			break
		}
	}
	rest, err := c.ask(ctx, missing)
	return append(jobs, rest...), err
}

// ask reads jobs one by one, some at once.
func (c *Client) ask(ctx context.Context, ids map[string]bool) (jobs []routine.Job, failed error) {
	queue := make(chan string, len(ids))
	for id := range ids {
		queue <- id
	}
	close(queue)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range min(askers, len(ids)) {
		wg.Go(func() {
			for id := range queue {
				job, _, err := c.Job(ctx, id, 0)
				mu.Lock()
				if err != nil && failed == nil {
					failed = err
				}
				jobs = append(jobs, job)
				stop := failed != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	return jobs, failed
}

// Watch tells changed of a job now and whenever it is seen to have changed, until it has ended.
func (c *Client) Watch(ctx context.Context, id string, changed func(routine.Job) error) error {
	var last routine.Job
	for since := time.Duration(0); ; {
		job, _, err := c.Job(ctx, id, 0)
		if err != nil {
			return err
		}
		if !sameMoment(job, last) {
			if err := changed(job); err != nil {
				return err
			}
			last, since = job, 0
		}
		if job.State.Final() {
			return nil
		}
		d := nextPoll(since)
		c.cfg.Sleep(ctx, d)
		since += d
	}
}

// sameMoment reports whether nothing happened to a job between two readings.
func sameMoment(a, b routine.Job) bool {
	return a.State == b.State && a.UpdatedAt.Equal(b.UpdatedAt) && a.StartedAt.Equal(b.StartedAt) && a.Attempt == b.Attempt &&
		a.HandedBack == b.HandedBack && a.Redriven == b.Redriven && len(a.Attempts) == len(b.Attempts)
}
