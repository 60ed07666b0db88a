package callback

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"routinely/shared/fault"
	"routinely/shared/plain"
	"routinely/shared/routine"
)

const (
	maxHostName = 253
	maxLabel    = 63
	// maxGivenName is the longest text in bytes that can be a host name: a character outside of ASCII takes four at most.
	maxGivenName = 4 * maxHostName
	// firstUserPort is the first port for which a program needs no privilege.
	firstUserPort = 1024
	// maxShown bounds what a fault shows of a URL or an answer, in bytes.
	maxShown = 200
)

// CheckURL reports what is wrong with a URL that callbacks are to go to, as a fault of kind Invalid with CodeURL, or Denied with
// CodeForbidden if it is an address that they may not go to. A URL has
//
//   - at most routine.MaxCallbackURL bytes and no spaces or control characters;
//   - the scheme https, or http if the policy allows that;
//   - a host: a full name, which may be internationalised, or an IP address of the policy in its usual notation. Names that lead
//     nowhere outside a network (localhost, nas, db.internal) need a policy with networks;
//   - the scheme's own port or one from 1024 on: below are services that take no callbacks, such as mail;
//   - a path and a query, if it likes, both percent-encoded, but no user, password or fragment.
//
// A name is not looked up here: what it leads to is found out and judged by each Post. The error does not show the query.
func CheckURL(text string, policy Policy) error {
	_, err := parse(text, policy)
	return err
}

// CheckRequest holds the callback URL of a request to CheckURL. Whoever takes requests uses it, so that all refuse the same. What is wrong is an
// *routine.Invalid; a request without a URL is all right.
func CheckRequest(request routine.Request, policy Policy) error {
	if request.CallbackURL == "" {
		return nil
	}
	err := CheckURL(request.CallbackURL, policy)
	if err == nil {
		return nil
	}
	failure := fault.From(err)
	return &routine.Invalid{Problems: []routine.Problem{
		{Pointer: "/callbackUrl", Code: "value", Detail: failure.Message + ". " + failure.Hint},
	}}
}

// target is where a callback goes. Its url is in its normal form.
type target struct {
	url  url.URL
	host string // a name in ASCII, or an address
	addr netip.Addr
	port uint16
}

// String shows what may be seen of the URL. Queries may hold secrets.
func (t target) String() string {
	return plain.Clip(t.url.Scheme+"://"+t.url.Host+t.url.EscapedPath(), maxShown)
}

// parse takes a URL apart and holds it to the rules of CheckURL. What net/url says of a text it cannot read is not passed on:
// it can quote a password.
func parse(text string, policy Policy) (target, error) {
	switch {
	case len(text) > routine.MaxCallbackURL:
		return target{}, badURL("it has %d bytes; at most %d are allowed", len(text), routine.MaxCallbackURL)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return target{}, badURL("it contains spaces, control characters or bytes that are not UTF-8")
	case strings.Contains(text, "#"):
		return target{}, badURL("it has a fragment (#)")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return target{}, badURL("it cannot be read as a URL")
	case u.Scheme != "https" && (u.Scheme != "http" || !policy.AllowHTTP):
		return target{}, badURL("its scheme must be %s", allowedSchemes(policy))
	case u.User != nil:
		return target{}, badURL("it has a user or password before the host")
	case u.Hostname() == "":
		return target{}, badURL("it has no host")
	case u.RawPath != "" && u.RawPath != u.EscapedPath() || strings.ContainsFunc(u.RawQuery, func(r rune) bool { return r >= utf8.RuneSelf }):
		return target{}, badURL("its path or query has characters that must be percent-encoded")
	}
	return locate(u, policy)
}

func allowedSchemes(policy Policy) string {
	if policy.AllowHTTP {
		return "https or http"
	}
	return "https"
}

// locate finds out host and port of a URL that is all right otherwise.
func locate(u *url.URL, policy Policy) (target, error) {
	t := target{url: url.URL{Scheme: u.Scheme, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}}
	port, err := readPort(u)
	if err != nil {
		return target{}, err
	}
	if t.host, t.addr, err = readHost(u, policy); err != nil {
		return target{}, err
	}
	t.port, t.url.Host = port, t.host
	if strings.Contains(t.host, ":") {
		t.url.Host = "[" + t.host + "]"
	}
	if port != defaultPort(u.Scheme) {
		t.url.Host = net.JoinHostPort(t.host, strconv.Itoa(int(port)))
	}
	if what := policy.refusal(t.addr); t.addr.IsValid() && what != "" {
		return target{}, t.forbidden(what)
	}
	return t, nil
}

