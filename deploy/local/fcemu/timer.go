package fcemu

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"routinely/deploy/local/clock"
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
	// Payload is passed on in each event, which may have 128 KB in all.
	Payload string
}

// timerEvent is what the function gets. (fc-runtime-go-sdk v0.3.1, events/timer.go and README_TIMER.md.)
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

	mu      sync.Mutex
	stopped bool
	next    clock.Timer
}

func newTimer(s *Server, c TimerTrigger) (*timer, error) {
	every, err := interval(c.Schedule)
	if err != nil {
		return nil, err
	}
	event, err := c.event(time.Time{})
	switch {
	case err != nil:
		return nil, err
	case len(event) > asyncLimit:
		return nil, fmt.Errorf("payload: its event has %d bytes, want at most %d", len(event), asyncLimit)
	case !validName(c.Name):
		return nil, errors.New("name: want 1 to 64 letters, digits, hyphens and underscores, beginning with a letter or underscore")
	case s.functions[c.Function] == nil:
		return nil, fmt.Errorf("function %q is not configured", c.Function)
	}
	return &timer{server: s, config: c, every: every}, nil
}

// interval reads a schedule.
func interval(schedule string) (time.Duration, error) {
	text, ok := strings.CutPrefix(schedule, "@every ")
	if !ok {
		return 0, fmt.Errorf("schedule %q: want @every and whole minutes, such as \"@every 1m\"; cron expressions do not work locally", schedule)
	}
	every, err := time.ParseDuration(text)
	if err != nil || every < time.Minute || every%time.Minute != 0 {
		return 0, fmt.Errorf("schedule %q: want whole minutes after @every, such as 1m or 1h30m", schedule)
	}
	return every, nil
}

func (c TimerTrigger) event(at time.Time) ([]byte, error) {
	return compact(timerEvent{TriggerTime: at.UTC().Format(time.RFC3339), TriggerName: c.Name, Payload: c.Payload})
}

// run fires at the interval until ctx is done.
func (t *timer) run(ctx context.Context) {
	t.mu.Lock()
	t.arm()
	t.mu.Unlock()
	<-ctx.Done()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	t.next.Stop()
}

// arm sets the next tick. The caller holds the lock.
func (t *timer) arm() { t.next = t.server.clock.AfterFunc(t.every, t.tick) }

// tick sets the next tick first, so that nothing about this event can hold it up.
func (t *timer) tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	t.arm()
	event, err := t.config.event(t.server.clock.Now())
	if err != nil {
		t.server.log.Error("timer trigger: no event", "trigger", t.config.Name, "error", err)
		return
	}
	o := order{source: Timer, event: event, requestID: newID("1")}
	if failed := t.server.invokeAsync(t.config.Function, o, t.dropped); failed != nil {
		t.dropped(failed)
	}
}

// dropped reports an event that is given up.
func (t *timer) dropped(reason *Error) {
	if t.server.config.OnTrigger != nil {
		t.server.config.OnTrigger(TriggerEvent{Trigger: t.config.Name, Kind: Dropped, Messages: 1, Err: reason})
	}
}
