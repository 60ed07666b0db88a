// Package stack is the whole of Routinely on one machine: MNS, ESA, Tablestore and Function Compute as local servers, joined as s.yaml
// joins the real ones, running the function binaries as they are deployed.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/fcemu"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/local/otsemu"
	"routinely/deploy/local/serve"
)

// The account and the names of the local deployment, as in s.yaml.
const (
	AccountID       = "123456"
	Region          = "cn-hangzhou"
	AccessKeyID     = "local-access-key"
	AccessKeySecret = "local-secret-key"
	Prefix          = "routinely"
	Queue           = Prefix + "-jobs"
	DeadLetterQueue = Queue + "-dead"
	CallbackQueue   = Queue + "-callbacks"
	Instance        = "routinely"
	Table           = Prefix + "_jobs"
	StateTable      = Prefix + "_state"
	FunctionAccept  = Prefix + "-accept"
	FunctionWorker  = Prefix + "-provision"
	FunctionNotify  = Prefix + "-notify"
	FunctionJanitor = Prefix + "-janitor"
)

// The site that a new ESA account has.
const (
	SiteID   = 54362329990032
	SiteName = "example.com"
)

// Times of the local deployment, as in s.yaml and as routinely setup has them, but for one that a person at a laptop does not want to wait for: jobs that
// find the lane parked or paused come again after seconds.
const (
	acceptTimeout    = 60 * time.Second
	workerTimeout    = 300 * time.Second
	retentionSeconds = 604800
	jobLeaseSeconds  = 3600
	leaseSeconds     = 120 // of callbacks and dead letters
	pollSeconds      = 30
	notifyTimeout    = 60 * time.Second
	janitorTimeout   = 50 * time.Second
	janitorSchedule  = "@every 1m"
	// jobBatch and callbackBatch are how many messages one invocation may get, jobWindow and callbackWindow how long one waits for others.
	jobBatch, jobWindow           = 10, time.Second
	callbackBatch, callbackWindow = 10, time.Duration(0)
	// acceptInstances and notifyInstances are how many instances may run at once.
	acceptInstances = 30
	notifyInstances = 10
)

// Addresses are where the servers listen, as host:port; port 0 picks a free one.
type Addresses struct {
	// HTTP is the HTTP trigger of the function accept.
	HTTP string
	// MNS, ESA, OTS (Tablestore) and FC are the services.
	MNS, ESA, OTS, FC string
}

// Config is what a Stack needs.
type Config struct {
	Addresses Addresses
	// Hosts are names that are the servers' own beside those of serve.Guard.
	Hosts []string
	// Dir keeps the state of the servers. Required.
	Dir string
	// NoSync is that of the servers.
	NoSync bool
	// CalmQueue makes MNS miss no message and keep the order, for measurements; the real service does neither.
	CalmQueue bool
	// QueueSeed decides what MNS misses and in which order it delivers; see mnsemu.Config.
	QueueSeed uint64
	// Accept, Provision, Notify and Janitor are the function binaries. Required.
	Accept, Provision, Notify, Janitor string
	// ESALatency is how long each ESA write holds the account lock.
	ESALatency time.Duration
	// RoutineQuota and RecordQuota are ESA's; 0 means what the data directory has, or ESA's defaults.
	RoutineQuota, RecordQuota int
	// BatchSize is how many jobs one invocation may get, BatchWindow how long a job waits for others, whole seconds or RealTime; 0 means 10 and
	// 1 s.
	BatchSize   int
	BatchWindow time.Duration
	// Auth says who may call accept; empty means everybody.
	Auth string
	// CallbackSecrets sign callbacks, as ROUTINELY_CALLBACK_SECRETS has them; empty means one of the stack's own, which Dir keeps.
	CallbackSecrets string
	// MessageKeys seal the functions' messages, as ROUTINELY_MESSAGE_KEYS has them; empty means one of the stack's own, which Dir keeps.
	MessageKeys string
	// Deletion says what is deleted in ESA, as ROUTINELY_DELETE has it; empty means expired-too.
	Deletion string
	// Short lets routines live minutes and end soon after, for somebody who wants to see that.
	Short bool
	// ProvisionEnv is added to the environment of provision.
	ProvisionEnv map[string]string
	// Output gets what the functions print; nil drops it.
	Output io.Writer
	// Logger gets what the platform has to say; nil drops it.
	Logger *slog.Logger
	// OnInvocation is told of each finished invocation; nil for none.
	OnInvocation func(fcemu.Invocation)
}

// RealTime is the BatchWindow of a trigger that collects nothing: TimeBasedWindow 0.
const RealTime = -time.Second

