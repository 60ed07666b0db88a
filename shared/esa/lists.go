package esa

import (
	"fmt"

	"routinely/shared/fault"
)

// CodeIncompleteList says that ESA's pages of a list are not the whole list: nothing may be concluded from what they lack.
const CodeIncompleteList = "IncompleteList"

// page is one page of a list: its items, and how many the whole list has.
type page[T any] struct {
	items []T
	total int64
}

// all reads the pages of an action's list, from page 1 on, until they add up: as many items as each page says, none twice by its key. A
// list that changes meanwhile may not add up; that is an error of kind Unavailable, since a later walk can succeed.
func all[T any](action string, maxPages int, key func(T) string, read func(number int) (page[T], error)) ([]T, error) {
	var out []T
	var total int64
	seen := map[string]bool{}
	for number := 1; number <= maxPages; number++ {
		p, err := read(number)
		if err != nil {
			return nil, err
		}
		if number == 1 {
			total = p.total
		}
		for _, item := range p.items {
			seen[key(item)] = true
		}
		out = append(out, p.items...)
		switch have := int64(len(out)); {
		case p.total != total:
			return nil, incomplete(action, "page 1 counts %d items in all, page %d counts %d", total, number, p.total)
		case len(seen) < len(out):
			return nil, incomplete(action, "up to page %d an item comes twice", number)
		case have > total:
			return nil, incomplete(action, "%d items up to page %d, of %d in all", have, number, total)
		case have == total:
			return out, nil
		case len(p.items) == 0:
			return nil, incomplete(action, "page %d is empty, after %d items of %d", number, have, total)
		}
	}
	return nil, &fault.Error{
		Kind: fault.Internal, Step: action, Code: "TooManyPages", Message: fmt.Sprintf("the list has more than %d pages", maxPages),
		Hint: "Look for it in the ESA console and report this.",
	}
}

func incomplete(action, format string, args ...any) error {
	return &fault.Error{
		Kind: fault.Unavailable, Step: action, Code: CodeIncompleteList, Message: "the list is incomplete: " + fmt.Sprintf(format, args...),
		Hint: "The list changed while it was read, or ESA did not show all of it. Redrive; if it persists, open a ticket.",
	}
}
