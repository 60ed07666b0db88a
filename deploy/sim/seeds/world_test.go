package seeds_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/local/otsemu"
	"routinely/deploy/sim"
	"routinely/functions/accept"
	"routinely/functions/janitor"
	"routinely/functions/notify"
	worker "routinely/functions/provision"
	"routinely/queue"
	"routinely/shared/auth"
	"routinely/shared/callback"
	"routinely/shared/esa"
	"routinely/shared/ledger"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// The servers, as the trace names them.
const (
	esaServer      = "esa"
	queueServer    = "mns"
	ledgerServer   = "ots"
	receiverServer = "receiver"
	clockServer    = "clock"
)

const (
	siteID   = localtest.SiteID
	siteName = localtest.SiteName
)

// The settings of the functions. Attempts are many, so that a job is given up for what it asks and not for what breaks.
const (
	callLimit  = time.Minute
	esaTimeout = 10 * time.Second
	retention  = 90 * 24 * time.Hour
	// expirySettle is how long the janitor leaves an expired routine alone, and expiryGrace how long it stays without its host names.
	expirySettle = 10 * time.Minute
	expiryGrace  = 3 * time.Hour
	// lifetime is the time limit of an invocation. Nothing here lasts so long.
	lifetime = time.Hour
)

// world is the servers and the functions of one run, on one clock.
type world struct {
	t      *testing.T
	random *rand.Rand
	clock  *clock.Manual
	gate   *gate
	esa    *esaemu.Server
	queues *mnsclient.Client
	// ledger is the checks' own, whose calls are not held.
	ledger *ledger.Ledger

	mnsURL, otsURL, receiverURL string
	// doors are the clients of the processes, by name: a process that takes the place of one that was killed has its clients.
	doors map[string]*doors
	mns   *mnsemu.Server
	// told are the events that the receiver of callbacks was told.
	told []told
	// guard knows the callers by their tokens.
	guard  *auth.Guard
	tokens map[string]string
}

// told is an event with the id under which it was sent.
type told struct {
	id string
	callback.Event
}

// doors are what a function reaches the servers by.
type doors struct {
	queue  *queue.Client
	ledger *ledger.Ledger
	esa    *esa.Client
}

// began is when every run begins.
var began = time.Date(2026, 1, 15, 6, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{
		t: t, random: rand.New(rand.NewPCG(seed, 2)), clock: clock.NewManual(began), gate: &gate{running: map[string]*invocation{}, news: make(chan struct{}, 1), stacks: make([]byte, 0, 1<<20)},
		doors: map[string]*doors{},
	}
	w.startGuard()
	w.startQueues(seed)
	w.startLedger()
	w.startESA()
	receiver := httptest.NewServer(http.HandlerFunc(w.receive))
	t.Cleanup(receiver.Close)
	w.receiverURL = receiver.URL
	return w
}

// startGuard makes the callers.
func (w *world) startGuard() {
	type caller struct {
		Name   string       `json:"name"`
		Scopes []auth.Scope `json:"scopes"`
		Tokens []string     `json:"tokens"`
	}
	w.tokens = map[string]string{}
	var callers []caller
	for name, scopes := range map[string][]auth.Scope{
		ann: {auth.Submit, auth.Read}, bob: {auth.Submit, auth.Read}, operator: {auth.Submit, auth.Read, auth.Operate},
	} {
		token, hash := auth.NewToken()
		w.tokens[name] = token
		callers = append(callers, caller{name, scopes, []string{hash}})
	}
	text, err := json.Marshal(map[string][]caller{"callers": callers})
	w.must(err)
	w.guard, err = auth.Parse(string(text))
	w.must(err)
}

func (w *world) startQueues(seed uint64) {
	var err error
	w.mns, err = mnsemu.New(mnsemu.Config{
		AccountID: localtest.AccountID, AccessKeyID: localtest.AccessKeyID, AccessKeySecret: localtest.AccessKeySecret,
		Dir: w.t.TempDir(), NoSync: true, Clock: w.clock, Seed: seed,
	})
	w.must(err)
	w.mnsURL = w.serve(queueServer, w.mns, w.mns.Faults(), w.mns.Stop, w.mns.Close)
	w.queues = localtest.MNSClient(w.t, w.mnsURL)
	for name, attributes := range map[string]queue.Attributes{
		sim.JobQueue: queue.JobQueueAttributes(), sim.CallbackQueue: queue.CallbackQueueAttributes(), sim.DeadLetterQueue: queue.DeadLetterQueueAttributes(),
	} {
		w.must(w.queues.CreateQueue(w.t.Context(), name, mnsclient.Attributes{
			VisibilityTimeout: &attributes.VisibilityTimeout, MessageRetentionPeriod: &attributes.MessageRetentionPeriod,
		}))
	}
}

