package callback_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/callback"
	"routinely/shared/fault"
)

// edges are the first and last address of each range that is forbidden.
func edges() []string {
	return []string{
		"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255",
		"169.254.0.0", "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255", "192.0.2.0", "192.0.2.255",
		"192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.0",
		"198.51.100.255", "203.0.113.0", "203.0.113.255", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.254",
		"255.255.255.255", "169.254.169.254", "100.100.100.200",

		"::", "::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::", "64:ff9b:1:ffff::", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1",
		"64:ff9b::100.100.100.200", "100::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:0:a00:1::", "2001:2::1", "2001:20::1",
		"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:7f00:1::1",
		"2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "5f00::1", "fc00::",
		"fd00:ec2::254", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::1", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::1", "ff00::",
		"ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	}
}

// spellings are ways to write an address that one resolver or another understands, as the host of a URL.
func spellings(text string) []string {
	addr := netip.MustParseAddr(text)
	if addr.Is6() {
		return []string{"[" + text + "]", "[" + strings.ToUpper(addr.StringExpanded()) + "]"}
	}
	b := addr.As4()
	all := new(big.Int).SetBytes(b[:])
	return []string{
		text, text + ".", strings.ReplaceAll(text, ".", "。"), strings.ReplaceAll(text, ".", "．"), fullWidth(text),
		all.String(), "0x" + all.Text(16), "0X" + all.Text(16), "0" + all.Text(8), "00" + all.Text(8),
		fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", b[0], b[1], b[2], b[3]), fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3]), fmt.Sprintf("%d.0x%x.0%o.%d", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%d.%d", b[0], int(b[1])<<16|int(b[2])<<8|int(b[3])), fmt.Sprintf("%d.%d.%d", b[0], b[1], int(b[2])<<8|int(b[3])),
		fmt.Sprintf("0x%x.%d", b[0], int(b[1])<<16|int(b[2])<<8|int(b[3])), "[" + text + "]",
		fmt.Sprintf("[::ffff:%s]", text), fmt.Sprintf("[::ffff:%x:%x]", int(b[0])<<8|int(b[1]), int(b[2])<<8|int(b[3])),
		fmt.Sprintf("[0:0:0:0:0:FFFF:%s]", text), fmt.Sprintf("[::%s]", text), fmt.Sprintf("[::ffff:0:%s]", text),
		fmt.Sprintf("[64:ff9b::%s]", text), fmt.Sprintf("[64:ff9b:1::%s]", text), fmt.Sprintf("[2002:%02x%02x:%02x%02x::1]", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("[2001:0:4136:e378:8000:63bf:%02x%02x:%02x%02x]", ^b[0], ^b[1], ^b[2], ^b[3]), // Teredo holds the complement
		fmt.Sprintf("[::ffff:%s%%25eth0]", text), fmt.Sprintf("[::ffff:%s%%25]", text), fmt.Sprintf("[::ffff:%s%%1]", text),
	}
}

func fullWidth(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r - '0' + '０'
		}
		return r
	}, text)
}

func TestForbiddenURL(t *testing.T) {
	t.Run("refuses forbidden addresses however they are written", func(t *testing.T) {
		for _, addr := range edges() {
			for _, host := range spellings(addr) {
				err := callback.CheckURL("https://"+host+"/", callback.Policy{})
				if !fault.HasKind(err, fault.Invalid) && !fault.HasCode(err, callback.CodeForbidden) {
					t.Errorf("%s as %s: got %v", addr, host, err)
				}
			}
			host := addr
			if strings.Contains(addr, ":") {
				host = "[" + addr + "]"
			}
			failed(t, callback.CheckURL("https://"+host+"/", callback.Policy{}), fault.Denied, callback.CodeForbidden)
		}
	})
	t.Run("accepts the neighbours of forbidden ranges", func(t *testing.T) {
		for _, addr := range []string{
			"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
			"169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0",
			"192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0",
			"223.255.255.255", "[2000::]", "[2001:200::]", "[2001:db7:ffff::]", "[2001:db9::]", "[2003::]", "[3ffe:ffff::]", "[3fff:1000::]",
		} {
			if err := callback.CheckURL("https://"+addr+"/", callback.Policy{}); err != nil {
				t.Errorf("%s: %v", addr, err)
			}
		}
	})
	t.Run("accepts no address that the standard library knows not to be public", func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		for range 2_000 {
			var b [16]byte
			for i := range b {
				b[i] = byte(random.Uint32() >> random.UintN(9)) // many zeros
			}
			for _, addr := range []netip.Addr{netip.AddrFrom16(b), netip.AddrFrom4([4]byte(b[:]))} {
				host := addr.Unmap().String()
				if strings.Contains(host, ":") {
					host = "[" + host + "]"
				}
				if a := addr.Unmap(); callback.CheckURL("https://"+host, callback.Policy{}) == nil && (!a.IsGlobalUnicast() || a.IsPrivate()) {
					t.Fatalf("%s is accepted", addr)
				}
			}
		}
	})
}

