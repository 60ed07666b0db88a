package client

import (
	"context"
	"encoding/json"
	"net/http"

	"routinely/shared/api"
)

// Account tells whether the account's lane runs, and if not, why.
func (c *Client) Account(ctx context.Context) (account api.Account, err error) {
	_, err = c.get(ctx, call{method: http.MethodGet, path: "/v1/account"}, &account)
	return account, err
}

// Health asks whether accept answers at all. It needs no token.
func (c *Client) Health(ctx context.Context) error {
	var out struct{}
	_, err := c.get(ctx, call{method: http.MethodGet, path: "/healthz"}, &out)
	return err
}

// Pause stops the lane until somebody resumes it. To pause a paused lane is a success.
func (c *Client) Pause(ctx context.Context, reason string) (api.Account, error) {
	return c.changeAccount(ctx, "pause", api.PauseRequest{Reason: reason})
}

// Resume takes back a pause. A lane that is not paused is a fault of kind Conflict.
func (c *Client) Resume(ctx context.Context, reason string) (api.Account, error) {
	return c.changeAccount(ctx, "resume", api.ResumeRequest{Reason: reason})
}

func (c *Client) changeAccount(ctx context.Context, action string, request any) (account api.Account, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return account, err
	}
	_, err = c.get(ctx, call{method: http.MethodPost, path: "/v1/account:" + action, body: body}, &account)
	return account, err
}
