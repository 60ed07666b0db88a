package provision

import (
	"context"
	"fmt"
	"strings"
	"time"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// CodeSiteNotActive is the code of the fault of a site that cannot take records yet, or not any more.
const CodeSiteNotActive = "SiteNotActive"

// sitesFresh is how long a site that was seen active is taken for active. One that was not seen is asked for each time.
const sitesFresh = 5 * time.Minute

// sites remembers the sites of the account that were active when they were last read, with ESA's id of that call.
type sites struct {
	active    map[int64]esa.Site
	readAt    time.Time
	requestID string
}

// checkSite refuses a request whose record cannot be made, before anything is made for it: its site is not the account's, or not active, or the
// record name is outside of the site's zone. If ESA does not list the sites, the job goes on: the record's own step judges it.
func (r *run) checkSite(ctx context.Context) error {
	if err := r.enoughTime(ctx, routine.ListSites); err != nil {
		return err
	}
	site, found := r.sites.active[r.req.SiteID]
	if !found || r.Now().Sub(r.sites.readAt) > sitesFresh {
		all, err := r.listSites(ctx)
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		if site, found = find(all, r.req.SiteID); !found {
			return r.badSite(fault.NotFound, esa.CodeSiteParameterNotMatch, "is not a site of this account",
				"Check siteId: the ESA console and `aliyun esa ListSites` show the sites' ids. Then correct and redrive.")
		}
	}
	switch {
	case site.Status != esa.SiteActive:
		return r.badSite(fault.Conflict, CodeSiteNotActive, fmt.Sprintf("(%s) is %s, not active", site.Name, site.Status),
			"Complete the site's onboarding in the ESA console, then redrive.")
	case !inZone(r.req.RecordName, site.Name):
		return r.badSite(fault.NotFound, esa.CodeSiteParameterNotMatch, fmt.Sprintf("is the zone %s, and %s is not in it", site.Name, r.req.RecordName),
			"Correct siteId or recordName, then redrive.")
	}
	return nil
}

// listSites reads the sites and remembers the active ones. An invocation asks no second time after a call that failed.
func (r *run) listSites(ctx context.Context) ([]esa.Site, error) {
	if r.known.noSites != nil {
		return nil, r.known.noSites
	}
	all, requestID, err := r.ESA.Sites(ctx)
	if err != nil {
		r.known.noSites = err
		return nil, err
	}
	r.sites = sites{active: map[int64]esa.Site{}, readAt: r.Now(), requestID: requestID}
	for _, s := range all {
		if s.Status == esa.SiteActive {
			r.sites.active[s.ID] = s
		}
	}
	return all, nil
}

func find(all []esa.Site, id int64) (esa.Site, bool) {
	for _, s := range all {
		if s.ID == id {
			return s, true
		}
	}
	return esa.Site{}, false
}

// inZone reports whether a record name is a site's name or below it. A name of a site that cannot be read is no reason to refuse.
func inZone(recordName, siteName string) bool {
	zone, wrong := routine.NormalizeRecordName(siteName)
	return wrong != "" || recordName == zone || strings.HasSuffix(recordName, "."+zone)
}

func (r *run) badSite(kind fault.Kind, code, what, hint string) error {
	return &fault.Error{
		Kind: kind, Step: string(routine.ListSites), Code: code, RequestID: r.sites.requestID, Message: fmt.Sprintf("site %d %s", r.req.SiteID, what),
		Hint: "Nothing was created. " + hint,
	}
}
