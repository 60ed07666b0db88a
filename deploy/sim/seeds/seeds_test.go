package seeds_test

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1) // one call is answered after the other: more threads would only have to be stopped before each look at what moves
	goleak.VerifyTestMain(m,
		// The MNS SDK's HTTP client looks for idle connections every ten seconds and cannot be told to stop.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"),
	)
}

const (
	// allSeeds is how many seeds are run unless SEEDS says otherwise, shortSeeds how many in short tests, and replays how many of them twice.
	allSeeds, shortSeeds, replays = 500, 20, 5
	// enough failures end the test: each prints how to replay it.
	enough = 5
)

// TestSeeds runs the seeds from FIRST=1 to SEEDS=500. PART=2/3 runs every third of them, from the second on: what one of three processes does. SEED=n runs
// one and prints its trace.
func TestSeeds(t *testing.T) {
	seeds := allSeeds
	if testing.Short() {
		seeds = shortSeeds
	}
	first, last := number(t, "FIRST", 1), number(t, "SEEDS", seeds)
	if one := number(t, "SEED", 0); one > 0 {
		first, last = one, one
	}
	part, parts := 1, 1
	if text := os.Getenv("PART"); text != "" {
		if _, err := fmt.Sscanf(text, "%d/%d", &part, &parts); err != nil || part < 1 || part > parts {
			t.Fatalf("PART: want a part like 1/2, not %q", text)
		}
	}
	for seed, failed := first+part-1, 0; seed <= last && failed < enough; seed += parts {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newRun(t, uint64(seed))
			r.drive()
			r.check()
			if t.Failed() {
				failed++
				t.Logf("replay it: SEED=%d make sim", seed)
			}
			if first == last {
				t.Log("\n" + strings.Join(r.trace, "\n"))
			}
		})
	}
}

// TestReplay: a seed always gives the same run, call by call.
func TestReplay(t *testing.T) {
	for seed := range uint64(replays) {
		var traces [2][]string
		for i := range traces {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				r := newRun(t, seed)
				r.drive()
				traces[i] = r.trace
			})
		}
		if !slices.Equal(traces[0], traces[1]) {
			t.Errorf("seed %d gives two runs, which differ at %s", seed, difference(traces[0], traces[1]))
		}
	}
}

// difference is where two traces part.
func difference(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("the end: %d and %d lines", len(a), len(b))
}

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(otherwise)))
	if err != nil || n < 0 {
		t.Fatalf("%s: want a number, not %q", name, os.Getenv(name))
	}
	return n
}
