package esa

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	sdk "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/dara"

	"routinely/shared/fault"
)

// Site is what ESA says of a site.
type Site struct {
	ID   int64
	Name string
	// Status is SiteActive, or why the site cannot take records: pending, offline, moved, disable.
	Status string
	// AccessType is NS, where ESA serves the whole zone, or CNAME, where the owner leads single names to ESA.
	AccessType string
}

// AccessCNAME is the access type of a site whose owner leads single names to ESA.
const AccessCNAME = "CNAME"

// SiteActive is the status of a site whose plan is bought and whose onboarding is complete: only such a one takes records.
const SiteActive = "active"

const (
	// sitePageSize is the largest page of ListSites, and its default.
	sitePageSize = 500
	// maxSitePages bounds the walk: an account with more sites is not known whole.
	maxSitePages = 20
)

// Sites lists all sites of the account, and returns ESA's id of the last call. A site that is not in the list is not the account's: if ESA's
// pages do not add up, the fault has the code IncompleteList.
func (c *Client) Sites(ctx context.Context) (sites []Site, requestID string, err error) {
	const action = "ListSites"
	key := func(s Site) string { return strconv.FormatInt(s.ID, 10) }
	sites, err = all(action, maxSitePages, key, func(number int) (p page[Site], err error) {
		seen, err := c.exchange(ctx, action, func(ctx context.Context) error {
			res, err := c.sdk.ListSitesWithContext(ctx, &sdk.ListSitesRequest{
				PageNumber: dara.Int32(int32(number)), PageSize: dara.Int32(sitePageSize),
			}, &dara.RuntimeOptions{})
			if err != nil {
				return err
			}
			p, err = readSites(res.Body)
			return err
		})
		requestID = seen.requestID
		return p, err
	})
	if err != nil {
		return nil, "", err
	}
	return sites, requestID, nil
}

func readSites(body *sdk.ListSitesResponseBody) (p page[Site], err error) {
	if body == nil || body.TotalCount == nil {
		return p, unusable("no TotalCount in the answer")
	}
	p.total = int64(*body.TotalCount)
	for _, s := range body.Sites {
		if s == nil || s.SiteId == nil {
			return p, unusable("a site without its SiteId in the answer")
		}
		p.items = append(p.items, Site{
			ID: *s.SiteId, Name: strings.ToLower(dara.StringValue(s.SiteName)), Status: strings.ToLower(dara.StringValue(s.Status)),
			AccessType: strings.ToUpper(dara.StringValue(s.AccessType)),
		})
	}
	return p, nil
}

// CheckService asks whether ESA works for the account, without a routine: nil if edge routines are activated. That they are not is a fault of
// kind Account with CodeServiceNotOpen.
func (c *Client) CheckService(ctx context.Context) error {
	const action = "GetErService"
	return c.call(ctx, action, func(ctx context.Context) error {
		res, err := c.sdk.GetErServiceWithContext(ctx, &sdk.GetErServiceRequest{}, &dara.RuntimeOptions{})
		switch {
		case err != nil:
			return err
		case res.Body == nil || res.Body.Status == nil:
			return unusable("no Status in the answer")
		case *res.Body.Status != "Running":
			return &fault.Error{
				Kind: fault.Account, Code: CodeServiceNotOpen, RequestID: dara.StringValue(res.Body.RequestId), Hint: hintActivate,
				Message: fmt.Sprintf("edge routines are not activated: the service's status is %s", *res.Body.Status),
			}
		}
		return nil
	})
}

// Quota returns how many routines the account may have and has.
func (c *Client) Quota(ctx context.Context) (limit, used int64, err error) {
	err = c.call(ctx, "ListUserRoutines", func(ctx context.Context) error {
		res, err := c.sdk.ListUserRoutinesWithContext(ctx, &sdk.ListUserRoutinesRequest{
			PageNumber: dara.Int64(1), PageSize: dara.Int64(1),
		}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		if res.Body == nil || res.Body.QuotaRoutineNumber == nil || res.Body.UsedRoutineNumber == nil {
			return unusable("no QuotaRoutineNumber and UsedRoutineNumber in the answer")
		}
		limit, used = *res.Body.QuotaRoutineNumber, *res.Body.UsedRoutineNumber
		return nil
	})
	return limit, used, err
}
