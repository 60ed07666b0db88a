package verify_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hostName is the name that the certificate of an edge is for, and that its DNS resolves.
const hostName = "pr-7.example.com"

// edge is a server with a certificate of its own authority, and a DNS server that leads to it.
type edge struct {
	roots    *x509.CertPool
	port     string
	resolver *net.Resolver

	mu    sync.Mutex
	calls int
	from  []string
}

// newEdge starts one, whose answers are made by answer, which is told how many calls there were before.
func newEdge(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, before int)) *edge {
	t.Helper()
	e := &edge{resolver: resolver(t)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		before := e.calls
		e.calls++
		e.from = append(e.from, r.RemoteAddr)
		e.mu.Unlock()
		if r.Method != http.MethodGet || r.Host != hostName || r.URL.Path != "/" || r.UserAgent() != "test" {
			t.Errorf("%s https://%s%s by %s", r.Method, r.Host, r.URL, r.UserAgent())
		}
		answer(w, r, before)
	}))
	var certificate tls.Certificate
	certificate, e.roots = newCertificate(t, hostName)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that clients break off
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	e.port = port
	return e
}

// dial leads connections to port 443 of a name to the edge, if DNS resolves the name.
func (e *edge) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port != "443" {
		return nil, &net.AddrError{Err: "want port 443", Addr: address}
	}
	return (&net.Dialer{Resolver: e.resolver}).DialContext(ctx, network, net.JoinHostPort(host, e.port))
}

// newCertificate makes a certificate for names, and the pool of the authority that has issued it.
func newCertificate(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(made)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// resolver asks a DNS server that knows hostName and other.example.com alone, both at this machine, and refuses every other name as not existing.
func resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var asked dnsmessage.Message
			if asked.Unpack(buffer[:n]) != nil || len(asked.Questions) != 1 {
				continue
			}
			reply, err := resolve(asked)
			if err == nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		wg.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func resolve(asked dnsmessage.Message) ([]byte, error) {
	question := asked.Questions[0]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: asked.ID, Response: true, RecursionDesired: true, RecursionAvailable: true, RCode: dnsmessage.RCodeNameError},
		Questions: asked.Questions,
	}
	if name := question.Name.String(); name == hostName+"." || name == "other.example.com." {
		reply.RCode = dnsmessage.RCodeSuccess
		if question.Type == dnsmessage.TypeA {
			reply.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
	}
	return reply.Pack()
}
