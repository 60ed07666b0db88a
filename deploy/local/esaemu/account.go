package esaemu

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
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
	// VersionQuota is the number of code versions that each routine may have; 0 is the plan's.
	VersionQuota int `json:"versionQuota"`
	// RecordQuota is the number of related records each routine may have, 0 without limit: the cloud has a code for one and
	// publishes no number.
	RecordQuota int `json:"recordQuota"`
	// UploadToken is whether uploads of JavaScript need a security token, as newer pages have it. Official tools of before send none.
	UploadToken bool `json:"uploadToken"`
	// Dangling is whether DeleteRoutine deletes a routine that records or routes use, and leaves those. Otherwise it refuses that with
	// DependedByOthers. Which of the two the cloud does is not known.
	Dangling bool `json:"dangling"`
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

// AccountChange is what SetAccount changes; nil leaves a setting as it is. Its fields are those of Account.
type AccountChange struct {
	// ErService is Running, Creating or NotOpened: CreateRoutine answers ServiceNotOpen unless it is Running.
	ErService *string `json:"erService"`
	// Overdue makes every write of routines, records and routes answer RoutineUserServiceStatusHalt; reads are answered as before.
	Overdue *bool `json:"overdue"`
	// Plan gives the account that plan and its quotas, unless the same change sets other ones.
	Plan            *Plan  `json:"plan"`
	RoutineQuota    *int   `json:"routineQuota"`
	SiteQuota       *int   `json:"siteQuota"`
	VersionQuota    *int   `json:"versionQuota"`
	RecordQuota     *int   `json:"recordQuota"`
	UploadToken     *bool  `json:"uploadToken"`
	Dangling        *bool  `json:"dangling"`
	LatencyMillis   *int64 `json:"latencyMillis"`
	ListDelayMillis *int64 `json:"listDelayMillis"`
}

// Plan is what the account pays for Edge Routine.
type Plan string

// The plans. The cloud's accounts start with Free, and this one with Paid.
const (
	Free Plan = "free"
	Paid Plan = "paid"
)

// The states of Edge Routine in an account.
const (
	serviceRunning   = "Running"
	serviceCreating  = "Creating"
	serviceNotOpened = "NotOpened"
)

// maxMillis bounds the times a script can set: a day, in milliseconds.
const maxMillis = 24 * 60 * 60 * 1000

func (c AccountChange) check() error {
	for _, n := range []*int{c.RoutineQuota, c.SiteQuota, c.VersionQuota, c.RecordQuota} {
		if n != nil && *n < 0 {
			return errors.New("routineQuota, siteQuota, versionQuota and recordQuota must not be negative")
		}
	}
	for _, n := range []*int64{c.LatencyMillis, c.ListDelayMillis} {
		if n != nil && (*n < 0 || *n > maxMillis) {
			return fmt.Errorf("latencyMillis and listDelayMillis must be from 0 to %d (a day)", maxMillis)
		}
	}
	if states := []string{serviceRunning, serviceCreating, serviceNotOpened}; c.ErService != nil && !slices.Contains(states, *c.ErService) {
		return fmt.Errorf("erService %q: want one of %v", *c.ErService, states)
	}
	if c.Plan != nil {
		return c.Plan.check()
	}
	return nil
}

func (p Plan) check() error {
	if p != Free && p != Paid {
		return fmt.Errorf("plan %q: want %s or %s", p, Free, Paid)
	}
	return nil
}

// SetAccount changes the account's settings. They are stored but for latency and list delay, which last as long as the server.
// It refuses negative numbers, times over a day, and words that ESA does not have.
func (s *Server) SetAccount(c AccountChange) error {
	if err := c.check(); err != nil {
		return err
	}
	err := s.store.update(func(t *tx) {
		a := t.standing()
		if c.Plan != nil {
			a.subscribe(*c.Plan)
		}
		set(&a.ErService, c.ErService)
		set(&a.Overdue, c.Overdue)
		set(&a.RoutineQuota, c.RoutineQuota)
		set(&a.SiteQuota, c.SiteQuota)
		set(&a.VersionQuota, c.VersionQuota)
		set(&a.UploadToken, c.UploadToken)
		set(&a.RecordQuota, c.RecordQuota)
		set(&a.Dangling, c.Dangling)
		t.put(bucketAccount, []byte(accountKey), a)
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

// SetErService sets what GetErService answers: Running, Creating or NotOpened. CreateRoutine answers ServiceNotOpen unless it is Running.
func (s *Server) SetErService(status string) error {
	return s.SetAccount(AccountChange{ErService: &status})
}

// SetOverdue makes every write of routines, records and routes answer RoutineUserServiceStatusHalt, or ends that.
func (s *Server) SetOverdue(overdue bool) error {
	return s.SetAccount(AccountChange{Overdue: &overdue})
}

// subscribe gives the account a plan with its quotas, which are those of the console guide's table of prices.
func (a *Standing) subscribe(p Plan) {
	a.Plan, a.RoutineQuota, a.SiteQuota, a.VersionQuota = p, 20, 20, p.versions()
	if p == Paid {
		a.RoutineQuota, a.SiteQuota = 100, 100
	}
}

// versions is how many each routine may have.
func (p Plan) versions() int {
	if p == Paid {
		return 20
	}
	return 5
}

// standing reads the account; in that of a new data file the service runs, the plan is paid, and nothing is overdue.
func (t *tx) standing() Standing {
	a, _ := get[Standing](t, bucketAccount, []byte(accountKey))
	a.ErService = cmp.Or(a.ErService, serviceRunning)
	if a.Plan == "" {
		a.subscribe(Paid)
	}
	if a.VersionQuota == 0 { // stored by a server that knew no versions
		a.VersionQuota = a.Plan.versions()
	}
	return a
}

// writable refuses every change of an account with unpaid bills.
func (t *tx) writable() Standing {
	a := t.standing()
	if a.Overdue {
		t.refuse(codeOverdue, "")
	}
	return a
}

// name is that of the plan for accounts of the China site.
func (p Plan) name() string {
	if p == Paid {
		return "er_paymode"
	}
	return "er_freemode"
}

func (s *Server) getErService(*params) step {
	return func(t *tx) answer {
		a := t.standing()
		if a.ErService == serviceNotOpened {
			return answer{"Status": a.ErService}
		}
		return answer{"Status": a.ErService, "PlanName": a.Plan.name()}
	}
}

func (s *Server) openErService(*params) step {
	return func(t *tx) answer {
		a := t.standing()
		if a.ErService != serviceNotOpened {
			t.refuse(codeHasOpened, "")
		}
		a.ErService = serviceRunning
		t.put(bucketAccount, []byte(accountKey), a)
		return answer{}
	}
}
