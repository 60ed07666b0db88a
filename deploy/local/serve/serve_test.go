package serve_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"routinely/deploy/local/serve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func TestHTTP(t *testing.T) {
	t.Run("lets calls under way finish when it is stopped", func(t *testing.T) {
		listener := listen(t)
		ctx, stop := context.WithCancel(t.Context())
		arrived, release := make(chan struct{}), make(chan struct{})
		handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(arrived)
			<-release
			_, _ = io.WriteString(w, "done")
		})
		ended := make(chan error, 1)
		go func() {
			// The long poll of this server ends when it is told that a stop is near.
			ended <- serve.HTTP(ctx, listener, handler, func() { close(release) }, "", "")
		}()
		go func() {
			<-arrived
			stop()
		}()
		res, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != "done" {
			t.Errorf("%q, %v", body, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	t.Run("cuts calls off that do not finish", func(t *testing.T) {
		listener := listen(t)
		ctx, stop := context.WithCancel(t.Context())
		handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			stop()
			<-r.Context().Done()
		})
		ended := make(chan error, 1)
		go func() { ended <- serve.HTTP(ctx, listener, handler, nil, "", "") }()
		if res, err := http.Get("http://" + listener.Addr().String()); err == nil {
			_ = res.Body.Close()
			t.Error("the call was answered")
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Run("names the address it cannot serve", func(t *testing.T) {
		listener := listen(t)
		_ = listener.Close()
		err := serve.HTTP(t.Context(), listener, http.NotFoundHandler(), nil, "", "")
		if err == nil || !strings.Contains(err.Error(), listener.Addr().String()) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses a certificate that is not there", func(t *testing.T) {
		if err := serve.HTTP(t.Context(), listen(t), http.NotFoundHandler(), nil, "nowhere.pem", "nowhere.key"); err == nil {
			t.Error("served")
		}
	})
}