// Stack is the servers of one local deployment.
type Stack struct {
	cfg       Config
	mns       *mnsemu.Server
	esa       *esaemu.Server
	ots       *otsemu.Server
	fc        *fcemu.Server
	listeners map[string]net.Listener
	urls      map[string]string
}

// Names of the listeners.
const (
	listenHTTP = "http"
	listenMNS  = "mns"
	listenESA  = "esa"
	listenOTS  = "ots"
	listenFC   = "fc"
)

// New opens the listeners and the data directory. Close must follow if Run does not.
func New(cfg Config) (s *Stack, err error) {
	if cfg.Dir == "" || cfg.Accept == "" || cfg.Provision == "" || cfg.Notify == "" || cfg.Janitor == "" {
		return nil, errors.New("a data directory and the four function binaries are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s = &Stack{cfg: cfg, listeners: map[string]net.Listener{}, urls: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	if err := s.listen(); err != nil {
		return s, err
	}
	s.mns, err = mnsemu.New(mnsemu.Config{
		AccountID: AccountID, AccessKeyID: AccessKeyID, AccessKeySecret: AccessKeySecret, Dir: filepath.Join(cfg.Dir, "mns"), NoSync: cfg.NoSync,
		Calm: cfg.CalmQueue, Seed: cfg.QueueSeed, Returns: true,
	})
	if err != nil {
		return s, fmt.Errorf("mns: %w", err)
	}
	s.esa, err = esaemu.New(esaemu.Config{
		AccountID: AccountID, AccessKeyID: AccessKeyID, AccessKeySecret: AccessKeySecret, Dir: filepath.Join(cfg.Dir, "esa"), NoSync: cfg.NoSync,
		Region: Region, Sites: map[int64]string{SiteID: SiteName},
		Latency: cfg.ESALatency, RoutineQuota: cfg.RoutineQuota, RecordQuota: cfg.RecordQuota,
	})
	if err != nil {
		return s, fmt.Errorf("esa: %w", err)
	}
	s.ots, err = otsemu.New(otsemu.Config{
		InstanceName: Instance, AccessKeyID: AccessKeyID, AccessKeySecret: AccessKeySecret, Dir: filepath.Join(cfg.Dir, "ots"), NoSync: cfg.NoSync,
	})
	if err != nil {
		return s, fmt.Errorf("ots: %w", err)
	}
	for _, table := range []string{Table, StateTable} {
		if err := s.ots.CreateTable(table, "p", "s"); err != nil {
			return s, fmt.Errorf("ots: %w", err)
		}
	}
	if err = addSecrets(&s.cfg); err != nil {
		return s, err
	}
	s.fc, err = fcemu.New(s.functions())
	if err != nil {
		return s, fmt.Errorf("fc: %w", err)
	}
	return s, nil
}

func (s *Stack) listen() error {
	var failed error
	for _, l := range []struct{ name, address string }{
		{listenHTTP, s.cfg.Addresses.HTTP},
		{listenMNS, s.cfg.Addresses.MNS},
		{listenESA, s.cfg.Addresses.ESA},
		{listenOTS, s.cfg.Addresses.OTS},
		{listenFC, s.cfg.Addresses.FC},
	} {
		listener, err := net.Listen("tcp", l.address)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", l.name, err))
			continue
		}
		s.listeners[l.name] = listener
		s.urls[l.name] = "http://" + listener.Addr().String()
	}
	return failed
}

// HTTPURL is the address of the HTTP trigger of accept.
func (s *Stack) HTTPURL() string { return s.urls[listenHTTP] }

// MNSURL is the address of MNS.
func (s *Stack) MNSURL() string { return s.urls[listenMNS] }

// ESAURL is the address of ESA.
func (s *Stack) ESAURL() string { return s.urls[listenESA] }

// OTSURL is the address of Tablestore.
func (s *Stack) OTSURL() string { return s.urls[listenOTS] }

// FCURL is the address of Function Compute.
func (s *Stack) FCURL() string { return s.urls[listenFC] }

// MNS is the MNS server, for faults, counters and state.
func (s *Stack) MNS() *mnsemu.Server { return s.mns }

// ESA is the ESA server.
func (s *Stack) ESA() *esaemu.Server { return s.esa }

// OTS is the Tablestore server.
func (s *Stack) OTS() *otsemu.Server { return s.ots }

// FC is the Function Compute server.
func (s *Stack) FC() *fcemu.Server { return s.fc }

