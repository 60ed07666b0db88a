package bench_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// root is the module's folder.
const root = "../../.."

// build compiles a command as it is deployed, but for the machine the benchmark runs on, and returns the binary's path.
func build(b *testing.B, dir, folder string) string {
	b.Helper()
	path := filepath.Join(dir, filepath.Base(strings.TrimSuffix(folder, "/main")))
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", path, "./"+folder)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build %s: %v\n%s", folder, err, output)
	}
	return path
}

// measured is one number of a benchmark.
type measured struct {
	unit  string
	value float64
	// target is empty for a number that is there for context only.
	target string
	met    bool
}

func number(unit string, value float64) measured { return measured{unit: unit, value: value} }

func atMost(unit string, value, limit float64) measured {
	return measured{unit, value, fmt.Sprintf("<= %g", limit), value <= limit}
}

func atLeast(unit string, value, limit float64) measured {
	return measured{unit, value, fmt.Sprintf(">= %g", limit), value >= limit}
}

func below(unit string, value, limit float64) measured {
	return measured{unit, value, fmt.Sprintf("< %g", limit), value < limit}
}

func exactly(unit string, value, want float64) measured {
	return measured{unit, value, fmt.Sprintf("= %g", want), value == want}
}

// report hands the numbers to the benchmark's result line and prints those with a target beside it. A missed target is
// marked and no failure: timings depend on the machine.
func report(b *testing.B, numbers ...measured) {
	b.Helper()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, m := range numbers {
		b.ReportMetric(m.value, m.unit)
		switch {
		case m.target == "":
		case m.met:
			fmt.Fprintf(w, "\n%s\t%.4g\t%s", m.unit, m.value, m.target)
		default:
			fmt.Fprintf(w, "\n%s\t%.4g\t%s MISSED", m.unit, m.value, m.target)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	// The time of one whole experiment says nothing that the numbers above do not.
	b.ReportMetric(0, "ns/op")
	b.Log(table.String())
}
