package callback

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"routinely/shared/config"
)

// Policy says where callbacks may go. The zero Policy allows https to public addresses and nothing else.
type Policy struct {
	// AllowHTTP allows URLs without TLS, for local use: what a job holds can then be read on the way.
	AllowHTTP bool
	// Networks are allowed although they are not public, such as 10.20.0.0/16. With one or more, names that mean something only
	// inside a network are allowed too, as far as they lead to these networks or to public addresses. The metadata services, which
	// hand out the credentials of machines and functions, stay forbidden.
	Networks []netip.Prefix
}

// PolicyOf returns the policy of a deployment.
func PolicyOf(r config.Receivers) Policy { return Policy{AllowHTTP: r.HTTP, Networks: r.Networks} }

// Check reports what is wrong with the policy.
func (p Policy) Check() error {
	var errs []error
	for _, n := range p.Networks {
		switch {
		case !n.IsValid():
			errs = append(errs, errors.New("callback networks: one is not a network such as 10.20.0.0/16"))
		case n.Addr().Is4In6():
			errs = append(errs, fmt.Errorf("callback networks: write %s as an IPv4 network", n))
		case n != n.Masked():
			errs = append(errs, fmt.Errorf("callback networks: %s is not a network: its address has bits behind its length; %s is one", n, n.Masked()))
		case n.Bits() == 0:
			errs = append(errs, fmt.Errorf("callback networks: %s is every address; name the networks that callbacks go to", n))
		}
	}
	return errors.Join(errs...)
}

// addressRange is a part of the address space with the words for what its addresses are.
type addressRange struct {
	prefix netip.Prefix
	what   string
}

// forbidden are the ranges of the IANA special-purpose address registries that are not globally reachable
// (https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry), the
// multicast ranges, and what RFC 3879 and RFC 4291 took out of use. 6to4 and Teredo, which hold an IPv4 address, are forbidden whatever
// it is: both are deprecated, and nobody receives callbacks there. They are parsed when the first callback is checked: to parse them takes a
// hundredth of a cold start.
var forbidden = sync.OnceValue(func() []addressRange {
	return []addressRange{
		{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address"},
		{netip.MustParsePrefix("10.0.0.0/8"), "a private network"},
		// Alibaba Cloud's internal services, its metadata service among them, are here too.
		{netip.MustParsePrefix("100.64.0.0/10"), "a carrier's or cloud's internal network"},
		{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
		{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"},
		{netip.MustParsePrefix("172.16.0.0/12"), "a private network"},
		{netip.MustParsePrefix("192.0.0.0/24"), "a reserved address"},
		{netip.MustParsePrefix("192.0.2.0/24"), "a documentation address"},
		{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay"},
		{netip.MustParsePrefix("192.168.0.0/16"), "a private network"},
		{netip.MustParsePrefix("198.18.0.0/15"), "a benchmarking network"},
		{netip.MustParsePrefix("198.51.100.0/24"), "a documentation address"},
		{netip.MustParsePrefix("203.0.113.0/24"), "a documentation address"},
		{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
		{netip.MustParsePrefix("255.255.255.255/32"), "the broadcast address"},
		{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
		{netip.MustParsePrefix("::/128"), "an unspecified address"},
		{netip.MustParsePrefix("::1/128"), "a loopback address"},
		{netip.MustParsePrefix("::/96"), "an IPv4-compatible address"},
		// The translator's operator says where in the address the IPv4 address is (RFC 8215), so that it cannot be judged.
		{netip.MustParsePrefix("64:ff9b:1::/48"), "a network's own NAT64"},
		{netip.MustParsePrefix("100::/64"), "an address that discards"},
		{netip.MustParsePrefix("100:0:0:1::/64"), "a dummy address"},
		// Teredo, benchmarking, ORCHID and other protocols' own addresses.
		{netip.MustParsePrefix("2001::/23"), "an address of a protocol, not of a host"},
		{netip.MustParsePrefix("2001:db8::/32"), "a documentation address"},
		{netip.MustParsePrefix("2002::/16"), "a 6to4 address"},
		{netip.MustParsePrefix("3fff::/20"), "a documentation address"},
		{netip.MustParsePrefix("5f00::/16"), "a segment routing address"},
		{netip.MustParsePrefix("fc00::/7"), "a private network"},
		{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
		{netip.MustParsePrefix("fec0::/10"), "a site-local address"},
		{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
	}
})

var (
	// globalUnicast is the only part of IPv6 whose addresses are public.
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// nat64 is the well-known prefix of RFC 6052 before an IPv4 address. Networks without IPv4 reach public hosts by it.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// metadata are the metadata services of Alibaba Cloud
// (https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata), and those of other clouds.
var metadata = sync.OnceValue(func() []netip.Addr {
	return []netip.Addr{
		netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("fd00:100::100:200"),
		netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("169.254.170.2"), // by convention; AWS's containers
		netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"), netip.MustParseAddr("fd00:c1::a9fe:a9fe"), // AWS, Google, Oracle
	}
})

// refusal says what the address is if callbacks may not go there; empty means that they may.
func (p Policy) refusal(addr netip.Addr) (what string) {
	addr = addr.Unmap() // a prefix contains no address in IPv4-mapped form, whatever its bits, nor one with a zone
	if isMetadata(addr) {
		return "a metadata service"
	}
	for _, n := range p.Networks {
		if n.Contains(addr) {
			return ""
		}
	}
	if nat64.Contains(addr) {
		addr = embedded(addr, [4]int{12, 13, 14, 15})
	}
	for _, r := range forbidden() {
		if r.prefix.Contains(addr) {
			return r.what
		}
	}
	if !addr.Is4() && !globalUnicast.Contains(addr) {
		return "a reserved address"
	}
	return ""
}

// isMetadata reports whether an address is that of a metadata service, or holds one wherever IPv6 can hold an IPv4 address: behind a
// prefix of NAT64, the well-known one or a network's own (RFC 6052 section 2.2), and in 6to4 (RFC 3056 section 2).
func isMetadata(addr netip.Addr) bool {
	if slices.Contains(metadata(), addr) {
		return true
	}
	places := [][4]int{{12, 13, 14, 15}, {9, 10, 11, 12}, {7, 9, 10, 11}, {6, 7, 9, 10}, {5, 6, 7, 9}, {4, 5, 6, 7}, {2, 3, 4, 5}}
	return addr.Is6() && slices.ContainsFunc(places, func(place [4]int) bool { return slices.Contains(metadata(), embedded(addr, place)) })
}

// embedded is the IPv4 address that is in these bytes of an IPv6 address.
func embedded(addr netip.Addr, place [4]int) netip.Addr {
	b := addr.As16()
	return netip.AddrFrom4([4]byte{b[place[0]], b[place[1]], b[place[2]], b[place[3]]})
}
