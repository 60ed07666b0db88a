package accept

import (
	"context"
	"io"
	"net/http"
	"time"

	"routinely/shared/auth"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
	"routinely/shared/trace"
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

// allow makes a handler of one for callers with a scope. A request counts as one against the caller's rate before anything in its body is looked
// at; a handler of what costs more calls spend.
func (s *Service) allow(scope auth.Scope, h handler) handler {
	return func(r *http.Request) (reply, error) {
		limit := bodyLimits()[r.Pattern]
		if r.ContentLength > int64(limit) {
			return reply{}, tooLong(limit)
		}
		body := make([]byte, r.ContentLength) // whole: a signature is one of all of it
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return reply{}, problemMalformed.with("the body could not be read: " + err.Error())
		}
		caller, err := s.Guard.Authenticate(r.Header, body, s.Now())
		if err != nil {
			s.refusals.log(r, err, http.StatusUnauthorized, s.Now())
			return reply{}, notKnown(err)
		}
		out := http.Header{}
		ctx := context.WithValue(r.Context(), visitKey{}, visit{caller, body, out})
		ctx = trace.Into(ctx, s.spanOf(r.Header))
		ctx = logging.Into(ctx, logging.From(ctx).WithField(logging.Caller, caller.Name))
		if caller.Delivery != "" {
			ctx = logging.Into(ctx, logging.From(ctx).WithField("delivery", caller.Delivery))
		}
		answer, err := s.receive(r.WithContext(ctx), scope, h)
		if err != nil {
			return reply{}, problemOf(err).beside(out)
		}
		return answer.with(out), nil
	}
}

// receive counts a request of a known caller, and answers it if the caller may make it.
func (s *Service) receive(r *http.Request, scope auth.Scope, h handler) (reply, error) {
	caller := callerOf(r.Context())
	limit := s.Guard.Admit(caller, 1, s.Now())
	if err := counted(r.Context(), limit); err != nil {
		s.refusals.log(r, limit.Err(), http.StatusTooManyRequests, s.Now())
		return reply{}, err
	}
	if scope != ownRule {
		if err := caller.May(scope); err != nil {
			return reply{}, notAllowed(problemDenied, err)
		}
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		h = bodiless(h)
	}
	return h(r)
}

// spend counts a call as n more requests against the caller's rate.
func (s *Service) spend(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	return counted(ctx, s.Guard.AdmitMore(callerOf(ctx), n, s.Now()))
}

// counted writes the caller's rate into the answer's header, and returns a problem if the caller has used it up.
func counted(ctx context.Context, limit auth.Limit) error {
	v := visitOf(ctx)
	limit.SetHeaders(v.header)
	if err := limit.Err(); err != nil {
		p := notAllowed(problemTooMany, err)
		p.retryAfter = limit.RetryAfter
		return p
	}
	return nil
}

// mayKnowKey reports whether the caller may see the idempotency key of an owner's job: its own, or anybody's with the scope operate.
func mayKnowKey(caller auth.Caller, owner string) bool {
	return caller.Name == owner || caller.May(auth.Operate) == nil
}

// outsideLimits is the problem of a request that its caller may not make.
func outsideLimits(outside []routine.Problem) problem {
	return challenged(problemOutside.about(outside...))
}

// notOwner is the problem of a request about what belongs to another caller.
func notOwner(detail string) problem { return challenged(problemNotOwner.with(detail)) }

// challenged is a problem with the header that every 401 and 403 has.
func challenged(p problem) problem {
	p.header = http.Header{"Www-Authenticate": {auth.Challenge(p)}}
	return p
}

// mayRedrive refuses a dead letter whose request the caller may not make itself.
func mayRedrive(by auth.Caller, row *ledger.Row, now time.Time) error {
	if !isRedrivable(*row) || row.Request.Name == "" {
		return nil // the redrive says what it is
	}
	if outside := by.Limits.Outside(row.Request, now); len(outside) > 0 {
		return outsideLimits(outside)
	}
	return nil
}

// mayCorrect refuses a corrected request that either who corrects it or the caller of the job may not make. That the latter has ended is no
// reason: what was accepted of it goes on.
func (s *Service) mayCorrect(by auth.Caller, owner string, corrected routine.Request) error {
	outside := by.Limits.Outside(corrected, s.Now())
	if by.Name != owner {
		limits := s.Guard.Limits(owner)
		limits.ExpiresAt = time.Time{}
		outside = append(outside, limits.Outside(corrected, s.Now())...)
	}
	if len(outside) == 0 {
		return nil
	}
	for i := range outside {
		outside[i].Pointer = "/request" + outside[i].Pointer
	}
	return outsideLimits(outside)
}

// notKnown is the problem of a request whose caller is not known, or has ended.
func notKnown(err error) problem {
	if fault.HasKind(err, fault.Denied) {
		return notAllowed(problemDenied, err)
	}
	return notAllowed(problemUnauthenticated, err)
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