func (w *world) startLedger() {
	server, err := otsemu.New(otsemu.Config{
		InstanceName: localtest.Instance, AccessKeyID: localtest.AccessKeyID, AccessKeySecret: localtest.AccessKeySecret,
		Dir: w.t.TempDir(), NoSync: true, Clock: w.clock,
	})
	w.must(err)
	w.otsURL = w.serve(ledgerServer, server, server.Faults(), server.Stop, server.Close)
	w.ledger = w.openLedger(localtest.Credentials)
	_, err = w.ledger.Setup(w.t.Context(), false)
	w.must(err)
}

func (w *world) startESA() {
	var err error
	w.esa, err = esaemu.New(esaemu.Config{
		AccountID: localtest.AccountID, AccessKeyID: localtest.AccessKeyID, AccessKeySecret: localtest.AccessKeySecret,
		Dir: w.t.TempDir(), NoSync: true, Clock: w.clock, SignatureClock: clock.System(), Sites: map[int64]string{siteID: siteName}, Plan: esaemu.Paid,
	})
	w.must(err)
	w.t.Cleanup(func() { w.must(w.esa.Close()) })
	w.esa.Faults().SetHook(w.gate.hook(esaServer))
}

// serve serves a server behind the gate.
func (w *world) serve(name string, server http.Handler, set *faults.Set, stop func(), end func() error) string {
	w.t.Cleanup(func() { w.must(end()) })
	set.SetHook(w.gate.hook(name))
	return localtest.Listen(w.t, w.gate.known(server), stop)
}

// receive is the receiver of callbacks. The call belongs to the function notify, of which one process runs at a time.
func (w *world) receive(out http.ResponseWriter, r *http.Request) {
	var event callback.Event
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
		out.WriteHeader(http.StatusBadRequest)
		return
	}
	w.gate.mu.Lock()
	by := w.gate.running[notifier]
	w.gate.mu.Unlock()
	take := func() {
		w.gate.mu.Lock()
		defer w.gate.mu.Unlock()
		w.told = append(w.told, told{r.Header.Get("Webhook-Id"), event})
	}
	a := w.gate.wait(&call{
		by: by, server: receiverServer, action: event.Type, about: "job=" + event.Data.ID, effect: take, answer: make(chan answer),
	})
	switch {
	case a.fault.Execute, !a.broken:
		take()
	}
	switch {
	case !a.broken:
		out.WriteHeader(http.StatusNoContent)
	case a.fault.Answer == faults.Reset:
		panic(http.ErrAbortHandler)
	default:
		out.WriteHeader(http.StatusServiceUnavailable)
	}
}

// open returns the clients of a process.
func (w *world) open(name string) *doors {
	if d := w.doors[name]; d != nil {
		return d
	}
	key := func() (id, secret, token string) { return localtest.AccessKeyID, localtest.AccessKeySecret, name }
	// An upload of code has no security token: each process has an address of its own for ESA.
	address := localtest.Listen(w.t, w.gate.from(name, w.esa), w.esa.Stop)
	account, err := esa.New(esa.Config{Endpoint: address, Credentials: key, Timeout: callLimit})
	w.must(err)
	w.t.Cleanup(account.Close)
	w.doors[name] = &doors{
		queue:  sim.Queue(w.t, queue.Config{Endpoint: w.mnsURL, Credentials: key, Timeout: callLimit}),
		ledger: w.openLedger(key), esa: account,
	}
	return w.doors[name]
}

func (w *world) openLedger(key func() (id, secret, token string)) *ledger.Ledger {
	return sim.Ledger(w.t, ledger.Config{Endpoint: w.otsURL, Credentials: key, Timeout: callLimit, Retention: retention, Now: w.clock.Now})
}

