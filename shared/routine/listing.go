package routine

import "time"

// Listing is what ESA showed of the account's routines when all of them were last listed whole.
type Listing struct {
	// ReadAt is when, by ESA's clock; zero if it never was.
	ReadAt time.Time `json:"readAt,omitzero"`
	// Limit is how many routines the account may have, and Used how many it has.
	Limit int64 `json:"limit"`
	Used  int64 `json:"used"`
	// Routines are all of them.
	Routines []ListedRoutine `json:"routines"`
	// ForeignUpTo is the routine whose records and routes were read last; the next reading goes on after it, by name.
	ForeignUpTo string `json:"foreignUpTo,omitempty"`
}

// ListedRoutine is one routine of a Listing.
type ListedRoutine struct {
	Name string `json:"name"`
	// CreateTime is ESA's, in whole seconds; zero if ESA did not show it readably.
	CreateTime  time.Time `json:"createTime,omitzero"`
	Description string    `json:"description,omitempty"`
	// Foreign is what is bound to it and owned by no claim, as last read; nil if nothing is, or if that was never read. It is read of routines that
	// are owned, of some of them at a time.
	Foreign *Foreign `json:"foreign,omitempty"`
}

// MaxForeign is how many records, and how many routes, a Foreign names.
const MaxForeign = 5

// Foreign is what no claim owns of the records and routes of one routine, all of which were read.
type Foreign struct {
	// ReadAt is when, by our clock.
	ReadAt time.Time `json:"readAt"`
	// Records are host names, and Routes the routes with their sites, in ESA's order and at most MaxForeign of each. MoreRecords and MoreRoutes are how
	// many there are beside them.
	Records     []string `json:"records,omitempty"`
	MoreRecords int      `json:"moreRecords,omitempty"`
	Routes      []string `json:"routes,omitempty"`
	MoreRoutes  int      `json:"moreRoutes,omitempty"`
}
