package mnsemu_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
)

const (
	account   = "123456"
	accessKey = "test-access-key"
	secretKey = "test-secret-key"
	// host is shaped like the cloud's, since the Go SDK takes no other.
	host = account + ".mns.cn-local.aliyuncs.com"
)

func TestMain(m *testing.M) {
	// The Go SDK's HTTP client keeps goroutines for its idle connections for some seconds and has no way to stop them.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*TCPDialer).tcpAddrsClean"))
}

// emulator is a server behind a real socket whose time the test moves.
type emulator struct {
	*mnsemu.Server
	t        testing.TB
	dir, url string
	clock    *clock.Manual
	http     *http.Transport
	// stop ends it early, as a clean exit does.
	stop func()
}

// start runs a calm server on its own directory. edits change the configuration.
func start(t testing.TB, edits ...func(*mnsemu.Config)) *emulator {
	t.Helper()
	config := mnsemu.Config{
		AccountID: account, AccessKeyID: accessKey, AccessKeySecret: secretKey, Dir: t.TempDir(), NoSync: true, Calm: true,
		Clock: clock.NewManual(time.Now().Truncate(time.Millisecond)),
	}
	for _, edit := range edits {
		edit(&config)
	}
	server, err := mnsemu.New(config)
	check(t, err)
	listener := httptest.NewServer(server)
	e := &emulator{Server: server, t: t, dir: config.Dir, url: listener.URL, http: &http.Transport{}}
	e.clock, _ = config.Clock.(*clock.Manual)
	e.stop = sync.OnceFunc(func() {
		server.Stop()
		e.http.CloseIdleConnections()
		listener.Close()
		check(t, server.Close())
	})
	t.Cleanup(e.stop)
	return e
}

// disorderly makes a server receive as the real one does.
func disorderly(seed uint64) func(*mnsemu.Config) {
	return func(c *mnsemu.Config) { c.Calm, c.Seed = false, seed }
}

// on makes a server use a directory and a clock.
func on(dir string, now *clock.Manual) func(*mnsemu.Config) {
	return func(c *mnsemu.Config) { c.Dir, c.Clock = dir, now }
}

// killed starts another server with a copy of the file, as a sudden end of this one would leave it. The last call before it must be one that
// waits for the disk, so that the file is not being written while it is copied.
func (e *emulator) killed() *emulator {
	e.t.Helper()
	image, err := os.ReadFile(filepath.Join(e.dir, "mns.db"))
	check(e.t, err)
	dir := e.t.TempDir()
	check(e.t, os.WriteFile(filepath.Join(dir, "mns.db"), image, 0o600))
	return start(e.t, on(dir, e.clock))
}

// loopback sends the SDK's requests to an address whatever host they name.
type loopback struct {
	address string
	mu      sync.Mutex
}

func (l *loopback) RoundTrip(hc *fasthttp.HostClient, request *fasthttp.Request, response *fasthttp.Response) (bool, error) {
	l.mu.Lock()
	if hc.Dial == nil {
		hc.Dial = func(string) (net.Conn, error) { return net.Dial("tcp", l.address) }
	}
	l.mu.Unlock()
	return fasthttp.DefaultTransport.RoundTrip(hc, request, response)
}

// client is the Go SDK's client for the server.
func (e *emulator) client() mns.MNSClient {
	client := mns.NewAliMNSClientWithConfig(mns.AliMNSClientConfig{
		EndPoint: "http://" + host, AccessKeyId: accessKey, AccessKeySecret: secretKey, TimeoutSecond: 35,
	})
	client.SetTransport(&loopback{address: strings.TrimPrefix(e.url, "http://")})
	return client
}

// queue is one of the SDK's queues. Its calls return the service's code of an error, empty for none.
type queue struct {
	mns.AliMNSQueue
	e *emulator
}

// queue creates a queue with the SDK and returns it.
func (e *emulator) queue(name string, options ...mns.QueueOption) queue {
	e.t.Helper()
	check(e.t, mns.NewMNSQueueManager(e.client()).CreateQueueWithOptions(name, options...))
	return e.open(name)
}

// open returns a queue that exists. It is not safe for concurrent use.
func (e *emulator) open(name string) queue {
	return queue{mns.NewMNSQueue(name, e.client(), 1<<30), e}
}

// send sends a message with the default priority and a delay in seconds.
func (q queue) send(body string, delay int64) mns.MessageSendResponse {
	q.e.t.Helper()
	return q.post(mns.MessageSendRequest{MessageBody: body, Priority: 8, DelaySeconds: delay})
}

// post sends a message as it is.
func (q queue) post(m mns.MessageSendRequest) mns.MessageSendResponse {
	q.e.t.Helper()
	sent, err := q.SendMessage(m)
	check(q.e.t, err)
	return sent
}

// receive takes a message, waiting for the given seconds if there are any.
func (q queue) receive(wait ...int64) (mns.MessageReceiveResponse, string) {
	return outcome(func(got chan mns.MessageReceiveResponse, failed chan error) { q.ReceiveMessage(got, failed, wait...) })
}

func (q queue) peek() (mns.MessageReceiveResponse, string) { return outcome(q.PeekMessage) }

