package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/functions/accept"
	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// memoryCases are what others may send, with the most memory in MB that the process of the function may ever have had by then.
func memoryCases() []memoryCase {
	const mib = 1 << 20
	post := func(path, body string) []byte { return encode(httpEvent("POST", path, body)) }
	item := func(n, size int) string {
		text := fmt.Sprintf(`{"name":"pr-%d","siteId":7,"recordName":"pr-%d.example.com","description":""}`, n, n)
		return strings.Replace(text, `""`, `"`+strings.Repeat("d", size-len(text))+`"`, 1)
	}
	batch := func(item func(n int) string) string {
		items := make([]string, api.MaxBatch)
		for n := range items {
			items[n] = item(n)
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	const itemSize = api.MaxBatchBytes/api.MaxBatch - 1
	mistaken := batch(func(int) string {
		const mistakes = 50
		members := make([]string, mistakes)
		for n := range members {
			members[n] = fmt.Sprintf("%q:1", strings.Repeat("m", itemSize/mistakes-7)+fmt.Sprintf("%02d", n))
		}
		return "{" + strings.Join(members, ",") + "}"
	})
	return []memoryCase{
		{"an event of 32 MiB", 96, send(post("/v1/routines:batch", strings.Repeat("x", 32*mib-300)), http.StatusRequestEntityTooLarge)},
		{"an event of 43 MiB, 32 in Base64", 160, send(encode(inBase64("/v1/routines:batch", 32*mib)), http.StatusRequestEntityTooLarge)},
		{"an event of 192 MiB, 32 in escapes", 160, send(post("/v1/routines:batch", strings.Repeat("<", 32*mib)), http.StatusRequestEntityTooLarge)},
		{"the longest body in escapes", 64, send(post("/v1/routines:batch", strings.Repeat("<", api.MaxBatchBytes)), http.StatusBadRequest)},
		{"a batch of 1,000 that is as long as it may be", 64, send(post("/v1/routines:batch", batch(func(n int) string { return item(n, itemSize) })), http.StatusAccepted)},
		{"a batch of 1,000 with 50 mistakes in each", 64, send(post("/v1/routines:batch", mistaken), http.StatusUnprocessableEntity)},
		{"all of these, one after the other", 64, func(t testing.TB, i *instance) {
			for range 3 {
				send(post("/v1/routines:batch", batch(func(n int) string { return item(n, itemSize) })), http.StatusAccepted)(t, i)
				send(post("/v1/routines:batch", mistaken), http.StatusUnprocessableEntity)(t, i)
				send(post("/v1/routines:batch", strings.Repeat("<", api.MaxBatchBytes)), http.StatusBadRequest)(t, i)
			}
		}},
		{"a batch of a million", 64, send(post("/v1/routines:batch", "["+strings.Repeat("1,", api.MaxBatchBytes/2-1)+"1]"), http.StatusRequestEntityTooLarge)},
		{"an object of 200,000 members", 64, send(post("/v1/routines:batch", `[{`+strings.Repeat(`"m":1,`, 200_000)+`"m":1}]`), http.StatusUnprocessableEntity)},
		{"64 requests at once", 64, func(t testing.TB, i *instance) {
			var calls sync.WaitGroup
			for n := range 64 {
				calls.Go(func() { send(post("/v1/routines", item(n, 39_000)), http.StatusAccepted)(t, i) })
			}
			calls.Wait()
		}},
		{"lists of the longest jobs", 64, func(t testing.TB, i *instance) {
			for n := range ledger.MaxPage {
				i.file(t, routine.Job{ID: strconv.Itoa(n), Caller: "x", Request: routine.Request{Description: new(strings.Repeat("<", 39_000))}})
			}
			for range 5 {
				for _, path := range []string{"/v1/jobs", "/v1/dead-letters"} {
					e := httpEvent("GET", path, "")
					e["queryParameters"] = map[string]string{"limit": strconv.Itoa(ledger.MaxPage)}
					send(encode(e), http.StatusOK)(t, i)
				}
				send(encode(httpEvent("GET", "/v1/dead-letters/1", "")), http.StatusOK)(t, i)
			}
		}},
	}
}

type memoryCase struct {
	name string
	most float64
	do   func(testing.TB, *instance)
}

// maxAnswer is the longest answer of the function, in bytes.
const maxAnswer = 4 << 20

// send makes a call whose answer must have the status and be no longer than any may be.
func send(event []byte, status int) func(testing.TB, *instance) {
	return func(t testing.TB, i *instance) {
		t.Helper()
		if got := i.call(t, event); got.StatusCode != status || len(got.Body) > maxAnswer {
			t.Errorf("status %d, want %d; %d bytes: %.300s", got.StatusCode, status, len(got.Body), got.Body)
		}
	}
}

func TestMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("this system has no /proc, which the memory of a process is read from")
	}
	binary := build(t)
	for _, test := range memoryCases() {
		t.Run(test.name, func(t *testing.T) {
			i := startInstance(t, binary)
			test.do(t, i)
			peak := i.peak(t)
			t.Logf("%.0f MB", peak)
			if peak > test.most {
				t.Errorf("%.0f MB, want at most %.0f", peak, test.most)
			}
		})
	}
}

// BenchmarkMemory prints how much memory the process of the function has had at most, in MB, after what others may send.
func BenchmarkMemory(b *testing.B) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		b.Skip("this system has no /proc, which the memory of a process is read from")
	}
	binary := build(b)
	for _, test := range memoryCases() {
		b.Run(test.name, func(b *testing.B) {
			for b.Loop() {
				i := startInstance(b, binary)
				test.do(b, i)
				missed := ""
				peak := i.peak(b)
				if peak > test.most {
					missed = " MISSED"
				}
				b.ReportMetric(peak, "MB")
				b.ReportMetric(0, "ns/op")
				b.Logf("\nMB  %.0f  <= %.0f%s", peak, test.most, missed)
				i.stop()
			}
		})
	}
}

