// Package cloud is the one door to the management APIs that the setup calls: RAM (version 2015-05-01) for roles and policies,
// Resource Management (2020-03-31) for the roles that belong to services, Tablestore (2020-12-09) for its instances, and Simple Log Service (2020-12-30). Tables and queues
// are not its business: shared/ledger and queue set up their own.
//
// Everything is looked up before it is changed, so that nothing is left to do the second time, and a dry run calls only what reads. Every
// failure is a *fault.Error with the service's code and request id.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"

	"routinely/shared/accesskey"
	"routinely/shared/endpoint"
)

// Access is what every client of this package needs.
type Access struct {
	// Credentials is where the key of each call comes from. Required.
	Credentials accesskey.Source
	// Timeout bounds each call, including reading its answer. Required.
	Timeout time.Duration
}

// settings are the SDK's for a service's endpoint, a host such as ram.aliyuncs.com, reached over HTTPS, or a URL.
func (a Access) settings(service string, w *wire) (*openapiutil.Config, error) {
	if a.Credentials == nil || a.Timeout <= 0 {
		return nil, errors.New("credentials and a timeout are required")
	}
	address, err := endpoint.HostOrOrigin(service)
	if err != nil {
		return nil, fmt.Errorf("endpoint %w", err)
	}
	return &openapiutil.Config{
		Endpoint:   dara.String(address.Host),
		Protocol:   dara.String(address.Scheme),
		Credential: a.Credentials.Credential(),
		HttpClient: w,
	}, nil
}

// general returns a client for the APIs that have no SDK of their own: it signs calls that are put together here.
func (a Access) general(service string, w *wire) (*openapi.Client, error) {
	settings, err := a.settings(service, w)
	if err != nil {
		return nil, err
	}
	client, err := openapi.NewClient(settings)
	if err != nil {
		return nil, err
	}
	client.DisableSDKError = dara.Bool(true) // errors pass through as they are instead of being flattened to text
	return client, nil
}

// caller makes calls within their time.
type caller struct {
	wire    *wire
	timeout time.Duration
}

// call makes one call of an action and classifies its failure.
func (c caller) call(ctx context.Context, action string, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	c.wire.ctx = ctx
	if err := do(); err != nil {
		return classify(action, err, c.wire.requestID)
	}
	return nil
}

// Close drops the idle connections.
func (c caller) Close() { c.wire.transport.CloseIdleConnections() }
