// Package invocation is what all functions are made of and share about meeting Function Compute: their parts by the
// configuration, the credentials that come with each call, a logger that names the call, and the end of the process. It is not for
// anything that some of them need alone.
package invocation

import (
	"context"
	"sync/atomic"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"
	"github.com/sirupsen/logrus"

	"routinely/shared/config"
	"routinely/shared/logging"
)

// Credentials holds the newest access key of the function's role: that of the environment at first, then that of the latest
// call, since an instance can outlive the key it was started with. It is safe for concurrent use.
type Credentials struct {
	latest atomic.Pointer[config.Key]
}

// NewCredentials starts with the key of the environment.
func NewCredentials(initial config.Key) *Credentials {
	c := &Credentials{}
	c.latest.Store(&initial)
	return c
}

// Get returns the key to sign the next call with.
func (c *Credentials) Get() (accessKeyID, accessKeySecret, securityToken string) {
	return c.latest.Load().AccessKey()
}

// Begin takes over the credentials that came with the call and returns a context whose logger names it.
func (c *Credentials) Begin(ctx context.Context, log *logrus.Entry) context.Context {
	call, ok := fccontext.FromContext(ctx)
	if !ok {
		return logging.Into(ctx, log)
	}
	if given := call.Credentials; given.AccessKeyId != "" && given.AccessKeySecret != "" {
		c.latest.Store(&config.Key{
			ID: given.AccessKeyId, Secret: config.Secret(given.AccessKeySecret), Token: config.Secret(given.SecurityToken),
		})
	}
	return logging.Into(ctx, log.WithField(logging.RequestID, call.RequestID))
}
