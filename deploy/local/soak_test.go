package main_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
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
	// Of so many calls one is a batch, of so many one is made twice; of so many jobs one is for a site that the account does not have, of so many one
	// wants a callback, and of so many routines one is deleted as soon as it is asked for.
	batchEvery, repeatEvery, hopelessEvery, callbackEvery, deleteEvery = 3, 20, 30, 4, 20
	// Of so many calls ESA refuses one for its lock, of so many it fails one, and of so many all servers lose the answer to one.
	lockEvery, failEvery, loseEvery = 20, 100, 50
	// corrected is how many dead letters are corrected one by one; the others are redriven together.
	corrected = 10
	// copied is how many messages are put on the queue a second time at once.
	copied = 20
	// callsInTrouble is how many calls are made at once when there is trouble, so that it meets some.
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
	// requests are the orders of each call of accept, and ends the deletions of those whose routines are deleted.
	requests [][]*order
	ends     map[*order]*order
	// happened counts what the deployment went through.
	happened map[string]int
}

// TestSoak brings many jobs through a deployment whose processes are killed again and again, whose servers are down for a while, lose
// answers and refuse calls, with requests and messages that come twice, while its dead-letter queue is full of messages that hold no job. Some routines are
// deleted again, before they are made or after. Every accepted job must come to one end. Then the dead letters are corrected and redriven.
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
	sweeping, stop := context.WithCancel(t.Context())
	var janitor sync.WaitGroup
	janitor.Go(func() {
		for sweeping.Err() == nil {
			s.sweep()
			<-time.After(time.Second)
		}
	})
	s.breakAnswers()
	s.drive()
	s.comeToRest()
	quiet := time.Since(s.began)

	s.breakAnswers()
	s.repair()
	s.comeToRest()
	stop()
	janitor.Wait()
	t.Logf("%d jobs ended after %s, %.0f a second; with the redrive and the checks it took %s. What happened: %v",
		jobs, quiet.Round(time.Second), float64(jobs)/quiet.Seconds(), time.Since(s.began).Round(time.Second), s.happened)
}

// newSoak starts the deployment with what makes ten thousand jobs a matter of minutes: short ESA operations, and calls that are given up soon.
func newSoak(t *testing.T, jobs int) *soak {
	t.Helper()
	s := &soak{
		deployment: deploy(t, everywhere("MNS_TIMEOUT=5s", "TABLESTORE_TIMEOUT=2s", "LOG_LEVEL=warn")...),
		random:     rand.New(rand.NewPCG(1, 0)), began: time.Now(), happened: map[string]int{}, ends: map[*order]*order{},
	}
	s.account(`{"latencyMillis":1}`)
	s.plan(jobs)
	var garbage []string
	for n := range jobs {
		garbage = append(garbage, fmt.Sprintf("nothing, %d", n))
	}
	s.put(stack.DeadLetterQueue, garbage...)
	s.unreadable = jobs
	return s
}

// plan makes the orders, and the calls in which they are asked for.
func (s *soak) plan(jobs int) {
	for len(s.orders) < jobs {
		size := 1
		if s.random.IntN(batchEvery) == 0 {
			size += s.random.IntN(maxItems)
		}
		var orders []*order
		for range min(size, jobs-len(s.orders)) {
			order := s.order
			if s.random.IntN(hopelessEvery) == 0 {
				order = s.hopeless
			}
			o := order()
			o.callback = s.random.IntN(callbackEvery) == 0
			orders = append(orders, o)
			if o.want == succeeded && s.random.IntN(deleteEvery) == 0 {
				s.ends[o] = s.deletion(o)
				s.happened["deletions"]++
			}
		}
		s.requests = append(s.requests, orders)
	}
}

