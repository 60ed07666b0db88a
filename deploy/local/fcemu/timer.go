package fcemu

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// TimerTrigger invokes a function asynchronously at an interval. A run that fails, or is still going on, changes nothing about the
// next one: how its event is retried, and how long it may wait for an instance, is the function's AsyncConfig.
type TimerTrigger struct {
	// Name is the trigger's name, part of its events. Required.
	Name string
	// Function is the function's name. Required.
	Function string
	// Schedule is "@every " and whole minutes as a Go duration, such as "@every 1m" or "@every 1h30m". The platform also takes cron
	// expressions of six fields; here they are refused. Required.
	Schedule string
}

// timerEvent is what the function gets. Payload is empty here. (fc-runtime-go-sdk v0.3.1, events/timer.go and README_TIMER.md.)
type timerEvent struct {
	TriggerTime string `json:"triggerTime"`
	TriggerName string `json:"triggerName"`
	Payload     string `json:"payload"`
}

// timer is a TimerTrigger at work.
type timer struct {
	server *Server
	config TimerTrigger
	every  time.Duration
}

func newTimer(s *Server, c TimerTrigger) (*timer, error) {
	text, isInterval := strings.CutPrefix(c.Schedule, "@every ")
	every, err := time.ParseDuration(text)
	switch {
	case c.Name == "":
		return nil, errors.New("a name is needed")
	case s.functions[c.Function] == nil:
		return nil, fmt.Errorf("function %q is not configured", c.Function)
	case !isInterval:
		return nil, fmt.Errorf("schedule %q: want @every and whole minutes, such as \"@every 1m\"; cron expressions do not work locally", c.Schedule)
	case err != nil || every < time.Minute || every%time.Minute != 0:
		return nil, fmt.Errorf("schedule %q: want whole minutes after @every, such as 1m or 1h30m", c.Schedule)
	}
	return &timer{server: s, config: c, every: every}, nil
}

// run fires at the interval until ctx is done.
func (t *timer) run(ctx context.Context) {
	for next := t.server.after(t.every); t.server.await(ctx, next); {
		next = t.server.after(t.every)
		event, err := compact(timerEvent{TriggerTime: t.server.clock.Now().UTC().Format(time.RFC3339), TriggerName: t.config.Name})
		if err != nil {
			t.server.log.Error("timer trigger: no event", "trigger", t.config.Name, "error", err)
			continue
		}
		// It is refused only when the server stops.
		_ = t.server.invokeAsync(t.config.Function, order{event: event, requestID: newID("1")})
	}
}
