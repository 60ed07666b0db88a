package esa

import (
	"context"
	"strconv"

	sdk "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/dara"
)

// Route sends those requests of a site that fit its rule to a routine.
type Route struct {
	ConfigID  int64
	SiteID    int64
	RouteName string
	Rule      string
	// RequestID is ESA's id of the call that listed it.
	RequestID string
}

const (
	// routePageSize is below the 500 that ListRoutineRoutes gives at most, so that rules of some kilobytes stay within answerLimit.
	routePageSize = 100
	// maxRoutePages bounds the walk, as maxRecordPages does.
	maxRoutePages = 200
)

// Routes lists all routes to the routine, on all sites. It never returns a part of them: if ESA's pages do not add up, the fault has the code
// IncompleteList.
func (c *Client) Routes(ctx context.Context, name string) ([]Route, error) {
	const action = "ListRoutineRoutes"
	key := func(r Route) string { return strconv.FormatInt(r.ConfigID, 10) }
	return all(action, maxRoutePages, key, func(number int) (p page[Route], err error) {
		seen, err := c.exchange(ctx, action, func(ctx context.Context) error {
			res, err := c.sdk.ListRoutineRoutesWithContext(ctx, &sdk.ListRoutineRoutesRequest{
				RoutineName: &name, PageNumber: dara.Int32(int32(number)), PageSize: dara.Int32(routePageSize),
			}, &dara.RuntimeOptions{})
			if err != nil {
				return err
			}
			if res.Body == nil || res.Body.TotalCount == nil {
				return unusable("no TotalCount in the answer")
			}
			p.total = int64(*res.Body.TotalCount)
			for _, r := range res.Body.Configs {
				if r == nil || r.ConfigId == nil || r.SiteId == nil {
					return unusable("a route without its ConfigId and SiteId in the answer")
				}
				p.items = append(p.items, Route{
					ConfigID: *r.ConfigId, SiteID: *r.SiteId, RouteName: dara.StringValue(r.RouteName), Rule: dara.StringValue(r.Rule),
				})
			}
			return nil
		})
		for i := range p.items {
			p.items[i].RequestID = seen.requestID
		}
		return p, err
	})
}