func readPort(u *url.URL) (uint16, error) {
	own := defaultPort(u.Scheme)
	if u.Port() == "" {
		return own, nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || uint16(port) != own && port < firstUserPort {
		return 0, badURL("its port must be %d or one from %d to 65535", own, firstUserPort)
	}
	return uint16(port), nil
}

func defaultPort(scheme string) uint16 {
	if scheme == "http" {
		return 80
	}
	return 443
}

// readHost returns the host in its normal form, and as an address if it is one. The resolvers of many systems take 127.1, 0x7f.1
// or 2130706433 for an IPv4 address, so that a name may not end in a number (as in https://url.spec.whatwg.org/#concept-host-parser).
func readHost(u *url.URL, policy Policy) (host string, addr netip.Addr, err error) {
	given := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		addr, err = netip.ParseAddr(given)
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", netip.Addr{}, badURL("%q is not an IPv6 address without a zone", plain.Clip(given, maxShown))
		}
		addr = addr.Unmap()
		return addr.String(), addr, nil
	}
	name, ok := readName(given)
	labels := strings.Split(name, ".")
	switch {
	case !ok:
		return "", netip.Addr{}, badURL("%q is not a host name", plain.Clip(given, maxShown))
	case isNumber(labels[len(labels)-1]):
		addr, err = netip.ParseAddr(name)
		if err != nil {
			return "", netip.Addr{}, badURL("%q is neither a host name nor an IPv4 address as four decimal numbers", plain.Clip(given, maxShown))
		}
		return addr.String(), addr, nil
	case len(policy.Networks) == 0 && isInner(name, labels):
		return "", netip.Addr{}, badURL("%q is not a name that leads anywhere from outside its network", plain.Clip(given, maxShown))
	}
	return name, netip.Addr{}, nil
}

// readName returns a name in lower case and ASCII, without the full stop of the root. Plain names are not held to IDNA, which has rules
// of its own for hyphens (as in r3---sn.example.com). An internationalised name is taken only if what it becomes stays as it is: package
// idna makes names of broken texts that it would not read.
func readName(given string) (name string, ok bool) {
	if len(given) > maxGivenName { // the time that package idna takes grows with the square
		return "", false
	}
	name = strings.TrimSuffix(strings.ToLower(given), ".")
	if isPlain(name) && !strings.Contains("."+name, ".xn--") {
		return name, true
	}
	name, err := idna.Lookup.ToASCII(given)
	if err != nil {
		return "", false
	}
	same, err := idna.Lookup.ToASCII(name)
	name = strings.TrimSuffix(name, ".")
	return name, err == nil && strings.TrimSuffix(same, ".") == name && isPlain(name)
}

// isPlain reports whether a name is made of DNS labels in lower case, and is not too long for one.
func isPlain(name string) bool {
	return len(name) <= maxHostName && !slices.ContainsFunc(strings.Split(name, "."), func(label string) bool {
		return label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != ""
	})
}

// isNumber reports whether a label is a number, decimal, octal or hexadecimal, to any resolver.
func isNumber(label string) bool {
	digits := "0123456789"
	if rest, hex := strings.CutPrefix(label, "0x"); hex {
		label, digits = rest, "0123456789abcdef"
	}
	return strings.Trim(label, digits) == ""
}

// isInner reports whether a name means something only inside a network: a single label, or one below a name that RFC 6761, RFC
// 6762, RFC 8375, ICANN or custom keep for that.
func isInner(name string, labels []string) bool {
	switch labels[len(labels)-1] {
	case "localhost", "local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan":
		return true
	}
	return len(labels) == 1 || strings.HasSuffix("."+name, ".home.arpa")
}

func badURL(problem string, args ...any) error {
	return &fault.Error{
		Kind: fault.Invalid, Step: Step, Code: CodeURL, Message: "the callback URL is not usable: " + fmt.Sprintf(problem, args...),
		Hint: "Give an https URL with a public host, such as https://hooks.example.com/routinely.",
	}
}
