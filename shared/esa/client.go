// Package esa is the one door to ESA's API (version 2024-09-10): a method for each action the product calls, with every
// failure classified as a *fault.Error.
//
// It closes the traps of the official SDK: each call has its own time limit, the SDK never retries, an empty 200 is not a
// success, and the status, code, request id and retry hint of every answer are read here, whatever the SDK makes of them.
// Which code means what is one table, see codes.go. It does not decide about retries or adoption.
package esa

import (
	"context"
	"errors"
	"fmt"
	"time"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sdk "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/dara"

	"routinely/shared/accesskey"
	"routinely/shared/endpoint"
	"routinely/shared/fault"
)

// Config is what a Client needs.
type Config struct {
	// Endpoint is ESA's address: a host such as esa.cn-hangzhou.aliyuncs.com, reached over HTTPS, or a URL. It is required,
	// because the SDK's own default ignores the region.
	Endpoint string
	// Credentials is where the key of each call comes from. Required.
	Credentials accesskey.Source
	// Timeout bounds each call, including reading its answer. Required.
	Timeout time.Duration
}

// Client calls ESA, one call at a time: the SDK is not safe for concurrent use (it writes shared headers), and ESA runs one
// routine operation per account anyway.
type Client struct {
	sdk     *sdk.Client
	wire    *wire
	key     accesskey.Source
	timeout time.Duration
	calls   int
}

// Calls counts the calls made so far.
func (c *Client) Calls() int { return c.calls }

// New checks the configuration and returns a client. It makes no call.
func New(cfg Config) (*Client, error) {
	address, err := endpoint.HostOrOrigin(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("esa: endpoint %w", err)
	}
	if cfg.Credentials == nil || cfg.Timeout <= 0 {
		return nil, errors.New("esa: credentials and a timeout are required")
	}
	w := newWire()
	inner, err := sdk.NewClient(&openapiutil.Config{
		Endpoint:   dara.String(address.Host),
		Protocol:   dara.String(address.Scheme),
		Credential: cfg.Credentials.Credential(),
		HttpClient: w,
	})
	if err != nil {
		return nil, fmt.Errorf("esa: %w", err)
	}
	// The embedded client's field: with it errors pass through the SDK as they are instead of being flattened to text.
	inner.Client.DisableSDKError = dara.Bool(true)
	return &Client{sdk: inner, wire: w, key: cfg.Credentials, timeout: cfg.Timeout}, nil
}

// Close drops the idle connections.
func (c *Client) Close() { c.wire.transport.CloseIdleConnections() }

// Routine is what ESA says of a routine.
type Routine struct {
	Description string
	HasAssets   bool
	// CreateTime is in whole seconds, in UTC. It is zero where ESA's text is not RFC 3339: then nothing can be proven by it.
	CreateTime time.Time
	// Live are the numbers of the versions that answer in each environment: one, two if they share the requests, none if nothing was deployed. Only
	// GetRoutine says it.
	Live map[Environment][]string
}

// Reading is what GetRoutine showed.
type Reading struct {
	// Routine is nil if ESA has no routine of the name.
	Routine *Routine
	// At is ESA's own clock, from the Date of the answer, in whole seconds.
	At time.Time
	// RequestID is ESA's id of the call.
	RequestID string
}