// Sweep runs the janitor once, in place of waiting for its timer. A run of the timer that is under way ends first.
func (s *Stack) Sweep(ctx context.Context) error {
	event := fmt.Appendf(nil, `{"triggerTime":%q,"triggerName":"sweep","payload":""}`, time.Now().UTC().Format(time.RFC3339))
	for {
		_, err := s.fc.Invoke(ctx, FunctionJanitor, event)
		var refused *fcemu.Error
		if !errors.As(err, &refused) || refused.Kind != fcemu.Throttled {
			return err
		}
		select {
		case <-time.After(busyPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// busyPause is the time between two looks at an instance that is busy.
const busyPause = 50 * time.Millisecond

// Start is Run in the background: it returns once everything runs. stop ends it and returns its error.
func (s *Stack) Start() (stop func() error, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.Run(ctx, func(context.Context) error {
			close(ready)
			return nil
		})
	}()
	select {
	case <-ready:
		return func() error {
			cancel()
			return <-ended
		}, nil
	case err := <-ended:
		cancel()
		return nil, fmt.Errorf("the stack did not start: %w", err)
	}
}

// Run serves everything until ctx is done or a part fails, then stops the functions, the servers and closes the data
// directory. ready is called once everything answers; its error stops the stack.
func (s *Stack) Run(ctx context.Context, ready func(context.Context) error) (err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	servers, stopServers := context.WithCancel(context.WithoutCancel(ctx))
	wait := s.serve(servers)
	// The functions go first: while they stop they still hand work back.
	defer func() {
		stopServers()
		err = errors.Join(err, wait())
	}()
	if err := s.createQueues(ctx); err != nil {
		return err
	}
	return s.runFunctions(ctx, ready)
}

func (s *Stack) runFunctions(ctx context.Context, ready func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	// A function that does not start would otherwise be noticed by whoever calls it first.
	failed := s.fc.Warm(ctx)
	if failed != nil {
		stop()
	}
	ended := make(chan error, 1)
	go func() {
		ended <- s.fc.Run(ctx)
		stop()
	}()
	if failed == nil && ready != nil {
		failed = ready(ctx)
	}
	if failed != nil {
		stop()
	}
	<-ctx.Done()
	stop()
	return errors.Join(failed, <-ended)
}

// serve starts all listeners and returns a function that waits for their end.
func (s *Stack) serve(ctx context.Context) (wait func() error) {
	handlers := map[string]struct {
		handler http.Handler
		stop    func()
	}{
		listenHTTP: {s.fc.HTTP(FunctionAccept), nil},
		listenMNS:  {s.mns, s.mns.Stop},
		listenESA:  {s.esa, s.esa.Stop},
		listenOTS:  {s.ots, s.ots.Stop},
		listenFC:   {s.fc.API(), nil},
	}
	var wg sync.WaitGroup
	ended := make(chan error, len(handlers))
	for name, h := range handlers {
		listener := s.listeners[name]
		delete(s.listeners, name)
		wg.Go(func() { ended <- serve.HTTP(ctx, listener, h.handler, h.stop, "", "", s.cfg.Hosts...) })
	}
	return func() error {
		wg.Wait()
		close(ended)
		var failed error
		for err := range ended {
			failed = errors.Join(failed, err)
		}
		return failed
	}
}

func (s *Stack) createQueues(ctx context.Context) error {
	client, err := mnsclient.New(mnsclient.Config{Endpoint: s.MNSURL(), AccessKeyID: AccessKeyID, AccessKeySecret: AccessKeySecret})
	if err != nil {
		return err
	}
	defer client.Close()
	for _, q := range []struct {
		name        string
		lease, poll int
	}{{Queue, jobLeaseSeconds, pollSeconds}, {DeadLetterQueue, leaseSeconds, 0}, {CallbackQueue, leaseSeconds, pollSeconds}} {
		retention := retentionSeconds
		attributes := mnsclient.Attributes{VisibilityTimeout: &q.lease, MessageRetentionPeriod: &retention, PollingWaitSeconds: &q.poll}
		err := client.CreateQueue(ctx, q.name, attributes)
		if mnsclient.IsCode(err, mnsclient.CodeQueueAlreadyExist) { // another version has made it
			err = client.SetAttributes(ctx, q.name, attributes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Close releases listeners and data directory of a stack that does not run.
func (s *Stack) Close() error {
	var failed error
	for _, listener := range s.listeners {
		failed = errors.Join(failed, listener.Close())
	}
	if s.esa != nil {
		failed = errors.Join(failed, s.esa.Close())
	}
	if s.mns != nil {
		failed = errors.Join(failed, s.mns.Close())
	}
	if s.ots != nil {
		failed = errors.Join(failed, s.ots.Close())
	}
	s.listeners, s.esa, s.mns, s.ots = nil, nil, nil, nil
	return failed
}
