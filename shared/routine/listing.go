package routine

import "time"

// Listing is what ESA showed of the account's routines when all of them were last listed whole.
type Listing struct {
	// ReadAt is when, by ESA's clock; zero if it never was.
	ReadAt time.Time `json:"readAt,omitzero"`
	// Limit is how many routines the account may have, and Used how many it has.
	Limit int64 `json:"limit"`
	Used  int64 `json:"used"`
	// Routines are all of them, by name.
	Routines []ListedRoutine `json:"routines"`
}

// ListedRoutine is one routine of a Listing.
type ListedRoutine struct {
	Name string `json:"name"`
	// CreateTime is ESA's, in whole seconds; zero if ESA did not show it readably.
	CreateTime  time.Time `json:"createTime,omitzero"`
	Description string    `json:"description,omitempty"`
}
