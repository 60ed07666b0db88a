package esaemu

import (
	"errors"
	"time"
)

// Quotas of a new data directory. The cloud's depend on the plan; 100 is the example its plan page gives for routines, and 20,
// the example of its list page, is soon used up by a demonstration.
const (
	defaultRoutineQuota = 100
	defaultRecordQuota  = 100
)

// Standing is what the data file keeps of the account.
type Standing struct {
	// Activated is whether Edge Routine is activated.
	Activated bool `json:"activated"`
	// Overdue is whether bills are unpaid.
	Overdue bool `json:"overdue"`
	// RoutineQuota is the number of routines the account may have.
	RoutineQuota int `json:"routineQuota"`
	// RecordQuota is the number of related records each routine may have.
	RecordQuota int `json:"recordQuota"`
}

// Account is the account's part of State.
type Account struct {
	Standing
	// LatencyMillis is how long each write holds the account lock, in milliseconds.
	LatencyMillis int64 `json:"latencyMillis"`
	// ListDelayMillis is how long new records stay out of the lists, in milliseconds.
	ListDelayMillis int64 `json:"listDelayMillis"`
	// Locked reports whether a write or a foreign caller holds the account lock.
	Locked bool `json:"locked"`
}

// AccountChange is what SetAccount changes; nil leaves a setting as it is.
type AccountChange struct {
	// Activated is whether Edge Routine is activated: without it CreateRoutine answers ServiceNotOpen.
	Activated *bool `json:"activated"`
	// Overdue makes every write answer RoutineUserServiceStatusHalt.
	Overdue *bool `json:"overdue"`
	// RoutineQuota is the number of routines the account may have.
	RoutineQuota *int `json:"routineQuota"`
	// RecordQuota is the number of related records each routine may have.
	RecordQuota *int `json:"recordQuota"`
	// LatencyMillis is how long each write holds the account lock, in milliseconds.
	LatencyMillis *int64 `json:"latencyMillis"`
	// ListDelayMillis is how long new records stay out of the lists, in milliseconds.
	ListDelayMillis *int64 `json:"listDelayMillis"`
}

func (c AccountChange) check() error {
	for _, n := range []*int{c.RoutineQuota, c.RecordQuota} {
		if n != nil && *n < 0 {
			return errors.New("routineQuota and recordQuota must not be negative")
		}
	}
	for _, n := range []*int64{c.LatencyMillis, c.ListDelayMillis} {
		if n != nil && (*n < 0 || *n > maxMillis) {
			return errors.New("latencyMillis and listDelayMillis must be from 0 to 86400000 (a day)")
		}
	}
	return nil
}

// maxMillis bounds the times a script can set: a day, in milliseconds.
const maxMillis = 24 * 60 * 60 * 1000

// SetAccount changes the account's settings. Activation, overdue and quotas are stored; latency and list delay last as long
// as the server. It refuses negative numbers and times over a day.
func (s *Server) SetAccount(c AccountChange) error {
	if err := c.check(); err != nil {
		return err
	}
	err := s.store.update(func(t tx) error {
		a, err := t.standing()
		if err != nil {
			return err
		}
		set(&a.Activated, c.Activated)
		set(&a.Overdue, c.Overdue)
		set(&a.RoutineQuota, c.RoutineQuota)
		set(&a.RecordQuota, c.RecordQuota)
		return t.put(bucketAccount, []byte(accountKey), a)
	})
	if err != nil {
		return err
	}
	if c.LatencyMillis != nil {
		s.latency.Store(*c.LatencyMillis * int64(time.Millisecond))
	}
	if c.ListDelayMillis != nil {
		s.listDelay.Store(*c.ListDelayMillis * int64(time.Millisecond))
	}
	return nil
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// standing reads the account; that of a new data file is activated and paid for.
func (t tx) standing() (Standing, error) {
	a, found, err := get[Standing](t, bucketAccount, []byte(accountKey))
	if !found {
		a = Standing{Activated: true, RoutineQuota: defaultRoutineQuota, RecordQuota: defaultRecordQuota}
	}
	return a, err
}

// writable refuses every change of an account with unpaid bills.
func (t tx) writable() (Standing, error) {
	a, err := t.standing()
	if err == nil && a.Overdue {
		err = refusal(codeOverdue, "")
	}
	return a, err
}

func (s *Server) getErService(params) (step, error) {
	return func(t tx) (answer, error) {
		a, err := t.standing()
		if err != nil || !a.Activated {
			return answer{"Status": "NotOpened"}, err
		}
		return answer{"Status": "Running", "PlanName": "er_free"}, nil
	}, nil
}

func (s *Server) openErService(params) (step, error) {
	return func(t tx) (answer, error) {
		a, err := t.standing()
		if err != nil {
			return nil, err
		}
		a.Activated = true
		return answer{}, t.put(bucketAccount, []byte(accountKey), a)
	}, nil
}