func TestForbiddenName(t *testing.T) {
	t.Run("refuses a name that leads to a forbidden address, alone or beside a public one", func(t *testing.T) {
		for _, addr := range append(edges(), "::ffff:127.0.0.1", "::ffff:100.100.100.200", "fe80::1%eth0", "2606:4700::1111%eth0") {
			for _, answer := range [][]string{{addr}, {"127.0.0.7", addr}, {addr, "127.0.0.7"}} {
				dns := &names{answers: [][]string{answer}}
				policy := callback.Policy{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.7/32")}}
				err := newSender(t, callback.Config{Policy: policy, Resolver: dns}).Post(t.Context(), "https://a.example/x?token=hush", newEvent(t, job()))
				got := failed(t, err, fault.Denied, callback.CodeForbidden)
				if text := got.Error() + got.Hint; got.OutcomeUnknown || got.Kind.Retryable() || strings.Contains(text, addr+",") || strings.Contains(text, "hush") {
					t.Errorf("%v: got %+v", answer, got)
				}
			}
		}
	})
	t.Run("looks a name up once for each connection, so that no other answer can slip in", func(t *testing.T) {
		r := newReceiver(t, nil)
		dns := &names{answers: [][]string{{"127.0.0.1"}, {"127.0.0.2"}, {"169.254.169.254"}}}
		policy := callback.Policy{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
		s := newSender(t, callback.Config{Policy: policy, RootCAs: r.roots(), Resolver: dns})
		url := "https://example.com:" + r.port() + "/"
		if err := s.Post(t.Context(), url, newEvent(t, job())); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			failed(t, s.Post(t.Context(), url, newEvent(t, job())), fault.Denied, callback.CodeForbidden)
		}
		if len(r.requests()) != 1 {
			t.Errorf("got %d requests", len(r.requests()))
		}
		if diff := cmp.Diff([]string{"example.com", "example.com", "example.com"}, dns.asked); diff != "" {
			t.Errorf("look-ups (-want +got):\n%s", diff)
		}
	})
	t.Run("refuses to connect to a forbidden address that nobody has checked before", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		s := newSender(t, callback.Config{})
		for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1", "0.0.0.0", "::1", "100.100.100.200"} {
			if _, err := s.Dial(t.Context(), net.JoinHostPort(host, port)); err == nil || !strings.Contains(err.Error(), "callbacks may not go to") {
				t.Errorf("%s: got %v", host, err)
			}
		}
		// Had there been a connection, it would be the first to be accepted.
		own, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = own.Close() }()
		first, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = first.Close() }()
		if first.RemoteAddr().String() != own.LocalAddr().String() {
			t.Error("a connection was made")
		}
	})
	t.Run("tries other addresses when one does not answer, but not all that there are", func(t *testing.T) {
		r := newReceiver(t, nil)
		for at, works := range map[int]bool{0: true, 2: true, 3: false} {
			answer := []string{"127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"}
			answer[at] = "::ffff:127.0.0.1" // as some resolvers give it
			s := newSender(t, callback.Config{Policy: thisMachine(), RootCAs: r.roots(), Resolver: &names{answers: [][]string{answer}}})
			err := s.Post(t.Context(), "https://example.com:"+r.port()+"/", newEvent(t, job()))
			if (err == nil) != works {
				t.Errorf("at place %d: got %v", at, err)
			}
		}
	})
	t.Run("waits for a name that has no address yet", func(t *testing.T) {
		s := newSender(t, callback.Config{Resolver: &names{answers: [][]string{{}}}})
		failed(t, s.Post(t.Context(), "https://a.example/", newEvent(t, job())), fault.Unavailable, callback.CodeUnreachable)
	})
}

func TestPolicy(t *testing.T) {
	t.Run("never opens the metadata services", func(t *testing.T) {
		policy := callback.Policy{AllowHTTP: true}
		for _, network := range []string{"100.64.0.0/10", "169.254.0.0/16", "64:ff9b::/96"} {
			policy.Networks = append(policy.Networks, netip.MustParsePrefix(network))
		}
		if err := policy.Check(); err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"100.100.100.200", "169.254.169.254", "[::ffff:100.100.100.200]", "[64:ff9b::100.100.100.200]"} {
			failed(t, callback.CheckURL("http://"+host+"/", policy), fault.Denied, callback.CodeForbidden)
		}
		if err := callback.CheckURL("http://100.100.100.201/", policy); err != nil {
			t.Error(err)
		}
	})
	t.Run("names what is wrong with its networks", func(t *testing.T) {
		for text, want := range map[string]string{"0.0.0.0/0": "every address", "::/0": "every address", "10.1.2.3/8": "10.0.0.0/8", "::ffff:10.0.0.0/104": "IPv4"} {
			_, err := callback.New(callback.Config{Secrets: []string{secret}, Policy: callback.Policy{Networks: []netip.Prefix{netip.MustParsePrefix(text)}}})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v", text, err)
			}
		}
		if err := (callback.Policy{Networks: make([]netip.Prefix, 1)}).Check(); err == nil {
			t.Error("a network without an address is accepted")
		}
	})
}