func build(t testing.TB) (binary string) {
	t.Helper()
	dir, err := localtest.Build("functions/accept/main")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "accept")
}

// instance is a process of the function with a Runtime API of its own, which takes events of any size.
type instance struct {
	process *exec.Cmd
	api     *http.Server
	jobs    *ledger.Ledger
	events  chan []byte
	answers sync.Map // of channels, by request id
	ended   chan struct{}
	stop    func()
}

// startInstance starts a process of the function beside an MNS and a Tablestore.
func startInstance(t testing.TB, binary string) *instance {
	t.Helper()
	_, mnsURL := localtest.MNS(t, nil, "routinely-jobs")
	ots, otsURL := localtest.OTS(t, nil)
	for _, name := range []string{"routinely_jobs", "routinely_state"} {
		if err := ots.CreateTable(name, "p", "s"); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{
		events: make(chan []byte), ended: make(chan struct{}), process: exec.Command(binary),
		jobs: sim.Ledger(t, ledger.Config{Endpoint: otsURL, Table: "routinely_jobs", StateTable: "routinely_state"}),
	}
	i.api = &http.Server{Handler: http.HandlerFunc(i.serve), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- i.api.Serve(listener) }()
	i.process.Env = []string{
		"FC_RUNTIME_API=" + listener.Addr().String(), "ROUTINELY_AUTH=none", "ROUTINELY_DELETE=never", "ROUTINELY_MESSAGE_KEYS=" + sim.KeysText(sim.Key),
		"ROUTINELY_MNS_ENDPOINT=" + mnsURL, "ROUTINELY_TABLESTORE_ENDPOINT=" + otsURL, "ROUTINELY_TABLESTORE_INSTANCE=" + localtest.Instance,
		"ALIBABA_CLOUD_ACCESS_KEY_ID=" + localtest.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + localtest.AccessKeySecret,
	}
	if err := i.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(i.ended)
		_ = i.process.Wait()
	}()
	i.stop = sync.OnceFunc(func() {
		_ = i.process.Process.Kill()
		<-i.ended
		_ = i.api.Close()
		<-served
	})
	t.Cleanup(i.stop)
	return i
}

// serve is the Runtime API. (fc-runtime-go-sdk v0.3.1, fc/runtime_api_client.go.)
func (i *instance) serve(w http.ResponseWriter, r *http.Request) {
	const root = "/2020-11-11/runtime/invocation/"
	if r.URL.Path != root+"next" {
		id, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, root), "/")
		body, _ := io.ReadAll(r.Body)
		if waiting, found := i.answers.LoadAndDelete(id); found {
			waiting.(chan []byte) <- body
		}
		return
	}
	select {
	case event := <-i.events:
		id, body, _ := bytes.Cut(event, []byte(" "))
		w.Header().Set("x-fc-request-id", string(id))
		w.Header().Set("x-fc-function-timeout", "60")
		w.Header().Set("x-fc-function-deadline", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
		_, _ = w.Write(body)
	case <-r.Context().Done():
	}
}

// call has the process answer an event.
func (i *instance) call(t testing.TB, event []byte) (res accept.Response) {
	t.Helper()
	answer := make(chan []byte, 1)
	id := strconv.FormatInt(time.Now().UnixNano(), 36) + strconv.Itoa(len(event))
	for _, taken := i.answers.LoadOrStore(id, answer); taken; _, taken = i.answers.LoadOrStore(id, answer) {
		id += "x"
	}
	select {
	case i.events <- append([]byte(id+" "), event...):
	case <-i.ended:
		t.Fatal("the process has ended")
	}
	var text []byte
	select {
	case text = <-answer:
	case <-i.ended:
		t.Fatal("the process has ended with an event")
	}
	if err := json.Unmarshal(text, &res); err != nil {
		t.Errorf("%v: %.300s", err, text)
	}
	return res
}

// file puts a job into the ledger that was given up, with the longest message that there is.
func (i *instance) file(t testing.TB, job routine.Job) {
	t.Helper()
	job.AcceptedAt = time.Now()
	row := ledger.Unreadable(job, routine.Attempt{At: time.Now(), Kind: "invalid"}, "unreadable", ledger.Worker, nil, &routine.Received{
		Encoding: routine.TextEncoding, Body: strings.Repeat("<", 64<<10),
	})
	row.Request = job.Request
	if made := i.jobs.Create(t.Context(), row)[0]; made.Err != nil {
		t.Fatal(made.Err)
	}
}

// peak is the most memory that the process has had, in MB (VmHWM in proc_pid_status(5), in units of 1024 bytes).
func (i *instance) peak(t testing.TB) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	value, _, _ := strings.Cut(strings.TrimSpace(rest), " kB")
	kilobytes, err := strconv.ParseFloat(value, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes * 1024 / 1e6
}

// httpEvent is an event of the HTTP trigger.
func httpEvent(method, path, body string) map[string]any {
	return map[string]any{
		"version": "v1", "rawPath": path, "headers": map[string]string{"Content-Type": "application/json"}, "body": body,
		"requestContext": map[string]any{"http": map[string]string{"method": method, "path": path, "sourceIp": "192.0.2.1"}},
	}
}

// inBase64 is an event with a body of so many bytes.
func inBase64(path string, size int) map[string]any {
	e := httpEvent("POST", path, base64.StdEncoding.EncodeToString(make([]byte, size)))
	e["isBase64Encoded"] = true
	return e
}

func encode(event map[string]any) []byte {
	text, _ := json.Marshal(event) // texts alone
	return text
}
