package serve

import (
	"cmp"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Guard refuses with 403 what a web page in a browser of this machine can send to a server on loopback, before next sees it:
// a request for a foreign Host (a name of the page's own that it made lead here, DNS rebinding), and one with an Origin that
// is not the server's own. Own hosts, with any port, are loopback names and addresses, the address the connection came to, the
// host names under which official clients know the services, and names, which may be addresses. HTTP guards its handler.
func Guard(next http.Handler, names ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ownHost(r, names) {
			refuse(w, "Host %q is not this server's: use an address of loopback, or start the server with -host", r.Host)
			return
		}
		for _, origin := range r.Header.Values("Origin") {
			if !strings.EqualFold(origin, scheme(r)+"://"+r.Host) {
				refuse(w, "Origin %q is not this server's: web pages of others may not call it", origin)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// HostFlag defines the flag -host, which adds to the names that Guard takes for the server's own. Its help tells the rule.
func HostFlag(flags *flag.FlagSet, names *[]string) {
	flags.Func("host", "another host `name` or address that is this server's, repeatable. A request for a host other than these, the address\n"+
		"it came to, loopback and the cloud's host names is refused with 403, and so is one with the Origin of a foreign\n"+
		"web page", func(name string) error {
		*names = append(*names, name)
		return nil
	})
}

func refuse(w http.ResponseWriter, format string, args ...any) {
	http.Error(w, fmt.Sprintf(format, args...), http.StatusForbidden)
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

func ownHost(r *http.Request, names []string) bool {
	host := strings.ToLower(strings.TrimSuffix((&url.URL{Host: r.Host}).Hostname(), "."))
	if ip, err := netip.ParseAddr(host); err == nil && (ip.IsLoopback() || ip.IsUnspecified() || ip == localAddress(r)) {
		return true
	}
	is := func(pattern string) bool { return matches(pattern, host) }
	return is("localhost") || strings.HasSuffix(host, ".localhost") || slices.ContainsFunc(names, is) || slices.ContainsFunc(cloudHosts(), is)
}

// localAddress is the one the request's connection came to; invalid, and so equal to none, outside of a server.
func localAddress(r *http.Request) netip.Addr {
	address, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return cmp.Or(address, &net.TCPAddr{}).AddrPort().Addr().Unmap()
}

// matches compares labels; * in the pattern is any one label.
func matches(pattern, host string) bool {
	labels := func(name string) string { return strings.ReplaceAll(strings.ToLower(name), ".", "/") }
	matched, err := path.Match(labels(pattern), labels(host))
	return err == nil && matched
}

// cloudHosts are the services' endpoints, public, internal and in a VPC, and the addresses of HTTP triggers. Official clients send
// them when they are led here by a proxy or a hosts file; nobody else can make such a name lead to this machine.
func cloudHosts() []string {
	return []string{
		"*.mns.*.aliyuncs.com",
		"esa.aliyuncs.com", "esa.*.aliyuncs.com", "esa-vpc.*.aliyuncs.com",
		"*.*.ots.aliyuncs.com", "*.*.ots-internal.aliyuncs.com", "*.*.tablestore.aliyuncs.com", "*.*.vpc.tablestore.aliyuncs.com",
		"fcv3.*.aliyuncs.com", "*.*.fc.aliyuncs.com", "*.*.fcapp.run",
	}
}
