package esa

import (
	"context"
	"time"

	sdk "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/dara"
)

// NamedRoutine is a routine of a list.
type NamedRoutine struct {
	Name string
	Routine
}

// RoutineList is what ListUserRoutines showed.
type RoutineList struct {
	Routines []NamedRoutine
	// Limit is how many routines the account may have, and Used how many it has.
	Limit, Used int64
	// At is ESA's own clock, from the Date of the first page's answer, in whole seconds.
	At time.Time
}

// maxRoutinePages is the last page that ListUserRoutines gives (documented range 1 to 10).
const maxRoutinePages = 10

// Routines lists all routines of the account. It never returns a part of them: if ESA's pages do not add up, the fault has the code
// IncompleteList. ESA shows 200 routines at most, twice the paid plan's quota; more are a fault of kind Internal. An answer without a
// readable Date is an error, as it is for GetRoutine.
func (c *Client) Routines(ctx context.Context) (RoutineList, error) {
	const action = "ListUserRoutines"
	var out RoutineList
	key := func(r NamedRoutine) string { return r.Name }
	routines, err := all(action, maxRoutinePages, key, func(number int) (p page[NamedRoutine], err error) {
		seen, err := c.exchange(ctx, action, func(ctx context.Context) error {
			res, err := c.sdk.ListUserRoutinesWithContext(ctx, &sdk.ListUserRoutinesRequest{
				PageNumber: dara.Int64(int64(number)), PageSize: dara.Int64(pageSize),
			}, &dara.RuntimeOptions{})
			if err != nil {
				return err
			}
			p, err = out.read(res.Body)
			return err
		})
		if err == nil && seen.date.IsZero() {
			err = classify(action, unusable("no readable Date in the answer"), seen)
		}
		if number == 1 {
			out.At = seen.date
		}
		return p, err
	})
	if err != nil {
		return RoutineList{}, err
	}
	out.Routines = routines
	return out, nil
}

// read takes the quota of a page, and returns its routines.
func (l *RoutineList) read(body *sdk.ListUserRoutinesResponseBody) (p page[NamedRoutine], err error) {
	if body == nil || body.TotalCount == nil || body.QuotaRoutineNumber == nil || body.UsedRoutineNumber == nil {
		return p, unusable("no TotalCount, QuotaRoutineNumber and UsedRoutineNumber in the answer")
	}
	l.Limit, l.Used, p.total = *body.QuotaRoutineNumber, *body.UsedRoutineNumber, *body.TotalCount
	for _, r := range body.Routines {
		if r == nil || r.RoutineName == nil {
			return p, unusable("a routine without its RoutineName in the answer")
		}
		p.items = append(p.items, NamedRoutine{*r.RoutineName, Routine{
			Description: dara.StringValue(r.Description),
			HasAssets:   dara.BoolValue(r.HasAssets),
			CreateTime:  createTime(dara.StringValue(r.CreateTime)),
		}})
	}
	return p, nil
}
