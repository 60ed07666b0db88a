package main_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/stack"
)

// plan is the size of a soak. The environment can change it: SOAK_JOBS, SOAK_SEED and SOAK_LIMIT.
type plan struct {
	jobs int
	// seed gives the same requests, faults and order of kills again; what meets what depends on the machine.
	seed uint64
	// limit bounds the whole run.
	limit time.Duration
}

func readPlan(t *testing.T) plan {
	t.Helper()
	jobs, err := strconv.Atoi(cmp.Or(os.Getenv("SOAK_JOBS"), "10000"))
	if err != nil || jobs < 1 {
		t.Fatalf("SOAK_JOBS: want a positive number, not %q", os.Getenv("SOAK_JOBS"))
	}
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("SOAK_SEED"), "1"), 10, 64)
	if err != nil {
		t.Fatalf("SOAK_SEED: want a number, not %q", os.Getenv("SOAK_SEED"))
	}
	limit, err := time.ParseDuration(cmp.Or(os.Getenv("SOAK_LIMIT"), "8m"))
	if err != nil || limit <= 0 {
		t.Fatalf("SOAK_LIMIT: want a time such as 6m, not %q", os.Getenv("SOAK_LIMIT"))
	}
	return plan{jobs, seed, limit}
}

// soak is a deployment under load while everything fails that can.
type soak struct {
	*deployment
	plan
	random  *rand.Rand
	began   time.Time
	traffic *traffic
	// copier takes messages and puts them on the queue a second time.
	copier *mnsclient.Client
	// victims are still to be killed, the first first; kills counts them.
	victims []string
	kills   int
	// copies counts messages that were put on the queue a second time.
	copies int
	// refused and failed count ESA's refusals for the lock and its failures, lost the answers of all servers that did not arrive.
	refused, failed, lost int
	// redriven counts dead letters, missing accepted jobs that accept does not list, and doubled those it lists more than once.
	redriven, missing, doubled int
	// quiet is when all jobs had ended for the first time.
	quiet time.Duration
}

// TestSoak brings many jobs through a deployment whose processes are killed again and again, whose ESA refuses calls for its
// lock or fails, and whose servers lose answers, with requests and messages that come twice. Every accepted job must end
// exactly once.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("a soak takes minutes")
	}
	s := newSoak(t, readPlan(t))
	s.breakAnswers(brittle()...)
	s.drive()
	s.awaitEmpty(stack.Queue)
	s.quiet = time.Since(s.began)
	s.check()

	s.breakAnswers(brittle()...)
	s.redriveAll()
	s.check()
	s.awaitEmpty(stack.DeadLetterQueue)
	s.report()
}

// newSoak starts the deployment with what makes ten thousand jobs a matter of minutes: short pauses and ESA operations, and
// room for the routines. What is durable stays so.
func newSoak(t *testing.T, p plan) *soak {
	t.Helper()
	d := apart(t, newPorts(0), workerTime,
		"ROUTINELY_LOCK_POLL_MIN=5ms", "ROUTINELY_LOCK_POLL_MAX=40ms", "ROUTINELY_LOG_LEVEL=warn",
		"ROUTINELY_MNS_TIMEOUT=5s", "ROUTINELY_TABLESTORE_TIMEOUT=2s")
	d.refit(functionCompute, "-env", accept+":ROUTINELY_LOG_LEVEL=warn")
	d.refit(edgeService, "-routine-quota", strconv.Itoa(2*p.jobs))
	client, err := mnsclient.New(mnsclient.Config{Endpoint: d.mns, AccessKeyID: stack.AccessKeyID, AccessKeySecret: stack.AccessKeySecret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s := &soak{deployment: d, plan: p, random: rand.New(rand.NewPCG(p.seed, 0)), began: time.Now(), copier: client, victims: victims()}
	s.random.Shuffle(len(s.victims), func(i, j int) { s.victims[i], s.victims[j] = s.victims[j], s.victims[i] })
	s.traffic = newTraffic(d.http, s.calls())
	return s
}

// refit starts a program again with more flags.
func (d *deployment) refit(name string, args ...string) {
	d.t.Helper()
	d.programs[name].args = append(d.programs[name].args, args...)
	d.restart(name)
}

// drive lets callers ask for all jobs, a few ahead of the worker, and meanwhile copies messages and kills processes.
func (s *soak) drive() {
	s.t.Helper()
	ctx, stop := context.WithDeadline(s.t.Context(), s.began.Add(s.limit))
	defer stop()
	defer s.traffic.start(ctx)()
	ahead := max(s.jobs/20, 2*callers)
	kills := len(s.victims)
	s.until("all jobs are accepted and all processes were killed", func() bool {
		depth := s.depth(stack.Queue)
		if depth < ahead {
			s.traffic.feed()
		}
		asked, done, err := s.traffic.progress()
		if err != nil {
			s.t.Fatal(err)
		}
		if s.copies < asked/copyEvery*copySize {
			s.copyMessages()
		}
		if len(s.victims) > 0 && s.traffic.under() && asked-depth >= (s.kills+1)*s.jobs/(kills+1) {
			s.kill()
		}
		return done && len(s.victims) == 0
	})
}

// until is the wait of a soak, which ends with its limit.
func (s *soak) until(what string, done func() bool) {
	s.t.Helper()
	within(s.t, time.Until(s.began.Add(s.limit)), between, what, done)
}

// depth is how many messages a queue holds, those that are delayed or worked on included.
func (s *soak) depth(queue string) int {
	s.t.Helper()
	var queues []struct {
		Name                                            string
		ActiveMessages, InactiveMessages, DelayMessages int
	}
	decode(s.t, send(s.t, http.MethodGet, s.mns+"/_local/queues", ""), &queues)
	for _, q := range queues {
		if q.Name == queue {
			return q.ActiveMessages + q.InactiveMessages + q.DelayMessages
		}
	}
	s.t.Fatalf("there is no queue %s", queue)
	return 0
}

func (s *soak) awaitEmpty(queue string) {
	s.t.Helper()
	s.until(queue+" is empty", func() bool { return s.depth(queue) == 0 })
}

// redriveAll adds the site that the dead letters want and redrives them until there is none.
func (s *soak) redriveAll() {
	s.t.Helper()
	send(s.t, http.MethodPost, s.esa+"/_local/sites", fmt.Sprintf(`{"id":%d,"name":%q}`, strangeSite, strangeZone))
	s.redriven = s.wanted(deadLettered)
	for _, w := range s.wishes {
		w.want = succeeded
	}
	s.until("all dead letters were redriven", func() bool {
		s.insist(&client{path: "/v1/dead-letters:redrive", body: `{"code":"SiteParameterNotMatch","reason":"site added"}`})
		return s.depth(stack.DeadLetterQueue) == 0
	})
	s.awaitEmpty(stack.Queue)
}
