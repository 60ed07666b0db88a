package callback_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

const (
	secret      = "whsec_tFMzZSys7cuH9h6FzJvJ1KqNGcmrqHAgs9C0bBqyyRg="
	olderSecret = "whsec_ESukIUFAyABaL3SkyRCXUA/YawMZJ16G3Mcq1O6dY9Q="
	// published is the secret of the reference libraries' tests, which everybody knows.
	published = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	// The standard library reads this once in a process, before its first request.
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// thisMachine is the policy that lets callbacks reach the servers of the tests.
func thisMachine() callback.Policy {
	return callback.Policy{AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

// localConfig is that of a sender that can reach the servers of the tests.
func localConfig() callback.Config { return callback.Config{Policy: thisMachine()} }

func newSender(t testing.TB, cfg callback.Config) *callback.Sender {
	t.Helper()
	if cfg.Secrets == nil {
		cfg.Secrets = []string{secret}
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return now }
	}
	s, err := callback.New(cfg)
	must(t, err)
	return s
}

// secretOf is the secret of a caller's receiver.
func secretOf(t testing.TB, secret, caller string) string {
	t.Helper()
	its, err := callback.SecretOf(secret, caller)
	must(t, err)
	return its
}

func job() routine.Job {
	return routine.Job{
		ID: "01a1ff34-5180-7e86-8ecb-eb5dec3b375b", State: routine.Succeeded, Ready: true, AcceptedAt: now.Add(-time.Minute),
		UpdatedAt: now.Add(-time.Second), Attempt: 1,
		Request: routine.Request{Name: "hello", Records: []routine.Record{{SiteID: 54362329990032, RecordName: "hello.example.com"}}},
		Result:  &routine.Result{Routine: routine.Created, Record: routine.Created, RecordID: 3227405728754049},
	}
}

func newEvent(t testing.TB, job routine.Job) callback.Event {
	t.Helper()
	e, err := callback.NewEvent(job)
	must(t, err)
	return e
}

// received is one request that a receiver got.
type received struct {
	method, uri, host string
	header            http.Header
	body              []byte
}

// receiver is a TLS server that keeps what it gets. Its certificate is for 127.0.0.1 and example.com.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []received
}

// newReceiver answers with the handler, or 204 if that is nil.
func newReceiver(t testing.TB, handler http.HandlerFunc) *receiver {
	t.Helper()
	return newReceiverTLS(t, handler, &tls.Config{})
}

func newReceiverTLS(t testing.TB, handler http.HandlerFunc, config *tls.Config) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.got = append(r.got, received{req.Method, req.RequestURI, req.Host, req.Header, body})
		r.mu.Unlock()
		if handler == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		handler(w, req)
	}))
	r.TLS, r.Config.ErrorLog = config, log.New(io.Discard, "", 0)
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) requests() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

func (r *receiver) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(r.Certificate())
	return pool
}

func (r *receiver) port() string {
	_, port, _ := net.SplitHostPort(r.Listener.Addr().String())
	return port
}

// sender reaches the receiver by its address.
func (r *receiver) sender(t testing.TB) *callback.Sender {
	t.Helper()
	return r.senderOf(t, &names{})
}

// senderOf reaches the receiver by names too.
func (r *receiver) senderOf(t testing.TB, dns *names) *callback.Sender {
	t.Helper()
	return newSender(t, callback.Config{Policy: thisMachine(), RootCAs: r.roots(), Resolver: dns})
}

// names answers look-ups with one list of addresses after the other, the last of them for ever, or with the error.
type names struct {
	answers [][]string
	err     error
	asked   []string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.asked = append(n.asked, host)
	if n.err != nil {
		return nil, n.err
	}
	answer := n.answers[0]
	if len(n.answers) > 1 {
		n.answers = n.answers[1:]
	}
	var out []netip.Addr
	for _, text := range answer {
		out = append(out, netip.MustParseAddr(text))
	}
	return out, nil
}

// listen opens a port of this machine for the test.
func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// rawServer serves each connection with the function, which gets it after the request's head and body were read.
func rawServer(t testing.TB, serve func(net.Conn)) (url string) {
	t.Helper()
	listener := listen(t)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err == nil {
					_, err = io.Copy(io.Discard, req.Body)
				}
				if err == nil {
					serve(conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return "http://" + listener.Addr().String() + "/hook"
}

// failed checks the kind and the code of an error, and what every fault of the package promises.
func failed(t *testing.T, err error, kind fault.Kind, code string) *fault.Error {
	t.Helper()
	got := fault.From(err)
	if got == nil || got.Kind != kind || got.Code != code || got.Step != callback.Step || got.Hint == "" {
		t.Fatalf("got %+v, want a fault of kind %s with code %s, step and hint", got, kind, code)
	}
	if len(got.Message) > 600 || strings.ContainsFunc(got.Message, func(r rune) bool { return r < ' ' }) {
		t.Fatalf("a message that is not fit for a log: %q", got.Message)
	}
	return got
}

// posts sends the event of the test's job, which must be taken.
func posts(t *testing.T, s *callback.Sender, url string) {
	t.Helper()
	must(t, s.Post(t.Context(), url, newEvent(t, job())))
}

// fails sends the event of the test's job, which must fail so.
func fails(t *testing.T, s *callback.Sender, url string, kind fault.Kind, code string) *fault.Error {
	t.Helper()
	return failed(t, s.Post(t.Context(), url, newEvent(t, job())), kind, code)
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s; -want +got:\n%s", what, diff)
	}
}

// untilClosed waits for the far side to hang up.
func untilClosed(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
