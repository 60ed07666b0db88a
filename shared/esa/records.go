package esa

import (
	"context"
	"strconv"
	"strings"

	sdk "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/dara"
)

// RelatedRecord is a record that is bound to a routine.
type RelatedRecord struct {
	RecordID int64
	SiteID   int64
	// RecordName is the full host name, and SiteName the zone, both as ESA writes them.
	RecordName string
	SiteName   string
	// RequestID is ESA's id of the call that listed it.
	RequestID string
}

// CreateRoutineRelatedRecord makes a record under the site and binds it to the routine. It returns the record's id, and an
// error unless ESA said Status OK and gave an id.
func (c *Client) CreateRoutineRelatedRecord(ctx context.Context, name string, siteID int64, recordName string) (recordID int64, err error) {
	err = c.call(ctx, "CreateRoutineRelatedRecord", func(ctx context.Context) error {
		res, err := c.sdk.CreateRoutineRelatedRecordWithContext(ctx, &sdk.CreateRoutineRelatedRecordRequest{
			Name: &name, SiteId: &siteID, RecordName: &recordName,
		}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		if res.Body == nil || dara.StringValue(res.Body.Status) != statusOK || res.Body.RecordId == nil {
			return unusable("no Status OK with a RecordId in the answer")
		}
		recordID = *res.Body.RecordId
		return nil
	})
	return recordID, err
}

// DeleteRoutineRelatedRecord unbinds a record from the routine and deletes it. It returns nil only if ESA said Status OK; that there is no
// such record is a fault with the code ParameterNotExist, and no such routine one with RoutineNotExist.
func (c *Client) DeleteRoutineRelatedRecord(ctx context.Context, name string, siteID, recordID int64, recordName string) error {
	return c.call(ctx, "DeleteRoutineRelatedRecord", func(ctx context.Context) error {
		res, err := c.sdk.DeleteRoutineRelatedRecordWithContext(ctx, &sdk.DeleteRoutineRelatedRecordRequest{
			Name: &name, SiteId: &siteID, RecordId: &recordID, RecordName: &recordName,
		}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		if res.Body == nil || dara.StringValue(res.Body.Status) != statusOK {
			return unusable("no Status OK in the answer")
		}
		return nil
	})
}

// RelatedRecords lists all records that are bound to the routine. It never returns a part of them: if ESA's pages do not add up, the fault
// has the code IncompleteList. A missing routine is a fault with the code RoutineNotExist.
func (c *Client) RelatedRecords(ctx context.Context, name string) ([]RelatedRecord, error) {
	return c.relatedRecords(ctx, name, nil)
}

// FindRelatedRecord looks for the record of exactly that name (whatever its case) and site among the records bound to the
// routine. ESA's search finds names that only contain the one that is looked for, so all its pages are read: found is false only if they
// add up, as for RelatedRecords. A missing routine is a fault with code RoutineNotExist.
func (c *Client) FindRelatedRecord(ctx context.Context, name string, siteID int64, recordName string) (record RelatedRecord, found bool, err error) {
	records, err := c.relatedRecords(ctx, name, &recordName)
	for _, r := range records {
		if strings.EqualFold(r.RecordName, recordName) && r.SiteID == siteID {
			return r, true, nil
		}
	}
	return RelatedRecord{}, false, err
}

// pageSize is the largest page of ListRoutineRelatedRecords and ListUserRoutines (documented range 1 to 20).
const pageSize = 20

// maxRecordPages bounds the walk should TotalCount grow for ever; 20,000 records are far beyond any plan's quota.
const maxRecordPages = 1000

func (c *Client) relatedRecords(ctx context.Context, name string, search *string) ([]RelatedRecord, error) {
	const action = "ListRoutineRelatedRecords"
	key := func(r RelatedRecord) string { return strconv.FormatInt(r.RecordID, 10) }
	return all(action, maxRecordPages, key, func(number int) (p page[RelatedRecord], err error) {
		seen, err := c.exchange(ctx, action, func(ctx context.Context) error {
			res, err := c.sdk.ListRoutineRelatedRecordsWithContext(ctx, &sdk.ListRoutineRelatedRecordsRequest{
				Name: &name, SearchKeyWord: search, PageNumber: dara.Int64(int64(number)), PageSize: dara.Int64(pageSize),
			}, &dara.RuntimeOptions{})
			if err != nil {
				return err
			}
			if res.Body == nil || res.Body.TotalCount == nil {
				return unusable("no TotalCount in the answer")
			}
			p.total = *res.Body.TotalCount
			for _, r := range res.Body.RelatedRecords {
				if r == nil || r.RecordId == nil || r.SiteId == nil {
					return unusable("a record without its RecordId and SiteId in the answer")
				}
				p.items = append(p.items, RelatedRecord{
					RecordID: *r.RecordId, SiteID: *r.SiteId, RecordName: dara.StringValue(r.RecordName), SiteName: dara.StringValue(r.SiteName),
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
