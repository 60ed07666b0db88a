package mnsemu

import (
	"cmp"
	"errors"
	"fmt"

	"routinely/deploy/local/clock"
)

// Config is what a Server needs. Zero limits mean the service's own.
type Config struct {
	// AccountID owns everything; required. A request to <other account>.mns.… is denied.
	AccountID string
	// AccessKeyID and AccessKeySecret are the one pair of credentials that is accepted; required.
	AccessKeyID, AccessKeySecret string
	// Dir is the data directory, created if missing; required. It holds one file, mns.db.
	Dir string
	// NoSync leaves it to the operating system when changes reach the disk. Killing the process loses nothing then; the end of the
	// machine may.
	NoSync bool
	// Clock gives the time of messages; nil means the system's.
	Clock clock.Clock
	// Seed decides what receives miss, in which order they find the rest, how early empty long polls end, and when pushes are tried
	// again. Every number is a seed, 0 too.
	Seed uint64
	// Calm makes receives find everything, in order, and long polls wait their full time, for clients whose own tests expect that.
	Calm bool
	// Returns makes visible what was received and not deleted when the server last stopped, as if those who had it had died with it. The service never
	// stops.
	Returns bool
	// DeadLetter has the dead-letter policy of queues by name. In the cloud it is set by the management API only, which no
	// SDK of the message protocol speaks.
	DeadLetter map[string]DeadLetterPolicy
	// MaxQueues and MaxTopics bound the account: 1000 each. MaxSubscriptions bounds a topic: 100.
	MaxQueues, MaxTopics, MaxSubscriptions int
}

// DeadLetterPolicy moves a message that was received too often without being deleted.
type DeadLetterPolicy struct {
	// TargetQueue is the queue moved to; it cannot be the queue itself.
	TargetQueue string
	// MaxReceiveCount is how many receives a message gets before it moves; at least 1.
	MaxReceiveCount int
}

// complete checks the required fields and fills in the defaults.
func (c *Config) complete() error {
	for _, required := range []struct{ name, value string }{
		{"AccountID", c.AccountID}, {"AccessKeyID", c.AccessKeyID}, {"AccessKeySecret", c.AccessKeySecret}, {"Dir", c.Dir},
	} {
		if required.value == "" {
			return fmt.Errorf("config: %s is missing", required.name)
		}
	}
	for _, limit := range []struct {
		value    *int
		standard int
	}{
		{&c.MaxQueues, 1000},
		{&c.MaxTopics, 1000},
		{&c.MaxSubscriptions, 100},
	} {
		if *limit.value < 0 {
			return fmt.Errorf("config: a limit is %d, want 0 (the service's own) or more", *limit.value)
		}
		*limit.value = cmp.Or(*limit.value, limit.standard)
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	for queue, policy := range c.DeadLetter {
		if err := policy.check(queue); err != nil {
			return fmt.Errorf("config: dead letters of queue %q: %w", queue, err)
		}
	}
	return nil
}

func (p DeadLetterPolicy) check(queue string) error {
	switch {
	case p.TargetQueue == queue:
		return errors.New("the target is the queue itself")
	case p.MaxReceiveCount < 1:
		return fmt.Errorf("the maximum receive count is %d, want 1 or more", p.MaxReceiveCount)
	}
	if err := checkName("Queue", queue); err != nil {
		return err
	}
	return checkName("Queue", p.TargetQueue)
}
