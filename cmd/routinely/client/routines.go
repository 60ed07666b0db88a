package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"routinely/shared/api"
	"routinely/shared/routine"
)

const routinesPath = "/v1/routines"

func routinePath(name string) string { return routinesPath + "/" + url.PathEscape(name) }

// Routine tells what the ledger knows of a routine.
func (c *Client) Routine(ctx context.Context, name string) (r api.Routine, err error) {
	_, err = c.get(ctx, call{method: http.MethodGet, path: routinePath(name)}, &r)
	return r, err
}

// Routines lists the claimed routines by name, without their host names and jobs. The filter's Names mean nothing here. next is the cursor of the
// part that follows; empty if none does.
func (c *Client) Routines(ctx context.Context, f api.RoutineFilter, w Window) (routines []api.Routine, next string, err error) {
	return paged(w, func(size int, cursor string) ([]api.Routine, string, error) {
		query := values(map[string]string{
			"caller": f.Caller, "state": string(f.State), "ownership": string(f.Ownership), "label": f.Label, "expiringBefore": moment(f.ExpiringBefore),
			"cursor": cursor, "limit": strconv.Itoa(size),
		})
		var page api.RoutineList
		_, err := c.get(ctx, call{method: http.MethodGet, path: routinesPath, query: query}, &page)
		return page.Routines, page.Next, err
	})
}

// DeleteRoutine asks for the deletion of a routine and its records. Under the same idempotency key it is the same job.
func (c *Client) DeleteRoutine(ctx context.Context, name, key string, d api.Deletion) (routine.Job, error) {
	return c.change(ctx, http.MethodDelete, routinePath(name), key, d)
}

// Unbind asks for the deletion of one record of a routine.
func (c *Client) Unbind(ctx context.Context, name, recordName, key string, d api.Deletion) (routine.Job, error) {
	return c.change(ctx, http.MethodDelete, routinePath(name)+"/records/"+url.PathEscape(recordName), key, d)
}

// Renew asks for another end of a routine's time.
func (c *Client) Renew(ctx context.Context, name, key string, r api.Renewal) (routine.Job, error) {
	return c.change(ctx, http.MethodPost, routinePath(name)+":renew", key, r)
}

// Rollback asks for an earlier version of a routine's code.
func (c *Client) Rollback(ctx context.Context, name, key string, r api.Rollback) (routine.Job, error) {
	return c.change(ctx, http.MethodPost, routinePath(name)+":rollback", key, r)
}

// KeepCode gives code to the service, which requests of the same caller can name by its hash from then on.
func (c *Client) KeepCode(ctx context.Context, source []byte) (kept api.KeptCode, err error) {
	do := call{method: http.MethodPost, path: "/v1/code", body: source, header: map[string]string{"Content-Type": "application/javascript"}}
	_, err = c.get(ctx, do, &kept)
	return kept, err
}

// Claim asks for a routine, with its records, to become the caller's own.
func (c *Client) Claim(ctx context.Context, name, key string, d api.Deletion) (routine.Job, error) {
	return c.change(ctx, http.MethodPost, routinePath(name)+":claim", key, d)
}

// change asks for a job under a key, so that a call whose answer was lost can be made again.
func (c *Client) change(ctx context.Context, method, path, key string, wanted any) (job routine.Job, err error) {
	body, err := json.Marshal(wanted)
	if err != nil {
		return job, err
	}
	_, err = c.get(ctx, call{method: method, path: path, body: body, header: map[string]string{"Idempotency-Key": key}}, &job)
	return job, err
}

// PlanDelete tells which routines a deletion of several would delete.
func (c *Client) PlanDelete(ctx context.Context, wanted api.PlanRequest) (plan api.Plan, err error) {
	body, err := json.Marshal(wanted)
	if err != nil {
		return plan, err
	}
	_, err = c.get(ctx, call{method: http.MethodPost, path: routinesPath + ":plan-delete", body: body}, &plan)
	return plan, err
}

// ApplyDelete carries a plan out, under an idempotency key. What has changed since the plan is left alone.
func (c *Client) ApplyDelete(ctx context.Context, key string, wanted api.ApplyRequest) (done api.Applied, err error) {
	body, err := json.Marshal(wanted)
	if err != nil {
		return done, err
	}
	do := call{
		method: http.MethodPost, path: routinesPath + ":apply-delete", body: body, header: map[string]string{"Idempotency-Key": key},
		also: []int{http.StatusConflict}, // of a plan of which everything has changed
	}
	_, err = c.get(ctx, do, &done)
	return done, err
}

// Check tells what differs between ESA and what is claimed, as the janitor last saw it.
func (c *Client) Check(ctx context.Context) (drift api.Drift, err error) {
	_, err = c.get(ctx, call{method: http.MethodGet, path: routinesPath + ":check"}, &drift)
	return drift, err
}