// drive lets callers ask for all jobs, a few ahead of the worker, and makes trouble all the time.
func (s *soak) drive() {
	s.t.Helper()
	next := make(chan []*order)
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for made := 1; ; made++ {
				orders, more := <-next
				if !more {
					return
				}
				s.submit(orders...)
				if made%repeatEvery == 0 {
					s.submit(orders...)
				}
				s.end(orders)
			}
		})
	}
	ahead := max(len(s.orders)/20, callers)
	troubles := s.troubles()
	for i, trouble := range troubles {
		var happening sync.WaitGroup
		happening.Go(trouble)
		for n, orders := range s.requests[i*len(s.requests)/len(troubles) : (i+1)*len(s.requests)/len(troubles)] {
			if n >= callsInTrouble {
				within(s.t, soakLimit, "the job queue is short", func() bool { return s.depth(stack.Queue) < ahead })
			}
			next <- orders
		}
		happening.Wait()
	}
	close(next)
	running.Wait()
}

// end asks for the deletion of those routines that are deleted.
func (s *soak) end(orders []*order) {
	s.t.Helper()
	for _, o := range orders {
		if deletion := s.ends[o]; deletion != nil {
			s.askAgain(deletion)
		}
	}
}

// troubles are what happens to the deployment, in a random order.
func (s *soak) troubles() (all []func()) {
	times := 2
	if testing.Short() {
		times = 1
	}
	for range times {
		for _, function := range functions() {
			all = append(all, func() { // it has no process if it was killed a moment ago
				request(s.t.Context(), http.MethodPost, s.url[functionCompute]+"/_local/instances/kill", fmt.Sprintf(`{"function":%q}`, function))
				s.happened["kills"]++
			})
		}
		for _, victims := range [][]string{{messageService}, {edgeService}, {tableService}, {functionCompute}, programs()} {
			all = append(all, func() {
				s.heal(servers()...)
				s.count()
				s.restart(victims...)
				s.happened["kills"]++
				s.breakAnswers()
			})
		}
		for _, server := range []string{messageService, tableService} {
			all = append(all, func() {
				s.outage(server)
				<-time.After(outageTime)
				s.happened["outages"]++
				s.breakAnswers()
			})
		}
		all = append(all, func() { // messages come twice
			messages := s.messages(stack.Queue)
			messages = messages[:min(copied, len(messages))]
			s.heal(messageService)
			s.put(stack.Queue, messages...)
			s.happened["messages that came twice"] += len(messages)
			s.breakAnswers()
		})
	}
	s.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// breakAnswers lets servers break answers from now on, each in its own way and no other.
func (s *soak) breakAnswers() {
	s.t.Helper()
	s.heal(servers()...)
	for _, server := range servers() {
		s.fault(server, fmt.Sprintf(`{"skip":%d,"every":%d,"times":-1,"fault":{"answer":"reset","execute":true}}`, s.random.IntN(loseEvery), loseEvery))
	}
	for _, action := range []string{"CreateRoutine", "CreateRoutineRelatedRecord", "DeleteRoutineRelatedRecord", "DeleteRoutine"} {
		s.fault(edgeService, fmt.Sprintf(`{"action":%q,"every":%d,"times":-1,"fault":{"answer":"error","code":%q}}`, action, lockEvery, locked))
		s.fault(edgeService, fmt.Sprintf(`{"action":%q,"every":%d,"times":-1,"fault":{"answer":"error","status":503,"code":"ServiceUnavailable"}}`,
			action, failEvery))
	}
}

// count counts the broken calls in the servers' logs, which end with their process, and clears the logs.
func (s *soak) count() {
	s.t.Helper()
	for _, server := range servers() {
		for _, call := range s.calls(server) {
			switch {
			case call.Fault == "reset":
				s.happened["lost answers"]++
			case call.Code == locked:
				s.happened["refusals for the lock"]++
			case call.Fault == "error":
				s.happened["failures of ESA"]++
			}
		}
		s.forgetCalls(server)
	}
}

// comeToRest lets everything come to its end and checks it.
func (s *soak) comeToRest() {
	s.t.Helper()
	within(s.t, soakLimit, "nothing is left to be done", s.settled)
	s.heal(servers()...)
	s.count()
	s.check()
}

// repair corrects some dead letters, adds the site of the others and redrives them.
func (s *soak) repair() {
	s.t.Helper()
	for _, o := range s.orders {
		if o.want != deadLettered {
			continue
		}
		if s.happened["redriven jobs"]++; s.happened["redriven jobs"] <= corrected {
			s.correct(o)
		}
		o.want = succeeded
	}
	s.addSite()
	s.redrive(wrongSite)
}
