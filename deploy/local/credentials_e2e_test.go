package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"routinely/deploy/local/stack"
)

// role gives a function's role another temporary key, from its next event on.
func (d *deployment) role(function, keyID, secret string) {
	d.t.Helper()
	d.send(http.MethodPut, d.url[functionCompute]+"/_local/credentials",
		fmt.Sprintf(`{"function":%q,"accessKeyId":%q,"accessKeySecret":%q,"securityToken":%q}`, function, keyID, secret, sessionToken))
}

// worker is the process of the worker, of which there is one.
func (d *deployment) worker() (pid int) {
	d.t.Helper()
	for _, in := range d.instances() {
		if in.Function == stack.FunctionWorker {
			pid = in.PID
		}
	}
	return pid
}

// TestExpiredKeys lets the keys of warm instances expire. All three servers refuse an id that is not, or no longer, the account's.
func TestExpiredKeys(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	expire := func(function string) { d.role(function, "STS.old", "old-secret") }
	renew := func(function string) { d.role(function, stack.AccessKeyID, stack.AccessKeySecret) }
	first := d.order()
	d.submit(first)
	d.awaitState(first, succeeded)
	warm := d.worker()

	t.Run("a worker whose key expired leaves its job, and does it with the next key", func(t *testing.T) {
		expire(stack.FunctionWorker)
		o := d.order()
		d.submit(o)
		until(t, "the worker is refused", func() bool {
			return strings.Contains(d.programs[functionCompute].said.String(), "OTSAuthFailed")
		})
		if j := d.job(o.id); j.State != queued || j.Attempt > 1 {
			t.Errorf("with the old key the job is %+v", j)
		}
		renew(stack.FunctionWorker)
		d.awaitState(o, succeeded)
	})

	t.Run("a key that expires between two calls of a job costs an attempt, and not the job", func(t *testing.T) {
		o := d.order()
		d.send(http.MethodPost, d.url[edgeService]+"/_local/faults", `{"action":"CreateRoutineRelatedRecord","fault":
			{"answer":"error","status":403,"code":"InvalidSecurityToken.Expired","message":"Specified SecurityToken is expired."}}`)
		d.submit(o)
		d.awaitState(o, succeeded)
		if j := d.job(o.id); len(j.Attempts) != 1 || j.Attempts[0].Kind != "unavailable" {
			t.Errorf("%+v", j)
		}
	})

	t.Run("a caller of accept is told to come again, and succeeds with the next key", func(t *testing.T) {
		expire(stack.FunctionAccept)
		o := d.order()
		status, answer := d.call(http.MethodPost, "/v1/routines", d.body(o), "Idempotency-Key", o.name)
		if status != http.StatusServiceUnavailable || !strings.Contains(answer, `"retryable":true`) {
			t.Errorf("with the old key: %d %s", status, answer)
		}
		renew(stack.FunctionAccept)
		d.submit(o)
	})

	d.settle()
	d.check()
	if now := d.worker(); now != warm {
		t.Errorf("the worker was started again: process %d was %d", now, warm)
	}
}
