package callback

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const (
	// connectTime bounds look-up, dialling and TLS together, dialTime the dialling of one address.
	connectTime = 10 * time.Second
	dialTime    = 3 * time.Second
	// maxDials bounds how many addresses of a name are tried. The name's owner says how many there are.
	maxDials = 3
)

// notAllowed says what an address is that callbacks may not go to. The address itself is not told: the names of inner networks
// shall not be looked up through callbacks.
type notAllowed string

func (e notAllowed) Error() string { return "callbacks may not go to " + string(e) }

// errNoAddress is what a name without addresses comes to.
var errNoAddress = errors.New("the name has no address")

// connect makes a connection to an address that the policy allows, with TLS if the URL has it.
func (s *Sender) connect(ctx context.Context, to target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	addrs, err := s.lookup(ctx, to)
	if err != nil {
		return nil, err
	}
	conn, err := s.dial(ctx, addrs, to.port)
	if err != nil || to.url.Scheme == "http" {
		return conn, err
	}
	secure := tls.Client(conn, &tls.Config{ServerName: to.host, RootCAs: s.roots, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// lookup returns the addresses of the host. One forbidden address refuses the name: misconfiguration or DNS
// rebinding.
func (s *Sender) lookup(ctx context.Context, to target) ([]netip.Addr, error) {
	addrs := []netip.Addr{to.addr}
	if !to.addr.IsValid() {
		var err error
		if addrs, err = s.resolver.LookupNetIP(ctx, "ip", to.host); err != nil {
			return nil, err
		}
	}
	for _, addr := range addrs {
		if what := s.policy.refusal(addr); what != "" {
			return nil, notAllowed(what)
		}
	}
	if len(addrs) == 0 {
		return nil, errNoAddress
	}
	return addrs, nil
}

// dial connects to the first address that answers. It gets addresses, not a name: nothing is looked up after lookup's check.
func (s *Sender) dial(ctx context.Context, addrs []netip.Addr, port uint16) (conn net.Conn, err error) {
	for _, addr := range addrs[:min(len(addrs), maxDials)] {
		conn, err = s.dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(addr.Unmap(), port).String())
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// control is called with the address a socket is about to be connected to. It holds whatever the code above comes to do.
func (p Policy) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return notAllowed("what is not an IP address")
	}
	if what := p.refusal(to.Addr()); what != "" {
		return notAllowed(what)
	}
	return nil
}
