package callback_test

import (
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"

	"routinely/shared/callback"
	"routinely/shared/fault"
)

// specialRanges are the rows of the IANA special-purpose address registries whose addresses are not globally reachable, and the other
// ranges where no callback may go. An empty neighbour is itself forbidden: it is in another row, outside of the public part of IPv6, or
// there is none.
func specialRanges() []specialRange {
	return []specialRange{
		{"0.0.0.0", "0.255.255.255", "", "1.0.0.0"},                          // this network
		{"10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},          // private use
		{"100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},   // shared address space
		{"127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},     // loopback
		{"169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"}, // link local
		{"172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},     // private use
		{"192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},         // IETF protocol assignments
		{"192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},             // documentation
		{"192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},    // 6to4 relay anycast
		{"192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"}, // private use
		{"198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},     // benchmarking
		{"198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},  // documentation
		{"203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},     // documentation
		{"224.0.0.0", "239.255.255.255", "223.255.255.255", ""},              // multicast
		{"240.0.0.0", "255.255.255.255", "", ""},                             // reserved, limited broadcast

		{"::", "::ffff:ffff", "", ""},                                                                                    // unspecified, loopback, IPv4-compatible
		{"::ffff:0:0:0", "::ffff:0:ffff:ffff", "", ""},                                                                   // IPv4-translated (RFC 2765)
		{"64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "", ""},                                                    // a network's own NAT64
		{"100::", "100::ffff:ffff:ffff:ffff", "", ""},                                                                    // discard only
		{"100:0:0:1::", "100::1:ffff:ffff:ffff:ffff", "", ""},                                                            // dummy
		{"2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},                // Teredo
		{"2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", "", ""},                                                        // benchmarking
		{"2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},                                                   // ORCHID
		{"2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "", "2001:200::"},                                           // IETF protocol assignments
		{"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"}, // documentation
		{"2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},       // 6to4
		{"3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},   // documentation
		{"5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},                                                    // segment routing
		{"fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},                                                    // unique local
		{"fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},                                                    // link local
		{"fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},                                                    // site local (RFC 3879)
		{"ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},                                                    // multicast
		{"::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "2000::"},                                                  // not given to anybody
		{"4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
	}
}

// specialRange is a range of addresses with the public ones just before and after it.
type specialRange struct{ first, last, before, after string }

// edges are the first and last address of each range that is forbidden, and others in them.
func edges() []string {
	var out []string
	for _, r := range specialRanges() {
		out = append(out, r.first, r.last)
	}
	return append(out, "169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254", "::1", "::127.0.0.1", "64:ff9b::7f00:1",
		"64:ff9b::10.0.0.1", "64:ff9b::100.100.100.200", "64:ff9b:1::8.8.8.8", "2002:7f00:1::1", "2001:20::1", "fd12:3456::1")
}

// spellings are ways to write an address that one resolver or another understands, as the host of a URL.
func spellings(text string) []string {
	addr := netip.MustParseAddr(text)
	if addr.Is6() {
		return []string{"[" + text + "]", "[" + strings.ToUpper(addr.StringExpanded()) + "]"}
	}
	fullWidth := strings.Map(func(r rune) rune {
		if r == '.' {
			return r
		}
		return r - '0' + '０'
	}, text)
	b := addr.As4()
	all := new(big.Int).SetBytes(b[:])
	return []string{
		text, text + ".", strings.ReplaceAll(text, ".", "。"), strings.ReplaceAll(text, ".", "．"), fullWidth,
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

// inURL is an address as the host of a URL.
func inURL(addr string) string {
	if strings.Contains(addr, ":") {
		return "[" + addr + "]"
	}
	return addr
}

func TestForbiddenURL(t *testing.T) {
	t.Run("refuses forbidden addresses however they are written, when the callback is asked for and when it is sent", func(t *testing.T) {
		s, e := newSender(t, callback.Config{}), newEvent(t, job())
		for _, addr := range edges() {
			for _, host := range spellings(addr) {
				url := "https://" + host + "/hook?token=hush"
				asked, sent := callback.CheckURL(url, callback.Policy{}), s.Post(t.Context(), url, e)
				if !fault.HasKind(asked, fault.Invalid) && !fault.HasCode(asked, callback.CodeForbidden) || sent == nil || asked.Error() != sent.Error() {
					t.Errorf("%s as %s: got %v, then %v", addr, host, asked, sent)
				}
			}
			failed(t, callback.CheckURL("https://"+inURL(addr)+"/", callback.Policy{}), fault.Denied, callback.CodeForbidden)
		}
	})
	t.Run("accepts the neighbours of forbidden ranges", func(t *testing.T) {
		public := []string{
			"64:ff9b::8.8.8.8", "64:ff9b::9.255.255.255", "192.31.196.1", "192.52.193.1", "192.175.48.1", "2620:4f:8000::1", // the registries call these globally reachable
		}
		for _, r := range specialRanges() {
			public = append(public, r.before, r.after)
		}
		for _, addr := range public {
			if err := callback.CheckURL("https://"+inURL(addr)+"/", callback.Policy{}); addr != "" && err != nil {
				t.Errorf("%s: %v", addr, err)
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
	t.Run("looks a name up once for each connection, so that no second answer is used, and uses no proxy of the environment", func(t *testing.T) {
		r := newReceiver(t, nil)
		dns := &names{answers: [][]string{{"127.0.0.1"}, {"127.0.0.2"}, {"169.254.169.254"}}}
		policy := callback.Policy{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
		s := newSender(t, callback.Config{Policy: policy, RootCAs: r.roots(), Resolver: dns})
		url := "https://example.com:" + r.port() + "/"
		posts(t, s, url)
		for range 2 {
			fails(t, s, url, fault.Denied, callback.CodeForbidden)
		}
		same(t, "requests", len(r.requests()), 1)
		same(t, "look-ups", dns.asked, []string{"example.com", "example.com", "example.com"})
	})
	t.Run("refuses to connect to a forbidden address that nobody has checked before", func(t *testing.T) {
		listener := listen(t)
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		s := newSender(t, callback.Config{})
		for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1", "0.0.0.0", "::1", "100.100.100.200"} {
			if _, err := s.Dial(t.Context(), net.JoinHostPort(host, port)); err == nil || !strings.Contains(err.Error(), "callbacks may not go to") {
				t.Errorf("%s: got %v", host, err)
			}
		}
		// Had there been a connection, it would be the first to be accepted.
		own, err := net.Dial("tcp", listener.Addr().String())
		must(t, err)
		defer func() { _ = own.Close() }()
		first, err := listener.Accept()
		must(t, err)
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
			err := r.senderOf(t, &names{answers: [][]string{answer}}).Post(t.Context(), "https://example.com:"+r.port()+"/", newEvent(t, job()))
			if (err == nil) != works {
				t.Errorf("at place %d: got %v", at, err)
			}
		}
	})
	t.Run("is unreachable while the name has no address or does not exist, and the name server is not shown", func(t *testing.T) {
		missing := &net.DNSError{Err: "no such host", Name: "a.example", Server: "127.0.0.1:53", IsNotFound: true}
		for want, dns := range map[string]*names{"the name has no address": {answers: [][]string{{}}}, "no such host name": {err: missing}} {
			got := fails(t, newSender(t, callback.Config{Resolver: dns}), "https://a.example/", fault.Unavailable, callback.CodeUnreachable)
			if !strings.Contains(got.Message, want) || strings.Contains(got.Message, "127.0.0.1") || got.OutcomeUnknown {
				t.Errorf("got %+v", got)
			}
		}
	})
}

func TestPolicy(t *testing.T) {
	t.Run("never opens the metadata services", func(t *testing.T) {
		policy := callback.Policy{AllowHTTP: true}
		for _, network := range []string{"100.64.0.0/10", "169.254.0.0/16", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fc00::/7", "2001:db8::/32"} {
			policy.Networks = append(policy.Networks, netip.MustParsePrefix(network))
		}
		must(t, policy.Check())
		for _, addr := range []string{
			"100.100.100.200", "fd00:100::100:200", "169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe",
			"::ffff:100.100.100.200", "64:ff9b::100.100.100.200", "64:ff9b:1::100.100.100.200", "64:ff9b:1:6464:64:c800::", "64:ff9b:1:64:64:64c8::",
			"64:ff9b:1:0:64:6464:c800:0", "2002:6464:64c8::1", "fd12:3456::100.100.100.200", "2001:db8:6464:64c8::", "2001:db8:64:6464:c8::",
		} {
			got := failed(t, callback.CheckURL("http://"+inURL(addr)+"/", policy), fault.Denied, callback.CodeForbidden)
			if !strings.Contains(got.Message, "metadata") {
				t.Errorf("%s: got %s", addr, got.Message)
			}
		}
		for _, addr := range []string{"100.100.100.201", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "fd00:ec2::253", "2001:db8::1"} {
			if err := callback.CheckURL("http://"+inURL(addr)+"/", policy); err != nil {
				t.Errorf("%s: %v", addr, err)
			}
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
