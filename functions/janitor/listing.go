package janitor

import (
	"context"
	"time"

	"routinely/shared/esa"
	"routinely/shared/routine"
)

const (
	// listEvery is the time between two readings of the account's routines.
	listEvery = 5 * time.Minute
	// listTime bounds one reading, which takes a call of ESA for each twenty routines: a slow ESA does not keep the run from its other tasks.
	listTime = 15 * time.Second
)

// list lists the account's routines every five minutes, more often if expired routines are to be left alone for less, and keeps what ESA showed. A list
// that is not whole is an error and changes nothing. While the lane is parked ESA is left alone.
func (r *run) list(ctx context.Context) error {
	last, err := r.Ledger.Listing(ctx)
	if err != nil || r.Now().Sub(last.ReadAt) < min(listEvery, r.ExpirySettle) {
		return err
	}
	account, err := r.Ledger.Account(ctx)
	if err != nil || account.Park != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	list, err := r.ESA.Routines(bounded)
	if err != nil {
		return err
	}
	seen := shown(list, last)
	if err := r.Ledger.SetListing(ctx, seen); err != nil {
		return err
	}
	r.seen = &seen
	_, err = r.Ledger.ChangeAccount(ctx, func(a *routine.Account) error {
		if a.Quota == nil || a.Quota.ReadAt.Before(seen.ReadAt) { // otherwise a worker has read it since
			a.Quota = &routine.Quota{Limit: seen.Limit, Used: seen.Used, ReadAt: seen.ReadAt}
		}
		return nil
	})
	return err
}

// shown is what ESA showed, with what the listing before has of the same routines' foreign records and routes.
func shown(list esa.RoutineList, last routine.Listing) routine.Listing {
	before := make(map[string]routine.ListedRoutine, len(last.Routines))
	for _, one := range last.Routines {
		before[one.Name] = one
	}
	seen := routine.Listing{
		ReadAt: list.At, Limit: list.Limit, Used: list.Used, Routines: make([]routine.ListedRoutine, 0, len(list.Routines)), ForeignUpTo: last.ForeignUpTo,
	}
	for _, one := range list.Routines {
		next := routine.ListedRoutine{Name: one.Name, CreateTime: one.CreateTime, Description: one.Description}
		if was := before[one.Name]; was.CreateTime.Equal(one.CreateTime) {
			next.Foreign = was.Foreign
		}
		seen.Routines = append(seen.Routines, next)
	}
	return seen
}
