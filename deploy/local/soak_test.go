package main_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"routinely/deploy/local/stack"
)

const (
	// soakJobs is how many jobs a soak has unless SOAK_JOBS says otherwise, and shortSoakJobs how many in short tests.
	soakJobs, shortSoakJobs = 10_000, 100
	// soakLimit bounds it.
	soakLimit = 25 * time.Minute
	// callers is how many ask at a time, maxItems how long their batches are at most.
	callers, maxItems = 8, 100
	// Of so many calls one is a batch, of so many one is made twice; of so many jobs one is for a site that the account has not, and of so
	// many the caller of one is told.
	batchEvery, repeatEvery, hopelessEvery, toldEvery = 3, 20, 30, 4
	// Of so many calls ESA refuses one for its lock, of so many it fails one, and of so many all servers lose the answer to one.
	lockEvery, failEvery, loseEvery = 20, 100, 50
	// corrected is how many dead letters are corrected one by one; the others are redriven together.
	corrected = 10
	// copied is how many messages are put on the queue a second time at once.
	copied = 20
	// callsInTrouble is how many calls are made whenever something happens, so that it meets some.
	callsInTrouble = 4
	// outageTime is how long an outage of a server lasts.
	outageTime = 2 * time.Second
)

// soak is a deployment under load while everything fails that can.
type soak struct {
	*deployment
	// random decides what is asked for and the order of troubles; what meets what depends on the machine.
	random *rand.Rand
	began  time.Time
	calls  []submission
	// dead are the orders for the site that is missing.
	dead []*order
	// accepted counts jobs, again calls that did not accept all and were made again, and repeated those that were made twice.
	accepted, again, repeated atomic.Int64
	// urgent is how many calls are made although the job queue is long.
	urgent atomic.Int64
	// sweeps counts runs of the janitor.
	sweeps atomic.Int64
	// kills, outages and copies (of messages) are what happened to the deployment.
	kills, outages, copies int
	// refused and failed count ESA's refusals for the lock and its failures, lost the answers of all servers that did not arrive, those of
	// outages included.
	refused, failed, lost int
}

// submission is a call for some orders, made until it has accepted all, and if it is repeated once more after that.
type submission struct {
	orders   []*order
	repeated bool
}

// TestSoak brings many jobs through a deployment whose processes are killed again and again, whose servers are down for a while, lose
// answers and refuse calls, with requests and messages that come twice, while its dead-letter queue is full of messages that hold no job.
// Every accepted job must come to one end. Then the dead letters are corrected and redriven while two readers list them.
func TestSoak(t *testing.T) {
	t.Parallel()
	jobs := soakJobs
	if testing.Short() {
		jobs = shortSoakJobs
	}
	jobs, err := strconv.Atoi(cmp.Or(os.Getenv("SOAK_JOBS"), strconv.Itoa(jobs)))
	if err != nil || jobs < 1 {
		t.Fatalf("SOAK_JOBS: want a positive number, not %q", os.Getenv("SOAK_JOBS"))
	}
	s := newSoak(t, jobs)
	stop := s.sweepOn()
	s.breakAnswers()
	s.drive()
	s.comeToRest()
	quiet := time.Since(s.began)

	s.breakAnswers()
	s.mend()
	s.comeToRest()
	stop()
	t.Logf(`accepted    %d jobs
requests    %d calls were made twice, %d did not accept all and were made again
messages    %d were put on the queue a second time
refused     %d calls of ESA for the lock, %d failed
answers     %d lost
kills       %d
outages     %d of the ledger and of MNS
janitor     %d runs
filed       %d messages without a job
redriven    %d dead letters, %d of them corrected
ended       all after %s, %.0f jobs/s; with the redrive and the checks %s
jobs lost   0, duplicated 0 if this test has passed`,
		s.accepted.Load(), s.repeated.Load(), s.again.Load(), s.copies, s.refused, s.failed, s.lost, s.kills, s.outages, s.sweeps.Load(), s.unreadable,
		len(s.dead), min(corrected, len(s.dead)), quiet.Round(time.Second), float64(jobs)/quiet.Seconds(),
		time.Since(s.began).Round(time.Second))
}

