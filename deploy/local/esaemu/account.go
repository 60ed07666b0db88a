package esaemu

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Standing is what the data file keeps of the account.
type Standing struct {
	// ErService is the state of Edge Routine in the account, as GetErService answers it: Running, Creating or NotOpened.
	ErService string `json:"erService"`
	// Overdue is whether bills are unpaid.
	Overdue bool `json:"overdue"`
	// Plan decides the quotas that were not set apart.
	Plan Plan `json:"plan"`
	// RoutineQuota is the number of routines the account may have.
	RoutineQuota int `json:"routineQuota"`
	// SiteQuota is the number of sites whose records each routine may be bound to.
	SiteQuota int `json:"siteQuota"`
	// RecordQuota is the number of related records each routine may have, 0 without limit: the cloud has a code for one and
	// publishes no number.
	RecordQuota int `json:"recordQuota"`
	// TakenCode is what CreateRoutine answers for a name that is taken: RoutineAlreadyExist, as its page says, or one of
	// RoutineNameAlreadyExist and RoutineNameAlreadyExists, which official tools look for too.
	TakenCode string `json:"takenCode"`
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
	// ErService is Running, Creating or NotOpened: CreateRoutine answers ServiceNotOpen unless it is Running.
	ErService *string `json:"erService"`
	// Overdue makes every write of routines, records and routes answer RoutineUserServiceStatusHalt; reads are answered as before.
	Overdue *bool `json:"overdue"`
	// Plan gives the account that plan and its quotas, over which those of the same change go.
	Plan *Plan `json:"plan"`
	// RoutineQuota, SiteQuota, RecordQuota and TakenCode are those of Standing.
	RoutineQuota *int    `json:"routineQuota"`
	SiteQuota    *int    `json:"siteQuota"`
	RecordQuota  *int    `json:"recordQuota"`
	TakenCode    *string `json:"takenCode"`
	// LatencyMillis is how long each write holds the account lock, in milliseconds.
	LatencyMillis *int64 `json:"latencyMillis"`
	// ListDelayMillis is how long new records stay out of the lists, in milliseconds.
	ListDelayMillis *int64 `json:"listDelayMillis"`
}

func (c AccountChange) check() error {
	for _, n := range []*int{c.RoutineQuota, c.SiteQuota, c.RecordQuota} {
		if n != nil && *n < 0 {
			return errors.New("routineQuota, siteQuota and recordQuota must not be negative")
		}
	}
	if codes := takenCodes(); c.TakenCode != nil && !slices.Contains(codes, *c.TakenCode) {
		return fmt.Errorf("takenCode %q: want one of %s", *c.TakenCode, strings.Join(codes, ", "))
	}
	if c.ErService != nil && !slices.Contains(erServiceStates(), *c.ErService) {
		return fmt.Errorf("erService %q: want one of %s", *c.ErService, strings.Join(erServiceStates(), ", "))
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

// SetAccount changes the account's settings. They are stored but for latency and list delay, which last as long as the server.
// It refuses negative numbers, times over a day, an unknown plan and an unknown code.
func (s *Server) SetAccount(c AccountChange) error {
	if err := c.check(); err != nil {
		return err
	}
	err := s.store.update(func(t tx) error {
		a, err := t.standing()
		if err != nil {
			return err
		}
		if c.Plan != nil {
			if err := a.subscribe(*c.Plan); err != nil {
				return err
			}
		}
		set(&a.ErService, c.ErService)
		set(&a.Overdue, c.Overdue)
		set(&a.RoutineQuota, c.RoutineQuota)
		set(&a.SiteQuota, c.SiteQuota)
		set(&a.RecordQuota, c.RecordQuota)
		set(&a.TakenCode, c.TakenCode)
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

// SetErService sets what GetErService answers: Running, Creating or NotOpened. CreateRoutine answers ServiceNotOpen unless it is Running.
func (s *Server) SetErService(status string) error {
	return s.SetAccount(AccountChange{ErService: &status})
}

// SetOverdue makes every write of routines, records and routes answer RoutineUserServiceStatusHalt, or ends that.
func (s *Server) SetOverdue(overdue bool) error {
	return s.SetAccount(AccountChange{Overdue: &overdue})
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// The states of Edge Routine in an account.
const (
	serviceRunning   = "Running"
	serviceCreating  = "Creating"
	serviceNotOpened = "NotOpened"
)

func erServiceStates() []string { return []string{serviceRunning, serviceCreating, serviceNotOpened} }

// standing reads the account; in that of a new data file the service runs, the plan is free, and nothing is overdue.
func (t tx) standing() (Standing, error) {
	a, found, err := get[Standing](t, bucketAccount, []byte(accountKey))
	if !found {
		a.TakenCode = codeRoutineAlreadyExist
	}
	a.ErService = cmp.Or(a.ErService, serviceRunning)
	if err == nil && a.Plan == "" {
		err = a.subscribe(Free)
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

// getErService tells an overdue account the same as any other: only writes are halted.
func (s *Server) getErService(params) (step, error) {
	return func(t tx) (answer, error) {
		a, err := t.standing()
		if err != nil || a.ErService == serviceNotOpened {
			return answer{"Status": serviceNotOpened}, err
		}
		plan, err := a.Plan.terms()
		return answer{"Status": a.ErService, "PlanName": plan.name}, err
	}, nil
}

func (s *Server) openErService(params) (step, error) {
	return func(t tx) (answer, error) {
		a, err := t.standing()
		if err != nil {
			return nil, err
		}
		if a.ErService != serviceNotOpened {
			return nil, refusal(codeHasOpened, "")
		}
		a.ErService = serviceRunning
		return answer{}, t.put(bucketAccount, []byte(accountKey), a)
	}, nil
}
