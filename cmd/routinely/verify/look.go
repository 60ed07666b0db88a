package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"

	"routinely/shared/plain"
)

// maxShown is the longest text of another's that is shown, in bytes.
const maxShown = 200

// client opens a connection for each request, and follows no redirect: where it leads is not where the code runs.
func (cfg Config) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: cfg.Proxy, DialContext: cfg.Dial, TLSClientConfig: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what one connection showed.
type answer struct {
	serving bool
	// from is the local address of the connection.
	from string
	// saw says why it does not serve.
	saw string
}

// look asks a host name over a connection of its own. The header decides alone: code may well answer / with 404.
func (v *Verifier) look(ctx context.Context, hostName string, limit time.Duration) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { a.from = got.Conn.LocalAddr().String() }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+hostName+"/", nil)
	if err != nil {
		return answer{saw: plain.Line(err.Error(), maxShown)}
	}
	req.Header.Set("Cache-Control", "no-cache")
	if v.cfg.Agent != "" {
		req.Header.Set("User-Agent", v.cfg.Agent)
	}
	res, err := v.http.Do(req)
	if err != nil {
		a.saw = explain(err, hostName, limit)
		return a
	}
	defer res.Body.Close()
	a.serving = slices.Contains(res.Header.Values(v.cfg.Header.Name), v.cfg.Header.Value)
	a.saw = v.describe(res)
	return a
}

// describe says what an answer without the header was.
func (v *Verifier) describe(res *http.Response) string {
	text := fmt.Sprintf("HTTP %d without the header %s", res.StatusCode, v.cfg.Header.Name)
	if values := res.Header.Values(v.cfg.Header.Name); len(values) > 0 {
		text = fmt.Sprintf("HTTP %d with another value of %s: %s", res.StatusCode, v.cfg.Header.Name, plain.Line(strings.Join(values, ", "), maxShown))
	}
	if to := res.Header.Get("Location"); res.StatusCode/100 == 3 && to != "" {
		text += "; the redirect to " + plain.Line(to, maxShown) + " was not followed"
	}
	return text
}

// explain says why there was no answer.
func explain(err error, hostName string, limit time.Duration) string {
	var dns *net.DNSError
	var unverified *tls.CertificateVerificationError
	var network net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "DNS does not resolve " + hostName
	case errors.As(err, &dns):
		return "DNS gave no answer about " + hostName + ": " + plain.Line(dns.Err, maxShown)
	case errors.As(err, &unverified):
		return "the TLS certificate is not valid: " + certificate(unverified)
	case errors.As(err, &network) && network.Timeout():
		return fmt.Sprintf("no answer within %s", limit.Round(time.Millisecond))
	}
	var call *url.Error
	if errors.As(err, &call) { // its text begins with the address
		err = call.Err
	}
	return "no answer: " + plain.Line(err.Error(), maxShown)
}

// certificate says what is wrong with a certificate.
func certificate(unverified *tls.CertificateVerificationError) string {
	var other x509.HostnameError
	if errors.As(unverified, &other) {
		names := other.Certificate.DNSNames
		if len(names) == 0 {
			return "it is for no host name"
		}
		return "it is for " + plain.Line(strings.Join(names, ", "), maxShown)
	}
	return plain.Line(unverified.Err.Error(), maxShown)
}
