package queue

import (
	"context"
	"fmt"

	mns "github.com/aliyun/aliyun-mns-go-sdk"

	"routinely/shared/fault"
)

const stepDeleteQueue = "DeleteQueue"

// Remove deletes the queues with all messages in them, and says what it deleted; a queue that is not there is no failure. With dryRun it only says what
// it would delete.
func (c *Client) Remove(ctx context.Context, dryRun bool) (changes []string, err error) {
	for _, name := range []string{c.cfg.Queue, c.cfg.CallbackQueue, c.cfg.DeadLetterQueue} {
		found, err := c.attributes(ctx, name)
		if fault.HasCode(err, codeNoQueue) {
			continue
		}
		if err == nil && !dryRun {
			err = c.bounded(ctx, stepDeleteQueue, name, c.cfg.Timeout, func(sdk *call) error { return mns.NewMNSQueueManager(sdk).DeleteQueue(name) })
		}
		if err != nil {
			return changes, err
		}
		changes = append(changes, fmt.Sprintf("delete queue %s with %d messages", name, depth(found)))
	}
	return changes, nil
}
