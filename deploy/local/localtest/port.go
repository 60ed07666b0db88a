package localtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreeAddress is an address of this machine that nobody listens at, for a program that cannot be asked which one it has chosen. Its port is one that systems
// do not give to connections: one of those could be taken until it is listened at.
func FreeAddress(t testing.TB) string {
	t.Helper()
	const first, count = 20000, 10000
	for {
		address := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(count))
		listener, err := net.Listen("tcp", address)
		switch {
		case err == nil:
			if err := listener.Close(); err != nil {
				t.Fatal(err)
			}
			return address
		case t.Context().Err() != nil:
			t.Fatal(err)
		}
	}
}
