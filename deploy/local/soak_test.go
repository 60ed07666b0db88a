package main_test

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
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
	// callers is how many ask at a time. Of batchEvery calls one is a batch of so many items.
	callers, batchEvery, items = 8, 3, 50
	// Of so many jobs one is for a site that the account does not have, and of so many one wants a callback.
	hopelessEvery, callbackEvery = 30, 4
	// memorySize is what the functions have in s.yaml at least, in MB.
	memorySize = 128
)

// TestSoak brings many jobs through a deployment whose dead-letter queue is full of messages that hold no job. In the middle, when the queues are long,
// everything is killed. Every accepted job must come to one end, and the dead letters to another once they are redriven. No function may need more
// memory than it has in the cloud.
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
	d := deploy(t, everywhere("LOG_LEVEL=warn")...)
	d.account(`{"latencyMillis":1}`)
	for ; d.unreadable < jobs; d.unreadable++ {
		d.put(stack.DeadLetterQueue, fmt.Sprintf("nothing, %d", d.unreadable))
	}
	began := time.Now()
	d.askForMany(jobs)
	d.settleWithin(soakLimit)
	took := time.Since(began)
	t.Logf("%d jobs ended after %s, %.0f a second", jobs, took.Round(time.Second), float64(jobs)/took.Seconds())

	for _, o := range d.orders {
		o.want = succeeded
	}
	d.addSite()
	t.Logf("%d dead letters are redriven", d.redrive(wrongSite))
	d.settleWithin(soakLimit)
	d.checkMemory()
}

// askForMany lets callers ask for so many jobs, and kills everything when half of them are asked for.
func (d *deployment) askForMany(jobs int) {
	d.t.Helper()
	var calls [][]*order
	for len(d.orders) < jobs {
		size := 1
		if len(calls)%batchEvery == 0 {
			size = min(items, jobs-len(d.orders))
		}
		var orders []*order
		for range size {
			order := d.order
			if len(d.orders)%hopelessEvery == 0 {
				order = d.hopeless
			}
			o := order()
			o.callback = len(d.orders)%callbackEvery == 0
			orders = append(orders, o)
		}
		calls = append(calls, orders)
	}
	next := make(chan []*order)
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for orders := range next {
				d.submit(orders...)
			}
		})
	}
	for n, orders := range calls {
		if n == len(calls)/2 {
			d.restart(programs()...)
		}
		next <- orders
	}
	close(next)
	running.Wait()
}

// checkMemory checks the most memory that each process of a function ever had (proc_pid_status(5), in units of 1024 bytes), where the system tells it.
func (d *deployment) checkMemory() {
	d.t.Helper()
	var instances []instance
	d.read(d.url[functionCompute]+"/_local/instances", &instances)
	for _, in := range instances {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", in.PID))
		peak := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(status)
		if os.IsNotExist(err) || peak == nil { // it has ended, or this is not Linux
			continue
		}
		kilobytes, err := strconv.Atoi(string(peak[1]))
		if d.t.Logf("%s had %d MB", in.Function, kilobytes/1024); err != nil || kilobytes/1024 >= memorySize {
			d.t.Errorf("%s has %d MB of memory in the cloud", in.Function, memorySize)
		}
	}
}
