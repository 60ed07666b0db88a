package serve_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/serve"
)

// guarded serves on a socket until the test ends and returns a function that calls it with a Host and an Origin (an empty one
// is not sent) and returns the status and the text of the answer. With a certificate it serves HTTPS.
func guarded(t *testing.T, certFile, keyFile string, names ...string) (address string, call func(host, origin string) (int, string)) {
	t.Helper()
	listener := listen(t)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answered") })
	go func() { ended <- serve.HTTP(ctx, listener, handler, nil, certFile, keyFile, names...) }()
	transport, scheme := &http.Transport{}, "http"
	if certFile != "" {
		certificate, err := os.ReadFile(certFile)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(certificate)
		transport.TLSClientConfig, scheme = &tls.Config{RootCAs: roots}, "https"
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	address = listener.Addr().String()
	return address, func(host, origin string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, scheme+"://"+address+"/_local/faults", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		if origin != "" {
			request.Header.Set("Origin", origin)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
}

func TestGuard(t *testing.T) {
	t.Run("answers requests for the server's own hosts", func(t *testing.T) {
		address, call := guarded(t, "", "", "esa", "192.0.2.7")
		_, port, _ := strings.Cut(address, ":")
		for _, host := range []string{
			address, "127.0.0.1", "127.9.9.9:1", "localhost:" + port, "LOCALHOST.", "mns.localhost", "[::1]:" + port, "0.0.0.0:" + port, "esa:80", "192.0.2.7:" + port,
			"123456.mns.cn-hangzhou.aliyuncs.com", "123456.mns.cn-hangzhou-internal.aliyuncs.com:443",
			"esa.aliyuncs.com", "esa.cn-hangzhou.aliyuncs.com", "esa-vpc.ap-southeast-1.aliyuncs.com",
			"routinely.cn-hangzhou.ots.aliyuncs.com", "routinely.cn-hangzhou.ots-internal.aliyuncs.com",
			"routinely.cn-hangzhou.vpc.tablestore.aliyuncs.com", "routinely.cn-hangzhou.tablestore.aliyuncs.com",
			"fcv3.cn-hangzhou.aliyuncs.com", "123456.cn-hangzhou.fc.aliyuncs.com", "accept-abc.cn-hangzhou.fcapp.run",
		} {
			if status, text := call(host, ""); status != http.StatusOK {
				t.Errorf("Host %s: %d %s", host, status, text)
			}
		}
	})
	t.Run("refuses a foreign host", func(t *testing.T) {
		_, call := guarded(t, "", "")
		for _, host := range []string{
			"rebound.example", "127.0.0.1.rebound.example", "localhost.rebound.example", "notlocalhost", "esa", "192.0.2.7", "2130706433",
			"bucket.oss-cn-hangzhou.aliyuncs.com", "esa.cn-hangzhou.aliyuncs.com.rebound.example", "a.b.mns.cn-hangzhou.aliyuncs.com",
		} {
			if status, text := call(host, ""); status != http.StatusForbidden || !strings.Contains(text, host) || !strings.Contains(text, "-host") {
				t.Errorf("Host %s: %d %s", host, status, text)
			}
		}
	})
	t.Run("refuses a foreign origin", func(t *testing.T) {
		address, call := guarded(t, "", "", "esa")
		for _, own := range []struct{ host, origin string }{{address, "http://" + address}, {"esa", "http://ESA"}} {
			if status, text := call(own.host, own.origin); status != http.StatusOK {
				t.Errorf("Origin %s: %d %s", own.origin, status, text)
			}
		}
		for _, origin := range []string{
			"null", "https://page.example", "http://127.0.0.1", "http://127.0.0.1:1", "https://" + address, "http://esa", "http://" + address + ".page.example",
		} {
			if status, text := call(address, origin); status != http.StatusForbidden || !strings.Contains(text, origin) {
				t.Errorf("Origin %s: %d %s", origin, status, text)
			}
		}
	})
	t.Run("guards HTTPS with its own scheme", func(t *testing.T) {
		certFile, keyFile := localtest.Certificate(t)
		address, call := guarded(t, certFile, keyFile)
		for origin, want := range map[string]int{"https://" + address: http.StatusOK, "http://" + address: http.StatusForbidden} {
			if status, text := call(address, origin); status != want {
				t.Errorf("Origin %s: %d %s, want %d", origin, status, text, want)
			}
		}
	})
}