// newSoak starts the deployment with what makes ten thousand jobs a matter of minutes: short pauses and ESA operations, and calls that are
// given up soon.
func newSoak(t *testing.T, jobs int) *soak {
	t.Helper()
	settings := []string{"-batch", "4", "-batch-window", "1s"}
	for _, function := range []string{accept, worker, notify, janitor} {
		for _, setting := range []string{"MNS_TIMEOUT=5s", "TABLESTORE_TIMEOUT=2s", "LOG_LEVEL=warn"} {
			settings = append(settings, "-env", function+":ROUTINELY_"+setting)
		}
	}
	s := &soak{deployment: deploy(t, settings...), random: rand.New(rand.NewPCG(1, 0)), began: time.Now()}
	s.send(http.MethodPut, s.url[edgeService]+"/_local/account", `{"latencyMillis":1}`)
	s.plan(jobs)
	client := s.queues()
	for range jobs {
		s.unreadable++
		if _, err := client.Send(t.Context(), stack.DeadLetterQueue, fmt.Sprintf("nothing, %d", s.unreadable), 0); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// plan makes the orders, and the calls that ask for them.
func (s *soak) plan(jobs int) {
	for len(s.orders) < jobs {
		size := 1
		if s.random.IntN(batchEvery) == 0 {
			size += s.random.IntN(maxItems)
		}
		c := submission{repeated: s.random.IntN(repeatEvery) == 0}
		for range min(size, jobs-len(s.orders)) {
			o := s.order()
			if o.told = s.random.IntN(toldEvery) == 0; s.random.IntN(hopelessEvery) == 0 {
				o.site, o.zone, o.want = strangeSite, strangeZone, deadLettered
				s.dead = append(s.dead, o)
			}
			c.orders = append(c.orders, o)
		}
		s.calls = append(s.calls, c)
	}
}

// within looks again and again until something is done or the soak has lasted too long.
func (s *soak) within(what string, done func() bool) {
	s.t.Helper()
	tick := time.NewTicker(longest)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-s.t.Context().Done():
			s.t.Fatal(what)
		}
		if time.Since(s.began) > soakLimit {
			s.t.Fatalf("waited %s in vain: %s", soakLimit, what)
		}
	}
}

// sweepOn runs the janitor again and again until it is stopped.
func (s *soak) sweepOn() (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.sweep()
				s.sweeps.Add(1)
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}

// drive lets callers ask for all jobs, a few ahead of the worker, and meanwhile makes trouble.
func (s *soak) drive() {
	s.t.Helper()
	next := make(chan submission)
	var running sync.WaitGroup
	running.Go(func() { s.feed(next) })
	for range callers {
		running.Go(func() {
			for c := range next {
				s.ask(c)
			}
		})
	}
	troubles := s.troubles()
	for made, trouble := range troubles {
		s.within("it is time for the next trouble", func() bool {
			ended := int(s.accepted.Load()) - s.waiting()
			return ended >= (made+1)*len(s.orders)/(len(troubles)+1) || int(s.accepted.Load()) == len(s.orders)
		})
		s.urgent.Store(callsInTrouble)
		trouble()
	}
	running.Wait()
}

// feed gives the calls to the callers, as long as the job queue is short, and some whenever there is trouble.
func (s *soak) feed(next chan<- submission) {
	defer close(next)
	ahead := max(len(s.orders)/20, callers)
	for _, c := range s.calls {
		s.within("the job queue is short", func() bool { return s.waiting() < ahead || s.urgent.Add(-1) >= 0 })
		next <- c
	}
}

// waiting is how many messages the job queue holds; while MNS is down it counts as long.
func (s *soak) waiting() (n int) {
	status, answer := request(s.t.Context(), http.MethodGet, s.url[messageService]+"/_local/queues", "")
	if status != http.StatusOK {
		return len(s.orders)
	}
	var queues []struct {
		Name                                            string
		ActiveMessages, InactiveMessages, DelayMessages int
	}
	decode(s.t, answer, &queues)
	for _, q := range queues {
		if q.Name == stack.Queue {
			n = q.ActiveMessages + q.InactiveMessages + q.DelayMessages
		}
	}
	return n
}

