package invocation

import (
	"io"
	"net/http"
	"strings"
)

// nextEvent ends the address at which the SDK asks for an event. (fc-runtime-go-sdk v0.3.1, fc/runtime_api_client.go.)
const nextEvent = "/runtime/invocation/next"

// CutEvents returns a transport that reads at most so many bytes of an event, and one more, by which a handler sees that there were too many. What
// follows is taken off the connection and dropped. All other requests are left to base.
//
// The SDK reads each event whole, into a buffer that doubles as it grows, before it calls the handler, and it can only be kept from that by
// http.DefaultTransport, which it uses.
func CutEvents(base http.RoundTripper, limit int) http.RoundTripper { return cutter{base, limit} }

type cutter struct {
	http.RoundTripper
	limit int
}

// RoundTrip is the base's.
func (c cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.RoundTripper.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, nextEvent) {
		res.Body = &cutBody{res.Body, c.limit + 1}
	}
	return res, err
}

// cutBody is a body of which only a part is to be seen.
type cutBody struct {
	io.ReadCloser
	left int
}

// Read reads what is to be seen. Behind it, it takes the rest off the connection, which can then be used again.
func (b *cutBody) Read(into []byte) (int, error) {
	if b.left == 0 {
		_, err := io.Copy(io.Discard, b.ReadCloser)
		if err == nil {
			err = io.EOF
		}
		return 0, err
	}
	n, err := b.ReadCloser.Read(into[:min(len(into), b.left)])
	b.left -= n
	return n, err
}
