package callback

import (
	"context"
	"net"
	"time"

	"routinely/shared/webhook"
)

// Dial dials whatever it is given, names included, as if nothing had been looked up and checked before.
func (s *Sender) Dial(ctx context.Context, address string) (net.Conn, error) {
	return s.dialer.DialContext(ctx, "tcp", address)
}

// Sign returns the signature of any text by the secret itself.
func Sign(secret, id string, at time.Time, body []byte) string {
	key, _ := webhook.ReadSecret(secret)
	return sign(key, id, at, body)
}

// Target is the host and port that a callback to the URL connects to, and the URL that it asks for.
func Target(text string, policy Policy) (host string, port uint16, normal string, err error) {
	t, err := parse(text, policy)
	return t.host, t.port, t.url.String(), err
}