// CreateRoutine makes a routine; nil description and hasAssets are not sent. It returns nil only if ESA said Status OK.
func (c *Client) CreateRoutine(ctx context.Context, name string, description *string, hasAssets *bool) error {
	const action = "CreateRoutine"
	return c.call(ctx, action, func(ctx context.Context) error {
		res, err := c.sdk.CreateRoutineWithContext(ctx, &sdk.CreateRoutineRequest{
			Name: &name, Description: description, HasAssets: hasAssets,
		}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		if res.Body == nil || dara.StringValue(res.Body.Status) != statusOK {
			return unusable("no Status OK in the answer")
		}
		return nil
	})
}

// GetRoutine looks a routine up by its exact name. That ESA has none of the name (RoutineNotExist) is a reading, no error. An answer
// without a readable Date is an error: it could not be compared with a CreateTime.
func (c *Client) GetRoutine(ctx context.Context, name string) (Reading, error) {
	const action = "GetRoutine"
	var out Reading
	seen, err := c.exchange(ctx, action, func(ctx context.Context) error {
		res, err := c.sdk.GetRoutineWithContext(ctx, &sdk.GetRoutineRequest{Name: &name}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		out.Routine, err = readRoutine(res.Body)
		return err
	})
	if err != nil && !fault.HasCode(err, CodeRoutineNotExist) {
		return Reading{}, err
	}
	if seen.date.IsZero() {
		return Reading{}, classify(action, unusable("no readable Date in the answer"), seen)
	}
	out.At, out.RequestID = seen.date, seen.requestID
	return out, nil
}

func readRoutine(body *sdk.GetRoutineResponseBody) (*Routine, error) {
	if body == nil || body.CreateTime == nil {
		return nil, unusable("no CreateTime in the answer")
	}
	return &Routine{
		Description: dara.StringValue(body.Description),
		HasAssets:   dara.BoolValue(body.HasAssets),
		CreateTime:  createTime(*body.CreateTime),
		Live:        live(body.Envs),
	}, nil
}

// live reads what is deployed. Of an environment without, the entry, its CodeDeploy or that one's CodeVersions may be missing.
func live(envs []*sdk.GetRoutineResponseBodyEnvs) map[Environment][]string {
	var out map[Environment][]string
	for _, env := range envs {
		if env == nil || env.CodeDeploy == nil {
			continue
		}
		for _, v := range env.CodeDeploy.CodeVersions {
			if v != nil && dara.StringValue(v.CodeVersion) != "" {
				if out == nil {
					out = map[Environment][]string{}
				}
				out[dara.StringValue(env.Env)] = append(out[dara.StringValue(env.Env)], *v.CodeVersion)
			}
		}
	}
	return out
}

// createTime reads a CreateTime. An odd format is no reason to doubt that the routine exists: it is zero then.
func createTime(text string) time.Time {
	created, _ := time.Parse(time.RFC3339, text)
	return created.UTC()
}

// UpdateDescription gives the routine another description; an empty one is none. It returns nil only if ESA said Status OK.
func (c *Client) UpdateDescription(ctx context.Context, name, description string) error {
	return c.call(ctx, "UpdateRoutineConfigDescription", func(ctx context.Context) error {
		res, err := c.sdk.UpdateRoutineConfigDescriptionWithContext(ctx, &sdk.UpdateRoutineConfigDescriptionRequest{
			Name: &name, Description: &description,
		}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		if res.Body == nil || dara.StringValue(res.Body.Status) != statusOK {
			return unusable("no Status OK in the answer")
		}
		return nil
	})
}

// DeleteRoutine deletes a routine with its code versions. It returns nil only if ESA said Status OK; that there is none of the name is a
// fault with the code RoutineNotExist. Whether ESA refuses a routine that records or routes use is not known: delete those first.
func (c *Client) DeleteRoutine(ctx context.Context, name string) error {
	return c.call(ctx, "DeleteRoutine", func(ctx context.Context) error {
		res, err := c.sdk.DeleteRoutineWithContext(ctx, &sdk.DeleteRoutineRequest{Name: &name}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		if res.Body == nil || dara.StringValue(res.Body.Status) != statusOK {
			return unusable("no Status OK in the answer")
		}
		return nil
	})
}

const statusOK = "OK"

// call runs one API call under its own time limit and classifies its failure.
func (c *Client) call(ctx context.Context, action string, do func(context.Context) error) error {
	_, err := c.exchange(ctx, action, do)
	return err
}

// exchange is call for those who need what the answer says beside its body.
func (c *Client) exchange(ctx context.Context, action string, do func(context.Context) error) (seen answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err = c.key.Call(func() error {
		seen = answer{}
		c.calls++
		if err := do(context.WithValue(ctx, answerKey{}, &seen)); err != nil {
			return classify(action, err, seen)
		}
		return nil
	})
	return seen, err
}

// unusable is a 200 that does not say what it must. The call may have taken effect.
func unusable(message string) error {
	return &fault.Error{
		Kind: fault.Unavailable, Code: codeUnusableAnswer, Message: message, OutcomeUnknown: true, Hint: hintUnavailable,
	}
}