// batch takes up to n messages.
func (q queue) batch(n int32, wait ...int64) ([]mns.MessageReceiveResponse, string) {
	got, code := outcome(func(got chan mns.BatchMessageReceiveResponse, failed chan error) {
		q.BatchReceiveMessage(got, failed, n, wait...)
	})
	return got.Messages, code
}

// must receives a message that has to be there.
func (q queue) must() mns.MessageReceiveResponse {
	q.e.t.Helper()
	m, code := q.receive()
	if code != "" {
		q.e.t.Fatal(code)
	}
	return m
}

// polled is how a long poll ended.
type polled struct {
	messages []mns.MessageReceiveResponse
	code     string
}

// poll begins a batch receive that waits, and returns where its result will be once it does wait.
func (q queue) poll(wait ...int64) chan polled {
	q.e.t.Helper()
	waiting := q.e.counts(q.Name())[3]
	done := make(chan polled, 1)
	another := q.e.open(q.Name())
	go func() {
		messages, code := another.batch(16, wait...)
		done <- polled{messages, code}
	}()
	for len(done) == 0 && q.e.counts(q.Name())[3] == waiting {
		runtime.Gosched()
	}
	return done
}

// outcome is what a call of the SDK sends to one of two channels.
func outcome[T any](call func(chan T, chan error)) (T, string) {
	got, failed := make(chan T, 1), make(chan error, 1)
	call(got, failed)
	select {
	case v := <-got:
		return v, ""
	case err := <-failed:
		var none T
		return none, code(err)
	}
}

// code is the service's code in an error of the SDK, or the whole text of an error that is the SDK's own.
func code(err error) string {
	if err == nil {
		return ""
	}
	if _, rest, found := strings.Cut(err.Error(), "code: "); found {
		code, _, _ := strings.Cut(rest, ",")
		return code
	}
	return err.Error()
}

func bodies(messages []mns.MessageReceiveResponse) []string {
	list := []string{}
	for _, m := range messages {
		list = append(list, m.MessageBody)
	}
	return list
}

// check ends a test on an error.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same reports how two values differ.
func same(t testing.TB, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// result is an answer as it came.
type result struct {
	status int
	header http.Header
	body   string
}

// text is what stands between the first tags of that name.
func (r result) text(tag string) string {
	_, rest, _ := strings.Cut(r.body, "<"+tag+">")
	value, _, _ := strings.Cut(rest, "</"+tag+">")
	return value
}

// do sends a request written by hand. header are names and values that replace what a correct client sends; an empty value removes it.
func (e *emulator) do(method, target, body string, header ...string) result {
	e.t.Helper()
	request, err := http.NewRequest(method, e.url, strings.NewReader(body))
	check(e.t, err)
	path, query, _ := strings.Cut(target, "?")
	request.URL.Opaque, request.URL.RawQuery, request.Host = path, query, host
	complete(request.Header, method, target, header...)
	if own := request.Header.Get("Host"); own != "" {
		request.Host = own
	}
	response, err := e.http.RoundTrip(request)
	check(e.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	check(e.t, err)
	return result{response.StatusCode, response.Header, string(text)}
}

// complete adds the headers that every request needs to those that are given, the signature last.
func complete(h http.Header, method, target string, header ...string) {
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("X-Mns-Version", "2015-06-06")
	h.Set("Authorization", "to be signed")
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
		if header[i+1] == "" {
			h.Del(header[i])
		}
	}
	if h.Get("Authorization") == "to be signed" {
		h.Set("Authorization", "MNS "+accessKey+":"+mnsclient.Sign(secretKey, method, target, h))
	}
}

// local calls /_local/, decodes the answer and returns the status.
func (e *emulator) local(method, path, body string, into any) int {
	e.t.Helper()
	r := e.do(method, "/_local"+path, body)
	if into != nil {
		check(e.t, json.Unmarshal([]byte(r.body), into))
	}
	return r.status
}

type storedMessage struct {
	ID, Body, State              string
	DequeueCount                 int
	EnqueueTime, NextVisibleTime int64
	SystemProperties             []struct{ Name, Value string }
}

// messages are a queue's, as /_local/ shows them.
func (e *emulator) messages(queue string) (out []storedMessage) {
	e.t.Helper()
	e.local("GET", "/queues/"+queue+"/messages", "", &out)
	return out
}

// stored are the bodies of a queue's messages.
func (e *emulator) stored(queue string) []string {
	e.t.Helper()
	list := []string{}
	for _, m := range e.messages(queue) {
		list = append(list, m.Body)
	}
	return list
}

// counts are a queue's active, inactive and delayed messages and the long polls on it.
func (e *emulator) counts(queue string) [4]int {
	e.t.Helper()
	var views []struct {
		Name                                                       string
		ActiveMessages, InactiveMessages, DelayMessages, LongPolls int
	}
	e.local("GET", "/queues", "", &views)
	for _, v := range views {
		if v.Name == queue {
			return [4]int{v.ActiveMessages, v.InactiveMessages, v.DelayMessages, v.LongPolls}
		}
	}
	e.t.Fatalf("there is no queue %s", queue)
	return [4]int{}
}
