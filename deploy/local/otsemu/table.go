package otsemu

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the wide column model, from the service's page of limits.
const (
	maxTables     = 64
	maxNameBytes  = 255
	maxKeyColumns = 4
	maxKeyBytes   = 1024
	minTimeToLive = 86400
	neverExpires  = -1
)

// deviation is how far a caller's timestamp may be from now, in seconds.
const deviation = 86400

// Types of primary key columns in a table's definition.
const (
	keyInteger = 1
	keyString  = 2
	keyBinary  = 3
)

// table is a table's definition, as the data file keeps it.
type table struct {
	Name       string      `json:"name"`
	PrimaryKey []keyColumn `json:"primaryKey"`
	// TimeToLive is how long an attribute lives after it was written, in seconds; -1 is for ever.
	TimeToLive int64 `json:"timeToLive"`
	// Created is when the table was made, in microseconds since 1970.
	Created int64 `json:"created"`
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

// check refuses a definition that breaks a rule of the service.
func (d *table) check() error {
	if !validName(d.Name) {
		return invalid("Invalid table name: '%s'.", d.Name)
	}
	for i, c := range d.PrimaryKey {
		switch {
		case !validName(c.Name):
			return invalid("Invalid column name: '%s'.", c.Name)
		case slices.ContainsFunc(d.PrimaryKey[:i], func(earlier keyColumn) bool { return earlier.Name == c.Name }):
			return invalid("Duplicated primary key name: '%s'.", c.Name)
		case c.Type < keyInteger || c.Type > keyBinary:
			return invalid("Invalid column type, only STRING,INTEGER,BINARY is allowed.")
		}
	}
	switch {
	case len(d.PrimaryKey) == 0 || len(d.PrimaryKey) > maxKeyColumns:
		return invalid("The number of primary key columns must be in range: [1, %d].", maxKeyColumns)
	case d.TimeToLive == 0 || d.TimeToLive < neverExpires:
		return invalid("TimeToLive cannot be 0 or less than -1.")
	case d.TimeToLive != neverExpires && d.TimeToLive < minTimeToLive:
		return invalid("TimeToLive must be -1 or at least %d.", minTimeToLive)
	}
	return nil
}

// alive takes the expired attributes out of a row and reports whether the row still exists. A row with attributes lives as long as one
// of them; one without lives from its last write, given in milliseconds.
func (d *table) alive(r *row, written int64, now time.Time) bool {
	if len(r.cells) == 0 {
		return !d.expired(written, now)
	}
	r.cells = slices.DeleteFunc(r.cells, func(a cell) bool { return d.expired(a.timestamp, now) })
	return len(r.cells) > 0
}

// expired reports whether something written at that time, in milliseconds, has outlived the table's time to live. The service compares
// whole seconds.
func (d *table) expired(written int64, now time.Time) bool {
	return d.TimeToLive != neverExpires && written/1000+d.TimeToLive <= now.Unix()
}

// checkKey compares a primary key with the table's. Only the ends of a range may be infinite.
func (d *table) checkKey(key []cell, endOfRange bool) error {
	if len(key) != len(d.PrimaryKey) {
		return invalidKey("Validate PK size fail. Input: %d, Meta: %d.", len(key), len(d.PrimaryKey))
	}
	for i, c := range key {
		want := d.PrimaryKey[i]
		infinite := c.value.kind == kindMin || c.value.kind == kindMax
		switch {
		case c.name != want.Name:
			return invalidKey("Validate PK name fail. Input: %s, Meta: %s.", c.name, want.Name)
		case infinite && endOfRange:
		case c.value.kind != want.kind():
			return invalidKey("Validate PK type fail. Input: %s, Meta: %s.", c.value.kind, want.kind())
		}
	}
	return nil
}

// checkKeyShape refuses a primary key that no table can have.
func checkKeyShape(key []cell) error {
	for i, c := range key {
		switch {
		case c.name == "":
			return invalid("No name is given for primary key.")
		case slices.ContainsFunc(key[:i], func(earlier cell) bool { return earlier.name == c.name }):
			return invalid("Duplicated primary key name: '%s'.", c.name)
		case c.value.kind == kindNone:
			return invalid("No value is given for primary key name:%s.", c.name)
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
