package mnsemu_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/gogap/errors"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"routinely/deploy/local/clock"
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
	url   string
	clock *clock.Manual
	http  *http.Transport
	// stop ends it early, as a clean exit does.
	stop func()
}

// start runs a calm server on its own directory. edit may change the configuration.
func start(t testing.TB, edit func(*mnsemu.Config)) *emulator {
	t.Helper()
	config := mnsemu.Config{
		AccountID: account, AccessKeyID: accessKey, AccessKeySecret: secretKey, Dir: t.TempDir(), NoSync: true, Calm: true,
		Clock: clock.NewManual(time.Now().Truncate(time.Millisecond)),
	}
	if edit != nil {
		edit(&config)
	}
	server, err := mnsemu.New(config)
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(server)
	e := &emulator{Server: server, url: listener.URL, http: &http.Transport{}}
	e.clock, _ = config.Clock.(*clock.Manual)
	e.stop = sync.OnceFunc(func() {
		server.Stop()
		e.http.CloseIdleConnections()
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(e.stop)
	return e
}

// loopback sends the SDK's requests to the server whatever host they name.
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
func (e *emulator) client() mns.MNSClient { return e.clientWith(accessKey, secretKey) }

func (e *emulator) clientWith(id, secret string) mns.MNSClient {
	client := mns.NewAliMNSClientWithConfig(mns.AliMNSClientConfig{
		EndPoint: "http://" + host, AccessKeyId: id, AccessKeySecret: secret, TimeoutSecond: 35,
	})
	client.SetTransport(&loopback{address: strings.TrimPrefix(e.url, "http://")})
	return client
}

// queue creates a queue with the SDK and returns it.
func (e *emulator) queue(t testing.TB, name string, options ...mns.QueueOption) mns.AliMNSQueue {
	t.Helper()
	client := e.client()
	if err := mns.NewMNSQueueManager(client).CreateQueueWithOptions(name, options...); err != nil {
		t.Fatal(err)
	}
	return mns.NewMNSQueue(name, client, 1<<30)
}

// messages are a queue's, as /_local/ shows them.
func (e *emulator) messages(t testing.TB, queue string) []storedMessage {
	t.Helper()
	var out []storedMessage
	e.local(t, "GET", "/queues/"+queue+"/messages", "", &out)
	return out
}

type storedMessage struct {
	ID, Body, State              string
	DequeueCount                 int
	EnqueueTime, NextVisibleTime int64
	SystemProperties             []struct{ Name, Value, Type string }
}

// counts are a queue's active, inactive and delayed messages and the long polls on it.
func (e *emulator) counts(t testing.TB, queue string) [4]int {
	t.Helper()
	var views []struct {
		Name                                                       string
		ActiveMessages, InactiveMessages, DelayMessages, LongPolls int
	}
	e.local(t, "GET", "/queues", "", &views)
	for _, v := range views {
		if v.Name == queue {
			return [4]int{v.ActiveMessages, v.InactiveMessages, v.DelayMessages, v.LongPolls}
		}
	}
	t.Fatalf("there is no queue %s", queue)
	return [4]int{}
}

// awaitPolls returns when n long polls wait on a queue.
func (e *emulator) awaitPolls(t testing.TB, queue string, n int) {
	t.Helper()
	for e.counts(t, queue)[3] != n {
		runtime.Gosched()
	}
}

// receive is one ReceiveMessage of the SDK, waiting for the given seconds if there are any.
func receive(q mns.AliMNSQueue, wait ...int64) (mns.MessageReceiveResponse, error) {
	got, failed := make(chan mns.MessageReceiveResponse, 1), make(chan error, 1)
	q.ReceiveMessage(got, failed, wait...)
	select {
	case m := <-got:
		return m, nil
	case err := <-failed:
		return mns.MessageReceiveResponse{}, err
	}
}

func peek(q mns.AliMNSQueue) (mns.MessageReceiveResponse, error) {
	got, failed := make(chan mns.MessageReceiveResponse, 1), make(chan error, 1)
	q.PeekMessage(got, failed)
	select {
	case m := <-got:
		return m, nil
	case err := <-failed:
		return mns.MessageReceiveResponse{}, err
	}
}

func batchReceive(q mns.AliMNSQueue, n int32, wait ...int64) ([]mns.MessageReceiveResponse, error) {
	got, failed := make(chan mns.BatchMessageReceiveResponse, 1), make(chan error, 1)
	q.BatchReceiveMessage(got, failed, n, wait...)
	select {
	case m := <-got:
		return m.Messages, nil
	case err := <-failed:
		return nil, err
	}
}

func mustReceive(t testing.TB, q mns.AliMNSQueue) mns.MessageReceiveResponse {
	t.Helper()
	m, err := receive(q)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func send(t testing.TB, q mns.AliMNSQueue, body string) mns.MessageSendResponse {
	t.Helper()
	sent, err := q.SendMessage(mns.MessageSendRequest{MessageBody: body, Priority: 8})
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

// errorCode is the SDK's number of an error, 0 for none.
func errorCode(err error) uint64 {
	if code, ok := err.(errors.ErrCode); ok {
		return code.Code()
	}
	return 0
}

// Numbers the Go SDK gives to the service's codes.
const (
	codeMessageNotExist    = 115
	codeQueueAlreadyExist  = 116
	codeQueueNotExist      = 122
	codeReceiptHandleError = 123
	codeEqualExists        = 133
	codeBatchFailed        = 136
)

// raw is a request written by hand; the zero value of a field means what a correct client sends.
type raw struct {
	method, target, body string
	// header is added, or replaces what is there; an empty value removes it.
	header map[string]string
	host   string
	// id and secret sign the request, unless it is unsigned.
	id, secret string
	unsigned   bool
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

// do signs and sends a request.
func (e *emulator) do(t testing.TB, r raw) result {
	t.Helper()
	request, err := http.NewRequest(r.method, e.url, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	path, query, _ := strings.Cut(r.target, "?")
	request.URL.Opaque, request.URL.RawQuery = path, query
	request.Host = r.host
	if r.host == "" {
		request.Host = host
	}
	request.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	request.Header.Set("X-Mns-Version", "2015-06-06")
	for name, value := range r.header {
		request.Header.Set(name, value)
		if value == "" {
			request.Header.Del(name)
		}
	}
	if !r.unsigned {
		request.Header.Set("Authorization", sign(request, r.target, r.id, r.secret))
	}
	response, err := e.http.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return result{response.StatusCode, response.Header, string(body)}
}

// sign is the V2 signature written again from the documents.
func sign(r *http.Request, target, id, secret string) string {
	if id == "" {
		id = accessKey
	}
	if secret == "" {
		secret = secretKey
	}
	date := r.Header.Get("X-Mns-Date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	var own []string
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-mns-") {
			own = append(own, lower+":"+r.Header.Get(name)+"\n")
		}
	}
	slices.Sort(own)
	mac := hmac.New(sha1.New, []byte(secret))
	io.WriteString(mac, r.Method+"\n"+r.Header.Get("Content-Md5")+"\n"+r.Header.Get("Content-Type")+"\n"+date+"\n"+strings.Join(own, "")+target)
	return "MNS " + id + ":" + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// local calls /_local/ and decodes the answer.
func (e *emulator) local(t testing.TB, method, path, body string, into any) int {
	t.Helper()
	request, err := http.NewRequest(method, e.url+"/_local"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	response, err := e.http.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if into != nil {
		if err := json.NewDecoder(response.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	return response.StatusCode
}

// hangUp is a loopback that can drop its connections and then reaches nothing.
type hangUp struct {
	address string
	mu      sync.Mutex
	open    []net.Conn
	gone    bool
}

func (h *hangUp) RoundTrip(hc *fasthttp.HostClient, request *fasthttp.Request, response *fasthttp.Response) (bool, error) {
	h.mu.Lock()
	hc.Dial = func(string) (net.Conn, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.gone {
			return nil, net.ErrClosed
		}
		connection, err := net.Dial("tcp", h.address)
		h.open = append(h.open, connection)
		return connection, err
	}
	h.mu.Unlock()
	return fasthttp.DefaultTransport.RoundTrip(hc, request, response)
}

func (h *hangUp) hangUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = true
	for _, connection := range h.open {
		_ = connection.Close()
	}
}
