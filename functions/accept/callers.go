package accept

import (
	"context"
	"errors"
	"io"
	"net/http"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/fault"
	"routinely/shared/logging"
)

// visit is one request of a caller who is known.
type visit struct {
	auth.Caller
	// body is that of the request.
	body []byte
	// header is that of the answer.
	header http.Header
}

type visitKey struct{}

// visitOf is the visit that allow has begun. Without it, that is one of a caller who may do nothing.
func visitOf(ctx context.Context) visit {
	v, _ := ctx.Value(visitKey{}).(visit)
	return v
}

// callerOf is who sent the request.
func callerOf(ctx context.Context) auth.Caller { return visitOf(ctx).Caller }

// ownRule marks handlers that authorize themselves.
const ownRule auth.Scope = ""

// allow makes a handler of one for callers with a scope. A request counts as cost against the caller's rate; a handler that
// counts for itself says 0, and calls spend.
func (s *Service) allow(scope auth.Scope, cost int, h handler) handler {
	return func(r *http.Request) (reply, error) {
		// A signature is one of the whole body.
		body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, api.MaxBatchBytes))
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return reply{}, problemTooLarge.with("the body is longer than any request may be")
		}
		if err != nil {
			return reply{}, problemMalformed.with("the body could not be read: " + err.Error())
		}
		caller, err := s.Guard.Authenticate(r.Header, body, s.Now())
		if err != nil {
			return reply{}, notAllowed(problemUnauthenticated, err)
		}
		if scope != ownRule {
			if err := caller.May(scope); err != nil {
				return reply{}, notAllowed(problemDenied, err)
			}
		}
		out := http.Header{}
		ctx := context.WithValue(r.Context(), visitKey{}, visit{caller, body, out})
		ctx = logging.Into(ctx, logging.From(ctx).WithField(logging.Caller, caller.Name))
		if cost > 0 {
			if err := s.spend(ctx, cost); err != nil {
				return reply{}, err
			}
		}
		answer, err := h(r.WithContext(ctx))
		return answer.with(out), err
	}
}

// spend counts requests against the caller's rate.
func (s *Service) spend(ctx context.Context, n int) error {
	v := visitOf(ctx)
	limit := s.Guard.Admit(v.Caller, n, s.Now())
	limit.SetHeaders(v.header)
	if err := limit.Err(); err != nil {
		p := notAllowed(problemTooMany, err)
		p.header, p.retryAfter = v.header, limit.RetryAfter
		return p
	}
	return nil
}

// mayKnowKey reports whether the caller may see the idempotency key of an owner's job: its own, or anybody's with the scope operate.
func mayKnowKey(caller auth.Caller, owner string) bool {
	return caller.Name == owner || caller.May(auth.Operate) == nil
}

// notAllowed is the problem of a request that is refused because of who sends it.
func notAllowed(p problem, err error) problem {
	failure := fault.From(err)
	p = p.with(failure.Message + ". " + failure.Hint)
	if p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden {
		p.header = http.Header{"Www-Authenticate": {auth.Challenge(err)}}
	}
	return p
}
