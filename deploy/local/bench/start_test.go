package bench_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// starts is how often each binary is started; odd, so that the median is one of the times.
const starts = 101

// slowStart is how long a binary may take until it counts as broken.
const slowStart = 10 * time.Second

// BenchmarkStart measures from exec to the first poll of the Runtime API, which is the part of a cold start that the binary
// answers for. The floor is a function that does nothing on the same SDK. The binaries are started in turn, all from the page cache, in
// another order each time: a start after the end of a larger process takes longer.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	names := []string{"hello", "accept", "provision", "notify", "janitor"}
	binaries := make([]string, len(names))
	for i, name := range names {
		folder := "functions/" + name + "/main"
		if i == 0 {
			folder = "deploy/local/bench/testdata/hello"
		}
		binaries[i] = unpacked(b, build(b, dir, folder))
	}
	p := newPolls(b)
	for b.Loop() {
		times := make([][]time.Duration, len(binaries))
		for round := range 1 + starts {
			for _, i := range rand.Perm(len(binaries)) {
				took := p.start(b, binaries[i])
				if round > 0 { // the first one warms the page cache
					times[i] = append(times[i], took)
				}
			}
		}
		hello := median(times[0])
		numbers := []measured{number("hello-ms", milliseconds(hello))}
		for i, name := range names[1:] {
			took := median(times[i+1])
			numbers = append(numbers, number(name+"-ms", milliseconds(took)), atMost(name+"/hello", over(took, hello), 1.5))
		}
		report(b, numbers...)
	}
}

// unpacked writes a binary as an archive is unpacked, from beginning to end. The linker writes here and there, and what it leaves in the
// page cache takes up to a tenth longer to start, each time another.
func unpacked(b *testing.B, path string) string {
	b.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	copied := path + ".unpacked"
	if err := os.WriteFile(copied, content, 0o700); err != nil {
		b.Fatal(err)
	}
	return copied
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// polls is a Runtime API that never has an event and tells when it was asked for one.
type polls struct {
	address string
	asked   chan time.Time
}

func newPolls(b *testing.B) *polls {
	b.Helper()
	p := &polls{asked: make(chan time.Time)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2020-11-11/runtime/invocation/next", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case p.asked <- time.Now():
			<-r.Context().Done()
		case <-r.Context().Done():
		}
	})
	server := httptest.NewServer(mux)
	b.Cleanup(server.Close)
	p.address = server.Listener.Addr().String()
	return p
}

// start runs a binary until it asks for an event and returns how long that took.
func (p *polls) start(b *testing.B, binary string) time.Duration {
	b.Helper()
	cmd := exec.Command(binary)
	cmd.Env = []string{
		"FC_RUNTIME_API=" + p.address, "ROUTINELY_MNS_ENDPOINT=http://123456.mns.cn-hangzhou.aliyuncs.com", "ROUTINELY_AUTH=none", "ROUTINELY_DELETE=requested",
		"ROUTINELY_TABLESTORE_ENDPOINT=http://routinely.cn-hangzhou.ots-internal.aliyuncs.com", "ROUTINELY_CALLBACK_SECRETS=whsec_52Ang2KJ7PeQ4uxVU3Koh3XNq42pqplcm3gQU3HhIDs=",
		"ROUTINELY_MESSAGE_KEYS=k1:FWO53Vz28vHgPtMv60t0NhOruFJ04yM-b8NXhpp-bdY",
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	late := time.NewTimer(slowStart)
	defer late.Stop()
	select {
	case asked := <-p.asked:
		return asked.Sub(began)
	case <-late.C:
		b.Fatalf("%s did not ask for an event within %s", binary, slowStart)
		return 0
	}
}
