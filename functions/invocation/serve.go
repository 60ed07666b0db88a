package invocation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"

	"routinely/shared/logging"
)

// answerTime is left for the answer to the last event, which the SDK sends after the handler has returned.
const answerTime = 500 * time.Millisecond

// Starter hands over the handler of events, and the hook that is called before the platform destroys an idle instance.
type Starter func(handler any, preStop func(context.Context))

// Main runs a function until the platform asks its process to end (SIGTERM), and returns the exit code. Its error goes to stderr.
func Main(name string, run func(stopping context.Context, start Starter) error) int {
	stopping, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(stopping, start); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// start hands a handler to Function Compute for as long as the process lives. Before the platform destroys an idle instance
// (https://www.alibabacloud.com/help/en/functioncompute/fc-3-0/user-guide/lifecycle-hooks-for-function-instances-7-1) preStop is
// called, if the function is configured so.
func start(handler any, preStop func(context.Context)) {
	fc.RegisterPreStopFunction(preStop)
	fc.Start(handler)
}

// Serve serves events with handle until ctx is done, which is the platform's wish that the process ends. The event at work then
// comes to its end, and no other is begun. atEnd is called once more before an instance ends, whether the platform asks the process or
// calls its hook.
func Serve[T any](
	ctx context.Context, p *Parts, start Starter,
	handle func(context.Context, json.RawMessage) (T, error), atEnd func(context.Context),
) {
	// Events are its readers, the end of the process is its writer.
	var working sync.RWMutex
	serve := func(call context.Context, event json.RawMessage) (T, error) {
		working.RLock()
		defer working.RUnlock()
		if ctx.Err() != nil {
			var nothing T
			return nothing, errors.New("the instance is ending: the event was not begun")
		}
		return handle(p.Credentials.Begin(call, p.Log), event)
	}
	preStop := func(call context.Context) { atEnd(p.Credentials.Begin(call, p.Log)) }
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		start(serve, preStop)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		working.Lock()
		defer working.Unlock()
		Sleep(context.WithoutCancel(ctx), answerTime)
	}
	atEnd(logging.Into(context.WithoutCancel(ctx), p.Log))
}
