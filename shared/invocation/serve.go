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
	"routinely/shared/retry"
)

// answerTime is left for the answer to the last event, which the SDK sends after the handler has returned.
const answerTime = 500 * time.Millisecond

// Process is the process of a function, as its platform treats it.
type Process struct {
	// Stopping is done once the platform has asked the process to end and Watch has been called.
	Stopping context.Context
	// Watch begins to wait for the platform to ask. It may be called any number of times.
	Watch func()
	// Start hands over the handler of events, and the hook that is called before the platform destroys an idle instance. It does not
	// return as long as the process lives.
	Start func(handler any, preStop func(context.Context))
	// Exit ends the process with a code.
	Exit func(code int)
}

// Main runs a function until the platform asks its process to end (SIGTERM), or until run returns, whose error goes to stderr. Then it
// ends the process by exit.
func Main(name string, exit func(code int), run func(Process) error) {
	stopping, stop := context.WithCancel(context.Background())
	watch := sync.OnceFunc(func() {
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		go func() {
			<-asked
			stop()
		}()
	})
	code := 0
	if err := run(Process{Stopping: stopping, Watch: watch, Start: start, Exit: exit}); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		code = 1
	}
	exit(code)
}

// start hands a handler to Function Compute for as long as the process lives. Before the platform destroys an idle instance
// (https://www.alibabacloud.com/help/en/functioncompute/fc-3-0/user-guide/lifecycle-hooks-for-function-instances-7-1) preStop is
// called, if the function is configured so.
func start(handler any, preStop func(context.Context)) {
	fc.RegisterPreStopFunction(preStop)
	fc.Start(handler)
}

// Serve serves events with handle, which gets them as they came, not yet read as JSON, until the platform asks the process to end. The event at
// work then comes to its end, and no other is begun. atEnd is called one more time before an instance ends, whether the platform asks the process or
// calls its hook.
func Serve[T any](
	process Process, p *Parts, handle func(context.Context, json.RawMessage) (T, error), atEnd func(context.Context),
) {
	// Events are its readers, the end of the process is its writer.
	var working sync.RWMutex
	// The SDK hands on bytes as they are; of any other type it would make a copy first.
	serve := func(call context.Context, event []byte) (T, error) {
		// Not before: a process without an event has nothing to finish, and the thread that waits for signals takes a tenth of a cold start.
		process.Watch()
		working.RLock()
		defer working.RUnlock()
		if process.Stopping.Err() != nil {
			var nothing T
			return nothing, errors.New("the instance is ending: the event was not begun")
		}
		ctx, returned := p.Credentials.Begin(call, p.Log), false
		defer func() {
			if !returned {
				logFailure(ctx, "the handler has panicked")
			}
		}()
		out, err := handle(ctx, event)
		returned = true
		if err != nil {
			logFailure(ctx, err.Error())
		}
		return out, err
	}
	preStop := func(call context.Context) { atEnd(p.Credentials.Begin(call, p.Log)) }
	end := func() {
		working.Lock()
		defer working.Unlock()
		rest := logging.Into(context.WithoutCancel(process.Stopping), p.Log)
		retry.Sleep(rest, answerTime)
		atEnd(rest)
		process.Exit(0)
	}
	defer context.AfterFunc(process.Stopping, end)()
	process.Start(serve, preStop)
}

// logFailure writes that the platform gets an error. Why is in the lines before, if the handler knew more.
func logFailure(ctx context.Context, why string) {
	logging.From(ctx).WithFields(logging.Fields{logging.Event: logging.InvocationFailed, logging.Error: why}).Error("the invocation has failed")
}
