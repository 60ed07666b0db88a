package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Codes of faults about sites.
const (
	// CodeSiteNotActive: the site cannot take records yet, or not any more.
	CodeSiteNotActive = "SiteNotActive"
	// CodeSiteNotFound: no site that the caller may use fits the record name, or several do.
	CodeSiteNotFound = "SiteNotFound"
)

// sitesFresh is how long a site that was seen active is taken for active. One that was not seen is asked for each time.
const sitesFresh = 5 * time.Minute

// sites remembers the sites of the account that were active when they were last read, with ESA's id of that call.
type sites struct {
	active    map[int64]esa.Site
	readAt    time.Time
	requestID string
}

// checkSites refuses a request of which a record cannot be made, before anything is made for it: its site is not the account's, or not active, or
// the record name is outside of the site's zone, or no site fits. If ESA does not list the sites, a job whose sites are named goes on: the record's
// own step judges it.
func (r *run) checkSites(ctx context.Context) error {
	for _, record := range r.req.Records {
		if _, err := r.siteOf(ctx, record); err != nil {
			return err
		}
	}
	return nil
}

// siteOf returns the site of a record: the one that is named, or the one that fits its name.
func (r *run) siteOf(ctx context.Context, record routine.Record) (esa.Site, error) {
	if record.SiteID == 0 {
		return r.findSite(ctx, record.RecordName)
	}
	site, found := r.sites.active[record.SiteID]
	if !found || r.Now().Sub(r.sites.readAt) > sitesFresh {
		all, err := r.listSites(ctx)
		if err != nil {
			return esa.Site{ID: record.SiteID}, nil //nolint:nilerr // see checkSites
		}
		at := slices.IndexFunc(all, func(s esa.Site) bool { return s.ID == record.SiteID })
		if at < 0 {
			return esa.Site{}, r.badSite(fault.NotFound, esa.CodeSiteParameterNotMatch, fmt.Sprintf("site %d is not a site of this account", record.SiteID),
				"Correct siteId: the ESA console shows the sites' ids. Then redrive.")
		}
		site = all[at]
	}
	switch {
	case site.Status != esa.SiteActive:
		return esa.Site{}, r.badSite(fault.Conflict, CodeSiteNotActive, fmt.Sprintf("site %d (%s) is %s, not active", site.ID, site.Name, site.Status),
			"Complete the site's onboarding in the ESA console, then redrive.")
	case !inZone(record.RecordName, site.Name):
		return esa.Site{}, r.badSite(fault.NotFound, esa.CodeSiteParameterNotMatch,
			fmt.Sprintf("site %d is the zone %s, and %s is not in it", site.ID, site.Name, record.RecordName), "Correct siteId or recordName, then redrive.")
	}
	return site, nil
}

// findSite finds the site of a record name: of the active ones that the caller may use, the one with the longest name that fits.
func (r *run) findSite(ctx context.Context, recordName string) (esa.Site, error) {
	fitting := func() (best []esa.Site) {
		for _, site := range r.sites.active {
			zone, wrong := routine.NormalizeRecordName(site.Name)
			if wrong != "" || !r.job.Limits.MayUse(site.ID) || !below(recordName, zone) {
				continue
			}
			if len(best) > 0 && len(site.Name) > len(best[0].Name) {
				best = nil
			}
			if len(best) == 0 || len(site.Name) == len(best[0].Name) {
				best = append(best, site)
			}
		}
		return best
	}
	best := fitting()
	if len(best) != 1 || r.Now().Sub(r.sites.readAt) > sitesFresh {
		if _, err := r.listSites(ctx); err != nil {
			return esa.Site{}, err
		}
		best = fitting()
	}
	switch len(best) {
	case 1:
		return best[0], nil
	case 0:
		return esa.Site{}, r.badSite(fault.NotFound, CodeSiteNotFound, fmt.Sprintf("no active site that the caller may use has the host name %s in its zone", recordName),
			"Add the site in the ESA console, or give siteId; then redrive.")
	}
	var names []string
	for _, site := range best {
		names = append(names, fmt.Sprintf("%d (%s)", site.ID, site.Name))
	}
	slices.Sort(names)
	return esa.Site{}, r.badSite(fault.Conflict, CodeSiteNotFound, fmt.Sprintf("several sites have the host name %s in their zones: %s", recordName, strings.Join(names, ", ")),
		"Give siteId, then redrive.")
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

// inZone reports whether a record name is a site's name or below it. A name of a site that cannot be read is no reason to refuse.
func inZone(recordName, siteName string) bool {
	zone, wrong := routine.NormalizeRecordName(siteName)
	return wrong != "" || below(recordName, zone)
}

func below(recordName, zone string) bool {
	return recordName == zone || strings.HasSuffix(recordName, "."+zone)
}

func (r *run) badSite(kind fault.Kind, code, message, hint string) error {
	if !r.hasRoutine() {
		hint = "Nothing was created. " + hint
	}
	return &fault.Error{
		Kind: kind, Step: string(routine.ListSites), Code: code, RequestID: r.sites.requestID, Message: message, Hint: hint,
	}
}