// The processes, by their functions. Of some functions two can be at work.
const (
	second      = "-2"
	acceptor    = "accept"
	provisioner = "provision"
	notifier    = "notify"
	sweeper     = "janitor"
)

// handler is a function as the platform calls it.
type handler func(context.Context, json.RawMessage) (any, error)

// handlerOf joins a function's parts as its command does, for a new process.
func (w *world) handlerOf(in *invocation) handler {
	d := w.open(in.process)
	pause := func(_ context.Context, d time.Duration) {
		w.gate.wait(&call{by: in, server: clockServer, action: "Sleep", about: d.String(), pause: d, answer: make(chan answer)})
	}
	switch strings.TrimSuffix(in.process, second) {
	case acceptor:
		return w.acceptor(d, pause)
	case provisioner:
		return w.provisioner(d, in.keeps, pause)
	case notifier:
		return w.notifier(d)
	default:
		j, err := janitor.New(janitor.Config{
			Queue: d.queue, Ledger: d.ledger, ESA: d.esa, MayExpire: true, ExpirySettle: expirySettle, ExpiryGrace: expiryGrace, ExpiryPerHour: 3,
			Retention: retention, Now: w.clock.Now, Bits: noBits,
		})
		w.must(err)
		return func(ctx context.Context, event json.RawMessage) (any, error) { return j.Handle(ctx, event) }
	}
}

func (w *world) acceptor(d *doors, pause func(context.Context, time.Duration)) handler {
	service, err := accept.New(accept.Config{
		Guard: w.guard, Receivers: receivers(), Queue: d.queue, Ledger: d.ledger, Retention: retention, Now: w.clock.Now, Sleep: pause,
		MayDelete: true, ExpiryMin: time.Hour, ExpiryMax: retention, ExpiryGrace: expiryGrace,
		Bits:  noBits,
		NewID: uuid.NewV7, // each intent has a key, which its job's id is made of
	})
	w.must(err)
	return func(ctx context.Context, event json.RawMessage) (any, error) { return service.Handle(ctx, event) }
}

// noBits makes all traces one: nothing looks at them.
func noBits() uint64 { return 0 }

// receivers lets callbacks reach the receiver.
func receivers() callback.Policy {
	return callback.Policy{AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

func (w *world) provisioner(d *doors, keeps bool, pause func(context.Context, time.Duration)) handler {
	workflow, err := provision.New(provision.Config{
		ESA: d.esa, StepTime: esaTimeout, Timeout: esaTimeout, Now: w.clock.Now, MayDelete: !keeps, MayExpire: !keeps,
	})
	w.must(err)
	f, err := worker.New(worker.Config{
		Receivers: receivers(), Queue: d.queue, Ledger: d.ledger, Workflow: workflow, QueueLimits: routine.Limits{},
		Policy: retry.Policy{
			Base: 2 * time.Second, Cap: time.Minute, MaxAttempts: 30, MaxInternalAttempts: 3, MaxAge: 1000 * time.Hour,
			StoppedMin: time.Minute, StoppedMax: time.Minute,
		},
		LockPollMin: 200 * time.Millisecond, LockPollMax: 3 * time.Second, ParkWait: time.Minute, Reserve: 10 * time.Second,
		Now: w.clock.Now, Draw: draw, Bits: noBits, Sleep: pause, Stopping: w.t.Context(),
	})
	w.must(err)
	return func(ctx context.Context, event json.RawMessage) (any, error) { return f.Handle(ctx, event) }
}

// draw is the random number of all jitter: handlers draw it in goroutines of their own.
func draw() float64 { return 0.5 }

func (w *world) notifier(d *doors) handler {
	sender, err := callback.New(callback.Config{
		Secrets: []string{"whsec_WNQ6jaJrPbH8bVy0VpcKVoqrirS6tnCNBdlLQrwI9TA="}, Policy: receivers(), Timeout: callLimit, Now: w.clock.Now,
	})
	w.must(err)
	f, err := notify.New(notify.Config{Queue: d.queue, Sender: sender, Now: w.clock.Now, Draw: draw, Bits: noBits})
	w.must(err)
	return func(ctx context.Context, event json.RawMessage) (any, error) { return f.Handle(ctx, event) }
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
