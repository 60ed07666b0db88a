// Package endpoint reads the addresses of the HTTP services that the product calls: those of the configuration and of the command line. The
// URLs of callbacks come from strangers and have stricter rules of their own, see package callback.
package endpoint

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Parse reads an http or https URL without user, query and fragment. The error shows the text without a password.
func Parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	shown := text[strings.LastIndex(text, "@")+1:]
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q: not a URL", shown)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("%q: want http://HOST or https://HOST", shown)
	case !isPort(u.Port()):
		return nil, fmt.Errorf("%q: want a port of 1 to 65535", shown)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("%q: no user, query or fragment is possible", u.Host)
	}
	return u, nil
}

// isPort reports whether the digits behind the host of a URL are a port. An empty text means that of the scheme.
func isPort(digits string) bool {
	port, err := strconv.ParseUint(digits, 10, 16)
	return digits == "" || err == nil && port > 0
}

// Origin is Parse for a service whose paths are its protocol's. The URL has a scheme and a host, and no path.
func Origin(text string) (*url.URL, error) {
	u, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%q: no path is possible", text)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// HostOrOrigin is Origin that takes a host alone, too, which is reached over https.
func HostOrOrigin(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	return Origin(text)
}
