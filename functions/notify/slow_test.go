package notify

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"routinely/deploy/sim"
	"routinely/shared/callback"
)

// slowNames is a name server that answers once the channel is closed.
type slowNames <-chan struct{}

func (n slowNames) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	select {
	case <-n:
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// countedNames knows no name, and says so once as many are looked up as posts may be under way.
type countedNames struct {
	mu          sync.Mutex
	under, most int
	full        chan struct{}
}

func (n *countedNames) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	if n.count(1) == maxPosts {
		for range 1000 { // every look-up that can begin now begins
			runtime.Gosched()
		}
		close(n.full)
	}
	<-n.full
	n.count(-1)
	return nil, errors.New("no such name")
}

// count says how many are under way if they are more than ever before.
func (n *countedNames) count(change int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.under += change; n.under <= n.most {
		return 0
	}
	n.most = n.under
	return n.most
}

// sender makes the notifier look up names elsewhere.
func (b *bell) sender(t *testing.T, names interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
},
) {
	t.Helper()
	var err error
	b.Sender, err = callback.New(callback.Config{Secrets: []string{secret}, Resolver: names, Policy: thisMachine()})
	must(t, err)
}

func TestSlowReceivers(t *testing.T) {
	t.Run("hold up no other receiver, whatever is slow about them", func(t *testing.T) {
		b, arrived := start(t), make(chan struct{})
		b.sender(t, slowNames(arrived))
		quick := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(arrived) }))
		defer quick.Close()
		slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-arrived }))
		defer slow.Close()
		var bodies []string
		for _, url := range []string{slow.URL, strings.Replace(slow.URL, "127.0.0.1", "slow.example", 1), quick.URL} {
			c := b.news(t)
			c.URL = url
			bodies = append(bodies, b.body(t, c))
		}
		for _, line := range b.ring(t, bodies...) {
			if line.Outcome != delivered {
				t.Errorf("%+v", line)
			}
		}
	})
	t.Run("are not more at a time than the function has memory for", func(t *testing.T) {
		b, names := start(t), &countedNames{full: make(chan struct{})}
		b.sender(t, names)
		c := b.news(t)
		c.URL = "http://slow.example/hook"
		b.ring(t, slices.Repeat([]string{b.body(t, c)}, 2*maxPosts-1)...)
		if names.most != maxPosts {
			t.Errorf("%d at a time", names.most)
		}
	})
	t.Run("leave time to hand their callbacks over", func(t *testing.T) {
		b := start(t)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		c := b.news(t)
		c.URL = hanging(t, func() {})
		out, err := b.Handle(ctx, sim.Event(t, b.body(t, c)))
		if err != nil || ctx.Err() != nil || out.Messages[0].Outcome != again || out.Messages[0].Code != callback.CodeUnreachable {
			t.Errorf("%+v, %v, %v", out, err, ctx.Err())
		}
	})
}
