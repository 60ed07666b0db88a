package localtest

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"
)

// ReadyURL reads the line that the server called name prints once it listens, and returns its URL.
func ReadyURL(t testing.TB, name string, r io.Reader) string {
	t.Helper()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url, found := strings.CutPrefix(strings.TrimSpace(line), name+" listening on ")
	if !found || !strings.Contains(url, "://") {
		t.Fatalf("ready line %q", line)
	}
	return url
}

// RunCommand runs the subcommand of the server called name in this process. It returns the server's URL and a function that
// stops it and gives its error.
func RunCommand(t testing.TB, name string, command func(ctx context.Context, args []string, stdout, stderr io.Writer) error, args []string) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := command(ctx, args, in, io.Discard)
		in.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(cancel)
	return ReadyURL(t, name, out), func() error {
		cancel()
		return <-ended
	}
}
