package ledger

import (
	"context"
	"slices"

	"routinely/shared/routine"
)

// orderRoutines is the order of the row of what ESA showed of the account's routines.
const orderRoutines = "routines"

// Listing returns what ESA showed of the account's routines when they were last listed whole: the zero Listing if they never were.
func (l *Ledger) Listing(ctx context.Context) (s routine.Listing, err error) {
	row, err := l.readState(ctx, key{partitionAccount, orderRoutines})
	if err != nil {
		return s, err
	}
	err = row.decode(&s)
	return s, err
}

// SetListing keeps what ESA showed, unless a later showing is kept already. Descriptions are cut as those of claims are, and the names of what is
// foreign to 255 bytes: with 100 routines the row stays below the 2 MB of a cell.
func (l *Ledger) SetListing(ctx context.Context, s routine.Listing) error {
	row, err := l.readState(ctx, key{partitionAccount, orderRoutines})
	if err != nil {
		return err
	}
	s.Routines = slices.Clone(s.Routines)
	for i := range s.Routines {
		s.Routines[i].Description = cut(s.Routines[i].Description, maxDescription)
		if foreign := s.Routines[i].Foreign; foreign != nil {
			shown := *foreign
			shown.Records, shown.Routes = cutAll(shown.Records), cutAll(shown.Routes)
			s.Routines[i].Foreign = &shown
		}
	}
	_, err = l.changeState(ctx, row, func(was stateRow) (stateChange, error) {
		var kept routine.Listing
		if err := was.decode(&kept); err != nil {
			return stateChange{}, err
		}
		if kept.ReadAt.After(s.ReadAt) {
			return stateChange{mark: was.mark}, nil
		}
		return stateChange{mark: encode(s)}, nil
	})
	return err
}

// cutAll cuts the names of what is foreign.
func cutAll(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = cut(name, maxWord)
	}
	return out
}
