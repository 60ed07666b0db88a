package localtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Edge is what host names below SiteName lead to, for programs that it gives its environment: an HTTP proxy, behind which a server has a certificate
// of an authority of its own. It resolves no other name. Close must follow.
type Edge struct {
	// Environ are the variables that lead a program to it, as NAME=value pairs.
	Environ []string

	proxy, server *httptest.Server
}

// NewEdge starts an edge whose answers handler makes. dir takes the certificate of its authority.
func NewEdge(dir string, handler http.Handler) (*Edge, error) {
	certificate, err := edgeCertificate()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "authority.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}), 0o600); err != nil {
		return nil, err
	}
	tunnels := &tunnels{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close() // connections come through the proxy alone
	server.Listener = tunnels
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that clients break off
	server.StartTLS()
	proxy := httptest.NewServer(tunnels)
	return &Edge{
		Environ: []string{"HTTPS_PROXY=" + proxy.URL, "SSL_CERT_FILE=" + file, "SSL_CERT_DIR=" + dir}, proxy: proxy, server: server,
	}, nil
}

// Close ends all connections.
func (e *Edge) Close() {
	e.proxy.Close()
	e.server.Close()
}

// edgeCertificate makes a certificate for the names below SiteName, which is its own authority.
func edgeCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"*." + SiteName}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// tunnels are the connections that clients open with CONNECT, as a listener.
type tunnels struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// ServeHTTP opens a tunnel to port 443 of a name below SiteName.
func (l *tunnels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	if r.Method != http.MethodConnect || err != nil || port != "443" || !strings.HasSuffix(host, "."+SiteName) {
		http.Error(w, "no such host", http.StatusBadGateway)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = conn.Close()
		return
	}
	select {
	case l.conns <- conn:
	case <-l.closed:
		_ = conn.Close()
	}
}

// Accept returns the next tunnel.
func (l *tunnels) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *tunnels) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is no real address: nobody can connect to it.
func (l *tunnels) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }
