package otsemu

import (
	"errors"
	"time"
)

func (s *Server) createTable(m *message) ([]byte, error) {
	m.require(1, 2)
	d, err := readTable(m.inner(1), s.now())
	if err != nil {
		return nil, err
	}
	if err := refuseExtras(m.inner(5), m.inner(6), m.has(7), m.flag(8, false)); err != nil {
		return nil, err
	}
	if err := d.reserve(m.inner(2), s.now()); err != nil {
		return nil, err
	}
	options := m.inner(3)
	switch {
	case !options.has(1):
		return nil, invalid("Time-to-live is missing while creating table.")
	case !options.has(2):
		return nil, invalid("MaxVersions is missing while creating table.")
	}
	if err := d.setOptions(options); err != nil {
		return nil, err
	}
	if *m.problem != nil {
		return nil, *m.problem
	}
	return nil, s.store.update(func(t tx) error { return t.createTable(d) })
}

func (t tx) createTable(d *table) error {
	tables := t.Bucket([]byte(bucketTables))
	if tables.Get([]byte(d.Name)) != nil {
		return refuse(codeObjectAlreadyExist, "Requested table already exists.")
	}
	if existing, err := t.tables(); err != nil {
		return err
	} else if len(existing) >= maxTables {
		return refuse(codeQuotaExhausted, "Number of tables exceeded the quota.")
	}
	if _, err := t.Bucket([]byte(bucketRows)).CreateBucket([]byte(d.Name)); err != nil {
		return err
	}
	return t.putTable(d)
}

// newTable is a table that is made now.
func newTable(name string, now time.Time) *table {
	return &table{Name: name, ID: uuidText(uuid()), Created: now.UnixMicro(), Deviation: defaultDeviation}
}

// readTable reads the TableMeta of a table that is made now.
func readTable(m *message, now time.Time) (*table, error) {
	m.require(1)
	d := newTable(m.text(1), now)
	if !validName(d.Name) {
		return nil, invalid("Invalid table name: '%s'.", d.Name)
	}
	for _, column := range m.inners(2) {
		column.require(1, 2)
		c := keyColumn{Name: column.text(1), Type: column.number(2, 0)}
		switch {
		case !validName(c.Name):
			return nil, invalid("Invalid column name: '%s'.", c.Name)
		case d.keyNamed(c.Name):
			return nil, invalid("Duplicated primary key name: '%s'.", c.Name)
		case c.Type < keyInteger || c.Type > keyBinary:
			return nil, invalid("Invalid column type, only STRING,INTEGER,BINARY is allowed.")
		case column.has(3):
			return nil, unsupported("An auto-increment primary key")
		}
		d.PrimaryKey = append(d.PrimaryKey, c)
	}
	if n := len(d.PrimaryKey); n == 0 || n > maxKeyColumns {
		return nil, invalid("The number of primary key columns must be in range: [1, %d].", maxKeyColumns)
	}
	if m.has(3) || m.has(4) {
		return nil, unsupported("A predefined column")
	}
	return d, nil
}

// refuseExtras refuses what a table of the service can have beside rows.
func refuseExtras(stream, encryption *message, index, transactions bool) error {
	switch {
	case stream.flag(1, false):
		return unsupported("A stream")
	case encryption.flag(1, false):
		return unsupported("Encryption")
	case index:
		return unsupported("A secondary index")
	case transactions:
		return unsupported("A local transaction")
	}
	return nil
}

// reserve sets the capacity units from a ReservedThroughput.
func (d *table) reserve(m *message, now time.Time) error {
	m.require(1)
	units := m.inner(1)
	d.Read, d.Write = units.number(1, d.Read), units.number(2, d.Write)
	d.Adjusted = now.Unix()
	for _, n := range []int64{d.Read, d.Write} {
		if n < 0 || n > maxCapacityUnits {
			return invalid("Invalid Capacity Unit:%d. Capacity Unit must be nonnegative and at most %d.", n, maxCapacityUnits)
		}
	}
	return nil
}

// setOptions sets what is given in a TableOptions. One version of an attribute is all this server keeps.
func (d *table) setOptions(m *message) error {
	if m.has(1) {
		d.TimeToLive = m.number(1, 0)
	}
	d.Deviation = m.number(5, d.Deviation)
	switch versions := m.number(2, 1); {
	case d.TimeToLive == 0 || d.TimeToLive < neverExpires:
		return invalid("TimeToLive cannot be 0 or less than -1.")
	case d.TimeToLive != neverExpires && d.TimeToLive < minTimeToLive:
		return invalid("TimeToLive must be -1 or at least %d.", minTimeToLive)
	case versions <= 0:
		return invalid("The maximum versions cannot be less than or equal to 0.")
	case versions > 1:
		return unsupported("More than one version")
	case d.Deviation < 0 || d.Deviation > maxDeviation:
		return invalid("The maximum deviation must be in range [0, INT64_MAX/1000000].")
	case !m.flag(6, true):
		return unsupported("A table without updates")
	}
	return nil
}

func (s *Server) listTable(*message) ([]byte, error) {
	var out []byte
	err := s.store.view(func(t tx) error {
		tables, err := t.tables()
		for _, d := range tables {
			out = appendText(out, 1, d.Name)
		}
		return err
	})
	return out, err
}

func (s *Server) describeTable(m *message) ([]byte, error) {
	name, err := tableName(m)
	if err != nil {
		return nil, err
	}
	var out []byte
	err = s.store.view(func(t tx) error {
		d, err := t.table(name)
		if err != nil {
			return err
		}
		out = d.describe()
		return nil
	})
	return out, err
}

// describe is a DescribeTableResponse. Fields 9, 12 and 13, and those that meta, options and the details of the stream have beyond the
// SDK's messages, are those of recorded answers; of 12 and 13 only the number is known.
func (d *table) describe() []byte {
	off := appendFlag(nil, 1, false)
	out := appendBytes(nil, 1, d.meta())
	out = appendBytes(out, 2, d.throughput())
	out = appendBytes(out, 3, d.options())
	out = appendNumber(out, 4, 1)
	out = appendBytes(out, 5, appendNumber(off, 4, 0))
	out = appendBytes(out, 7, off)
	out = appendNumber(out, 9, d.Created)
	out = appendBytes(out, 12, off)
	return appendNumber(out, 13, 0)
}

func (d *table) meta() []byte {
	out := appendText(nil, 1, d.Name)
	for _, c := range d.PrimaryKey {
		out = appendBytes(out, 2, appendNumber(appendText(nil, 1, c.Name), 2, c.Type))
	}
	return appendText(out, 5, d.ID)
}

func (d *table) throughput() []byte {
	return appendNumber(appendBytes(nil, 1, capacity(d.Read, d.Write)), 2, d.Adjusted)
}

// options is complete: SDKs take the fields without asking whether they are there.
func (d *table) options() []byte {
	out := appendNumber(nil, 1, d.TimeToLive)
	out = appendNumber(out, 2, 1)
	out = appendNumber(out, 5, d.Deviation)
	return appendFlag(appendFlag(out, 6, true), 7, false)
}

func (s *Server) updateTable(m *message) ([]byte, error) {
	name, err := tableName(m)
	if err != nil {
		return nil, err
	}
	if m.inner(4).flag(1, false) {
		return nil, unsupported("A stream")
	}
	if !m.has(2) && !m.has(3) {
		return nil, invalid("No parameter is specified in table options.")
	}
	var out []byte
	err = s.store.update(func(t tx) error {
		held, err := t.table(name)
		if err != nil {
			return err
		}
		d := new(*held)
		if m.has(2) {
			if err := d.reserve(m.inner(2), s.now()); err != nil {
				return err
			}
		}
		if err := d.setOptions(m.inner(3)); err != nil {
			return err
		}
		if *m.problem != nil {
			return *m.problem
		}
		out = appendBytes(nil, 1, d.throughput())
		out = appendBytes(out, 2, d.options())
		out = appendBytes(out, 3, appendFlag(nil, 1, false))
		return t.putTable(d)
	})
	return out, err
}

func (s *Server) deleteTable(m *message) ([]byte, error) {
	name, err := tableName(m)
	if err != nil {
		return nil, err
	}
	return nil, s.store.update(func(t tx) error {
		if _, err := t.table(name); err != nil {
			return err
		}
		return errors.Join(t.Bucket([]byte(bucketTables)).Delete([]byte(name)), t.Bucket([]byte(bucketRows)).DeleteBucket([]byte(name)))
	})
}

// tableName reads the name that is the first field of every request about one table.
func tableName(m *message) (string, error) {
	m.require(1)
	name := m.text(1)
	if *m.problem != nil {
		return "", *m.problem
	}
	if !validName(name) {
		return "", invalid("Invalid table name: '%s'.", name)
	}
	return name, nil
}
