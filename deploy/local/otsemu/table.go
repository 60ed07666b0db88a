package otsemu

import (
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the wide column model, from the service's page of limits.
const (
	maxTables        = 64
	maxNameBytes     = 255
	maxKeyColumns    = 4
	maxKeyBytes      = 1024
	maxCapacityUnits = 100000
	minTimeToLive    = 86400
	defaultDeviation = 86400
	maxDeviation     = math.MaxInt64 / 1000000
	neverExpires     = -1
)

// Types of primary key columns in a table's definition.
const (
	keyInteger = 1
	keyString  = 2
	keyBinary  = 3
)

// table is a table's definition, as the data file keeps it.
type table struct {
	Name string `json:"name"`
	// ID is a UUID, and Created when the table was made, in microseconds since 1970.
	ID         string      `json:"id"`
	Created    int64       `json:"created"`
	PrimaryKey []keyColumn `json:"primaryKey"`
	// TimeToLive is how long a version of an attribute lives, in seconds; -1 is for ever.
	TimeToLive int64 `json:"timeToLive"`
	// Deviation is how far a timestamp given by a caller may be from now, in seconds.
	Deviation int64 `json:"deviation"`
	// Read and Write are the reserved capacity units. Nothing is held against them.
	Read  int64 `json:"read"`
	Write int64 `json:"write"`
	// Adjusted is when the capacity units were set, in seconds since 1970.
	Adjusted int64 `json:"adjusted"`
}

type keyColumn struct {
	Name string `json:"name"`
	Type int64  `json:"type"`
}

func (c keyColumn) kind() kind {
	switch c.Type {
	case keyInteger:
		return kindInteger
	case keyString:
		return kindString
	}
	return kindBinary
}

func (d *table) keyNamed(name string) bool {
	return slices.ContainsFunc(d.PrimaryKey, func(c keyColumn) bool { return c.Name == name })
}

// expired reports whether a version of that time, in milliseconds, has outlived the table's time to live. The service compares
// whole seconds.
func (d *table) expired(timestamp int64, now time.Time) bool {
	return d.TimeToLive != neverExpires && timestamp/1000+d.TimeToLive <= now.Unix()
}

// checkTimestamp applies the valid version range to a timestamp the caller chose, in milliseconds.
func (d *table) checkTimestamp(c cell, now time.Time) error {
	seconds, low := c.timestamp/1000, now.Unix()-d.Deviation
	if d.TimeToLive != neverExpires {
		low = max(low, now.Unix()-d.TimeToLive)
	}
	if c.timestamp < 0 || seconds < low || seconds >= now.Unix()+d.Deviation {
		return invalid("Invalid timestamp. Cell:%s.", c.name)
	}
	return nil
}

// checkKey compares a primary key with the table's. Only the ends of a range may be infinite.
func (d *table) checkKey(key []cell, endOfRange bool) error {
	if len(key) != len(d.PrimaryKey) {
		return refuse(codeInvalidPK, "Validate PK size fail. Input: %d, Meta: %d.", len(key), len(d.PrimaryKey))
	}
	for i, c := range key {
		want := d.PrimaryKey[i]
		infinite := c.value.kind == kindMin || c.value.kind == kindMax
		switch {
		case c.name != want.Name:
			return refuse(codeInvalidPK, "Validate PK name fail. Input: %s, Meta: %s.", c.name, want.Name)
		case infinite && endOfRange:
		case c.value.kind != want.kind():
			return refuse(codeInvalidPK, "Validate PK type fail. Input: %s, Meta: %s.", c.value.kind, want.kind())
		}
	}
	return nil
}

// checkKeyShape applies what can be said of a primary key without its table.
func checkKeyShape(key []cell) error {
	for i, c := range key {
		switch {
		case c.name == "":
			return invalid("No name is given for primary key.")
		case slices.ContainsFunc(key[:i], func(earlier cell) bool { return earlier.name == c.name }):
			return invalid("Duplicated primary key name: '%s'.", c.name)
		case c.value.kind == kindNone:
			return invalid("No value is given for primary key name:%s.", c.name)
		case c.value.kind == kindAutoIncrement:
			return unsupported("An auto-increment primary key")
		case c.op != opPut:
			return invalid("OpType cannot be given for primary key name :%s.", c.name)
		case c.hasTimestamp:
			return invalid("Timestamp cannot be given for primary key name:%s.", c.name)
		case len(c.value.data) > maxKeyBytes:
			return invalid("The length of primary key column: '%s' exceeds the MaxLength: %d with CurrentLength: %d.",
				c.name, maxKeyBytes, len(c.value.data))
		}
		if err := checkText(c); err != nil {
			return err
		}
	}
	return nil
}

func checkText(c cell) error {
	if c.value.kind == kindString && !utf8.ValidString(c.value.data) {
		return invalid("Value of column '%s' must be UTF8 encoding.", c.name)
	}
	return nil
}

// validName applies the rule for names of tables and columns.
func validName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	return name != "" && len(name) <= maxNameBytes && strings.Contains(letters, name[:1]) &&
		strings.Trim(name, letters+"0123456789") == ""
}
