package bench_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"routinely/deploy/local/stack"
)

const (
	// earlyJobs is when the worker's memory is read first, memoryJobs when last.
	earlyJobs  = 500
	memoryJobs = 2000
)

// BenchmarkMemory reads the resident memory of the worker's one process while it brings jobs through the local stack, with
// an ESA that answers at once.
func BenchmarkMemory(b *testing.B) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		b.Skip("this system has no /proc, which the memory of a process is read from")
	}
	for b.Loop() {
		d := deploy(b, stack.Config{RoutineQuota: memoryJobs}, memoryJobs)
		var ids []string
		submitted := make(chan error, 1)
		go func() {
			var err error
			ids, err = d.submit(wishes(memoryJobs))
			submitted <- err
		}()
		d.await(b, earlyJobs)
		pid, early := d.worker(b)
		d.await(b, memoryJobs-earlyJobs)
		later, late := d.worker(b)
		if err := <-submitted; err != nil {
			b.Fatal(err)
		}
		d.check(b, ids, wishes(memoryJobs))
		if pid != later {
			b.Fatalf("the worker was replaced: process %d, then %d", pid, later)
		}
		report(b,
			number("MB-after-500", early),
			atMost("MB-after-2000", late, 40),
			atMost("growth", late/early, 1.1),
		)
	}
}

// worker returns the process id of the worker's instance and its resident memory in MB.
func (d *deployment) worker(b *testing.B) (pid int, megabytes float64) {
	b.Helper()
	for _, instance := range d.FC().Instances() {
		if instance.Function != stack.FunctionWorker {
			continue
		}
		megabytes, err := memory(instance.PID, "VmRSS:")
		if err != nil {
			b.Fatal(err)
		}
		return instance.PID, megabytes
	}
	b.Fatal("the worker has no instance")
	return 0, 0
}

// memory reads a line of a process's status in MB (proc_pid_status(5): VmRSS is what is resident, VmHWM the most that ever was;
// in units of 1024 bytes).
func memory(pid int, line string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for given := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(given, line); ok {
			kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kilobytes * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("process %d: no %s", pid, line)
}