// ask makes a call until it has accepted all, and once more if it is repeated.
func (s *soak) ask(c submission) {
	times := 1
	if c.repeated {
		times = 2
		s.repeated.Add(1)
	}
	for range times {
		s.within("accept accepts "+c.orders[0].name, func() bool {
			if s.askOnce(c.orders) {
				return true
			}
			s.again.Add(1)
			return false
		})
	}
}

// askOnce makes a call and reports whether it has accepted all.
func (s *soak) askOnce(orders []*order) bool {
	path, bodies := "/v1/routines", make([]string, len(orders))
	for i, o := range orders {
		bodies[i] = s.body(o)
	}
	text := bodies[0]
	if len(orders) > 1 {
		path, text = "/v1/routines:batch", "["+strings.Join(bodies, ",")+"]"
	}
	status, answer := s.call(http.MethodPost, path, text, "Idempotency-Key", "call-"+orders[0].name)
	if status >= http.StatusBadRequest {
		if status < http.StatusInternalServerError && status != http.StatusTooManyRequests {
			s.t.Errorf("%s: %d %s", path, status, answer)
		}
		return false
	}
	var told struct {
		ID    string
		Items []struct{ JobID, Status string }
	}
	decode(s.t, answer, &told)
	ids := []string{told.ID}
	if len(orders) > 1 {
		ids = nil
		for _, item := range told.Items {
			if item.Status == "failed" {
				item.JobID = ""
			}
			ids = append(ids, item.JobID)
		}
	}
	for i, o := range orders {
		switch {
		case o.id == "" && ids[i] != "":
			o.id = ids[i]
			s.accepted.Add(1)
		case ids[i] != "" && o.id != ids[i]:
			s.t.Errorf("%s was job %s and is now job %s", o.name, o.id, ids[i])
		}
	}
	return !slices.Contains(ids, "")
}

// comeToRest lets everything come to its end and checks it.
func (s *soak) comeToRest() {
	s.t.Helper()
	s.within("the queues are empty, no job is unfinished, and everybody was told", func() bool {
		return s.depth() == 0 && len(s.jobs(queued)) == 0 && s.receiver.knows(s.orders)
	})
	s.heal()
	s.check()
}

// mend corrects some dead letters, adds the site that the others want and redrives them, while two readers list all: each must see each
// message that holds no job exactly once.
func (s *soak) mend() {
	s.t.Helper()
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			seen := map[string]int{}
			for _, l := range s.letters() {
				if l.Code == "UnreadableMessage" {
					seen[l.ID]++
				}
			}
			for id, times := range seen {
				if times != 1 {
					s.t.Errorf("a reader saw dead letter %s %d times", id, times)
				}
			}
			if len(seen) != s.unreadable {
				s.t.Errorf("a reader saw %d messages that hold no job, want %d", len(seen), s.unreadable)
			}
		})
	}
	for i, o := range s.dead {
		if o.want = succeeded; i < corrected {
			s.correct(o)
		}
	}
	s.addSite()
	for cursor := ""; ; {
		var answer struct {
			More bool
			Next string
		}
		body := fmt.Sprintf(`{"code":"SiteParameterNotMatch","reason":"site added"%s}`, cursor)
		decode(s.t, s.insist(http.MethodPost, "/v1/dead-letters:redrive", body), &answer)
		if !answer.More {
			break
		}
		cursor = fmt.Sprintf(`,"cursor":%q`, answer.Next)
	}
	readers.Wait()
}

// correct gives a dead letter the right site. A call whose answer was lost is made again, and finds that it was redriven.
func (s *soak) correct(o *order) {
	s.t.Helper()
	o.site, o.zone = stack.SiteID, stack.SiteName
	body := fmt.Sprintf(`{"request":{"siteId":%d,"recordName":%q},"reason":"wrong site"}`, o.site, o.record())
	until(s.t, o.name+" is corrected", func() bool {
		status, answer := s.call(http.MethodPost, "/v1/dead-letters/"+url.PathEscape(o.id)+":redrive", body)
		if status >= http.StatusBadRequest && status < http.StatusInternalServerError && s.job(o.id).Redriven == 0 {
			s.t.Fatalf("correct %s: %d %s", o.name, status, answer)
		}
		return status < http.StatusInternalServerError
	})
}
