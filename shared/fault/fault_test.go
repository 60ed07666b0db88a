package fault_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/fault"
)

func TestKind(t *testing.T) {
	type answer struct {
		Status int
		Retry  bool
	}
	want := map[fault.Kind]answer{
		fault.Invalid:         {http.StatusUnprocessableEntity, false},
		fault.Unauthenticated: {http.StatusUnauthorized, false},
		fault.Denied:          {http.StatusForbidden, false},
		fault.NotFound:        {http.StatusNotFound, false},
		fault.Conflict:        {http.StatusConflict, false},
		fault.Account:         {http.StatusConflict, false},
		fault.Quota:           {http.StatusConflict, false},
		fault.Locked:          {http.StatusServiceUnavailable, true},
		fault.Throttled:       {http.StatusTooManyRequests, true},
		fault.Unavailable:     {http.StatusServiceUnavailable, true},
		fault.Internal:        {http.StatusInternalServerError, true},
	}
	got := map[fault.Kind]answer{}
	for _, kind := range fault.Kinds() {
		got[kind] = answer{kind.HTTPStatus(), kind.Retryable()}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status and retry of each kind (-want +got):\n%s", diff)
	}
}

func TestError(t *testing.T) {
	t.Run("names the step, the code, the message and the request id", func(t *testing.T) {
		err := &fault.Error{Step: "CreateRoutine", Code: "ServiceNotOpen", Message: "not activated", RequestID: "R1"}
		if got, want := err.Error(), "CreateRoutine: ServiceNotOpen: not activated (request id R1)"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("falls back to the cause, then to the kind", func(t *testing.T) {
		if got := (&fault.Error{Code: "X", Err: errors.New("cause")}).Error(); got != "X: cause" {
			t.Errorf("got %q", got)
		}
		if got := (&fault.Error{Kind: fault.Locked}).Error(); got != "locked" {
			t.Errorf("got %q", got)
		}
	})
}

func TestFrom(t *testing.T) {
	t.Run("finds the fault in a chain", func(t *testing.T) {
		inner := &fault.Error{Kind: fault.Throttled}
		if got := fault.From(fmt.Errorf("sending: %w", inner)); got != inner {
			t.Errorf("got %v", got)
		}
	})
	t.Run("takes anything else for internal and keeps the cause", func(t *testing.T) {
		cause := errors.New("odd")
		got := fault.From(cause)
		if got.Kind != fault.Internal || !errors.Is(got, cause) || got.Hint == "" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("reads a missing kind as internal without changing the error", func(t *testing.T) {
		bare := &fault.Error{Code: "X"}
		if got := fault.From(bare); got.Kind != fault.Internal || got.Code != "X" || bare.Kind != "" {
			t.Errorf("got %+v, original %+v", got, bare)
		}
	})
	t.Run("keeps nil", func(t *testing.T) {
		if got := fault.From(nil); got != nil {
			t.Errorf("got %v", got)
		}
	})
}

func TestHas(t *testing.T) {
	err := fmt.Errorf("sending: %w", &fault.Error{Kind: fault.Throttled, Code: "Throttling"})
	if !fault.HasKind(err, fault.Throttled) || !fault.HasCode(err, "Throttling") {
		t.Error("the fault in the chain is not seen")
	}
	if fault.HasKind(err, fault.Locked) || fault.HasCode(err, "") || fault.HasKind(nil, fault.Internal) || fault.HasCode(nil, "") {
		t.Error("a fault is seen that is not there")
	}
}
