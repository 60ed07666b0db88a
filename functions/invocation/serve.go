package invocation

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"

	"routinely/shared/logging"
)

// answerTime is left for the answer to the last event, which the SDK sends after the handler has returned.
const answerTime = 500 * time.Millisecond

// Start hands a handler to Function Compute for as long as the process lives. Before the platform destroys an idle instance
// (https://www.alibabacloud.com/help/en/functioncompute/fc-3-0/user-guide/lifecycle-hooks-for-function-instances-7-1) preStop is
// called, if the function is configured so.
func Start(handler any, preStop func(context.Context)) {
	fc.RegisterPreStopFunction(preStop)
	fc.Start(handler)
}

// Serve serves events with handle until ctx is done, which is the platform's wish that the process ends. The event at work then
// comes to its end, and no other is begun. atEnd is called once more before an instance ends, whether the platform asks the process or
// calls its hook. start is Start, or what a test has in its place.
func Serve[T any](
	ctx context.Context, p *Parts, start func(handler any, preStop func(context.Context)),
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
