package otsemu

import (
	"fmt"
	"slices"
)

// CreateTable makes a table whose primary key columns are strings and whose rows do not expire, for whoever starts the server
// with its tables. A table of that name with the same key stays as it is.
func (s *Server) CreateTable(name string, keys ...string) error {
	if !validName(name) || len(keys) == 0 || len(keys) > maxKeyColumns || !valid(keys) {
		return fmt.Errorf("table %q with the key %q: want names of letters, digits and underscores, and 1 to %d of them for the key", name, keys, maxKeyColumns)
	}
	d := newTable(name, s.now())
	d.TimeToLive, d.Adjusted = neverExpires, s.now().Unix()
	for _, key := range keys {
		d.PrimaryKey = append(d.PrimaryKey, keyColumn{Name: key, Type: keyString})
	}
	return s.store.update(func(t tx) error {
		tables, err := t.tables()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(tables, func(existing *table) bool { return existing.Name == name })
		switch {
		case i < 0:
			return t.createTable(d)
		case !slices.Equal(tables[i].PrimaryKey, d.PrimaryKey):
			return fmt.Errorf("table %q is there and has another key", name)
		}
		return nil
	})
}

func valid(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !validName(name) })
}
