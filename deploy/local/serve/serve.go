// Package serve runs one local server's HTTP listener from start to clean stop.
package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// grace is how long calls under way may take to finish once a server is told to stop.
const grace = 2 * time.Second

// HTTP answers requests on listener until ctx is done, then calls beforeStop (which ends long polls and hangs; may be nil),
// lets the other calls finish for two seconds and closes the rest. A stop by ctx is not an error. A certificate and its key
// (PEM files, both or neither) make it HTTPS. Foreign hosts, other than names, and foreign origins are refused: see Guard.
func HTTP(ctx context.Context, listener net.Listener, handler http.Handler, beforeStop func(), certFile, keyFile string, names ...string) error {
	server := &http.Server{Handler: Guard(handler, names...), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() {
		if certFile != "" || keyFile != "" {
			failed <- server.ServeTLS(listener, certFile, keyFile)
			return
		}
		failed <- server.Serve(listener)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	if beforeStop != nil {
		beforeStop()
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
}
