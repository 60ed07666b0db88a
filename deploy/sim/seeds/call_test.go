package seeds_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"routinely/deploy/local/faults"
)

// call is a call that an invocation makes, held until the driver answers it. A pause of a handler is a call to the clock.
type call struct {
	by     *invocation
	server string
	action string
	// params are the call's parameters, and about says them together with the first job that the call names.
	params map[string]string
	about  string
	pause  time.Duration
	// effect lets it take effect without an answer.
	effect func()
	answer chan answer
}

// answer is what the driver makes of a call: broken by a fault, unless it is answered as it should be.
type answer struct {
	fault  faults.Fault
	broken bool
}

// lost closes the connection of a call without an answer.
func lost() answer { return answer{faults.Fault{Answer: faults.Reset}, true} }

func (c *call) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", c.by, c.server, c.action, c.about))
}

// order sorts calls that are held at the same time: they come from goroutines that run at the same time.
func order(a, b *call) int {
	return cmp.Or(cmp.Compare(a.by.number, b.by.number), cmp.Compare(a.server, b.server), cmp.Compare(a.action, b.action), cmp.Compare(a.about, b.about))
}

// gate holds the calls of all invocations.
type gate struct {
	mu   sync.Mutex
	held []*call
	// running are the invocations by the name of their process.
	running map[string]*invocation
	// news is sent to when a call is held or an invocation has ended, and stacks is room for the stacks of all goroutines.
	news   chan struct{}
	stacks []byte
}

// wait holds a call until the driver answers it. A process that was killed is not heard.
func (g *gate) wait(c *call) answer {
	g.mu.Lock()
	if c.by.killed {
		g.mu.Unlock()
		return lost()
	}
	g.held = append(g.held, c)
	g.mu.Unlock()
	g.tell()
	return <-c.answer
}

// calls are the calls held, in order. Nothing may be moving.
func (g *gate) calls() []*call {
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.SortStableFunc(g.held, order)
	return slices.Clone(g.held)
}

// release answers a call that is held.
func (g *gate) release(c *call, a answer) {
	g.mu.Lock()
	g.held = slices.DeleteFunc(g.held, func(other *call) bool { return other == c })
	g.mu.Unlock()
	c.answer <- a
}

// kill ends a process: none of its calls takes effect any more. What becomes of those held is the driver's choice.
func (g *gate) kill(in *invocation) {
	g.mu.Lock()
	in.killed = true
	var held []*call
	g.held = slices.DeleteFunc(g.held, func(c *call) bool {
		if c.by == in {
			held = append(held, c)
		}
		return c.by == in
	})
	g.mu.Unlock()
	for _, c := range held {
		c.answer <- lost()
	}
}

// process is the key of a request's context under which the hook finds who calls.
type process struct{}

// caller is who makes a request, and the first job that its body names.
type caller struct {
	by  *invocation
	job string
}

var jobID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// known tells the hook of a server who calls. The key of each process has the process's name as its security token; the driver's own calls have
// none, and are not held.
func (g *gate) known(server http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		g.from(cmp.Or(h.Get("Security-Token"), h.Get("X-Ots-Ststoken"), h.Get("X-Acs-Security-Token")), server).ServeHTTP(w, r)
	})
}

// from tells the hook of a server that the process of that name calls.
func (g *gate) from(name string, server http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		by := g.running[name]
		g.mu.Unlock()
		if by != nil {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			r = r.WithContext(context.WithValue(r.Context(), process{}, caller{by, string(jobID.Find(body))}))
		}
		server.ServeHTTP(w, r)
	})
}

// hook holds the calls of a server.
func (g *gate) hook(server string) faults.Hook {
	return func(ctx context.Context, made faults.Call, effect func()) (faults.Fault, bool) {
		who, held := ctx.Value(process{}).(caller)
		if !held {
			return faults.Fault{}, false
		}
		var about []string
		for _, name := range slices.Sorted(maps.Keys(made.Params)) {
			about = append(about, name+"="+made.Params[name])
		}
		if who.job != "" {
			about = append(about, "job="+who.job)
		}
		a := g.wait(&call{
			by: who.by, server: server, action: made.Action, params: made.Params, about: strings.Join(about, " "), effect: effect, answer: make(chan answer),
		})
		return a.fault, a.broken
	}
}

// settle returns once nothing moves: no goroutine of this process can run but the caller's, and each one that waits for a server waits for a
// call that is held. Then nothing happens until the driver does something. The scheduler's own list of goroutines says so, which is read while all
// of them stand still. That is slow: the first look is taken once something has come to the gate, or nothing for some time.
func (g *gate) settle() {
	for {
		select {
		case <-g.news:
		case <-time.After(time.Millisecond):
		}
		runtime.Gosched() // who brought the news still has something to do
		g.stacks = g.stacks[:runtime.Stack(g.stacks[:cap(g.stacks)], true)]
		if !moving(g.stacks, len(g.network())) {
			select {
			case <-g.news: // of what was seen just now
			default:
			}
			return
		}
	}
}

// tell lets settle look.
func (g *gate) tell() {
	select {
	case g.news <- struct{}{}:
	default: // it looks anyway
	}
}

// network are the calls held that are made over a socket.
func (g *gate) network() []*call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.held), func(c *call) bool { return c.server == clockServer })
}

// moving reports whether anything can happen by itself, by the stacks of all goroutines, while so many calls are held.
func moving(stacks []byte, held int) bool {
	waiting := 0
	_, others, _ := bytes.Cut(stacks, []byte("\n\n")) // the first one is the caller
	for stack := range bytes.SplitSeq(others, []byte("\n\n")) {
		_, state, _ := bytes.Cut(stack, []byte(" ["))
		state, _, _ = bytes.Cut(state, []byte("]"))
		state, _, _ = bytes.Cut(state, []byte(","))
		has := func(function string) bool { return bytes.Contains(stack, []byte(function)) }
		switch string(state) {
		case "chan receive", "chan send", "select", "sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock", "sync.Cond.Wait",
			"sync.WaitGroup.Wait":
			if has("net/http.(*persistConn).roundTrip") {
				waiting++
			}
		case "IO wait":
			// A server waits for the next request, or a client's connection for the next answer: that is counted where it was asked for.
			if !has("net/http.(*conn).serve") && !has("net/http.(*connReader)") && !has("net/http.(*persistConn).readLoop") && !has(".Accept(") {
				waiting++
			}
		case "sleep":
			if !has("fasthttp") {
				return true
			}
		case "syscall":
			if !has("os/signal") {
				return true
			}
		default:
			return true
		}
	}
	return waiting != held
}
