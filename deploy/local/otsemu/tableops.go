package otsemu

import (
	"cmp"
	"errors"
	"net/http"
)

func (s *Server) createTable(m *message) ([]byte, error) {
	m.require(1, 2)
	meta, options := m.inner(1), m.inner(3)
	meta.require(1)
	d := &table{Name: meta.text(1), TimeToLive: options.number(1, 0), Created: s.now().UnixMicro()}
	for _, column := range meta.inners(2) {
		column.require(1, 2)
		d.PrimaryKey = append(d.PrimaryKey, keyColumn{Name: column.text(1), Type: column.number(2, 0)})
		if column.has(3) {
			return nil, unsupported("An auto-increment primary key")
		}
	}
	switch {
	case meta.has(3) || meta.has(4):
		return nil, unsupported("A predefined column")
	case m.inner(6).flag(1):
		return nil, unsupported("Encryption")
	case m.has(7):
		return nil, unsupported("A secondary index")
	case m.flag(8):
		return nil, unsupported("A local transaction")
	case !options.has(1):
		return nil, invalid("Time-to-live is missing while creating table.")
	case !options.has(2):
		return nil, invalid("MaxVersions is missing while creating table.")
	}
	wrong := checkOptions(m.inner(2), options, m.inner(5))
	if err := cmp.Or(*m.problem, d.check(), wrong); err != nil {
		return nil, err
	}
	return nil, s.store.update(func(t tx) error { return t.createTable(d) })
}

func (t tx) createTable(d *table) error {
	if t.Bucket([]byte(bucketTables)).Get([]byte(d.Name)) != nil {
		return &refusal{http.StatusConflict, "OTSObjectAlreadyExist", "Requested table already exists."}
	}
	if len(t.tableNames()) >= maxTables {
		return &refusal{http.StatusForbidden, "OTSQuotaExhausted", "Number of tables exceeded the quota."}
	}
	if _, err := t.Bucket([]byte(bucketRows)).CreateBucket([]byte(d.Name)); err != nil {
		return err
	}
	return t.putTable(d)
}

// checkOptions checks what CreateTable and UpdateTable have in common beside the time to live: a ReservedThroughput, TableOptions and a
// StreamSpecification. This server keeps one version of a row and has no other options.
func checkOptions(reserved, options, stream *message) error {
	units, versions := reserved.inner(1), options.number(2, 1)
	switch {
	case units.number(1, 0) != 0 || units.number(2, 0) != 0:
		return unsupported("Reserved capacity")
	case versions <= 0:
		return invalid("The maximum versions cannot be less than or equal to 0.")
	case versions > 1:
		return unsupported("More than one version")
	case options.number(5, deviation) != deviation:
		return unsupported("A deviation of timestamps")
	case options.number(6, 1) == 0:
		return unsupported("A table without updates")
	case stream.flag(1):
		return unsupported("A stream")
	}
	return nil
}

// tableNames are the names of all tables, sorted.
func (t tx) tableNames() (names []string) {
	cursor := t.Bucket([]byte(bucketTables)).Cursor()
	for name, _ := cursor.First(); name != nil; name, _ = cursor.Next() {
		names = append(names, string(name))
	}
	return names
}

func (s *Server) listTable(*message) ([]byte, error) {
	var out []byte
	err := s.store.view(func(t tx) error {
		for _, name := range t.tableNames() {
			out = appendText(out, 1, name)
		}
		return nil
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

// describe is a DescribeTableResponse with the fields of the service's answers that an SDK knows.
func (d *table) describe() []byte {
	meta := appendText(nil, 1, d.Name)
	for _, c := range d.PrimaryKey {
		meta = appendBytes(meta, 2, appendNumber(appendText(nil, 1, c.Name), 2, c.Type))
	}
	out := appendBytes(nil, 1, meta)
	out = appendBytes(out, 2, d.throughput())
	out = appendBytes(out, 3, d.options())
	out = appendNumber(out, 4, 1)                        // active
	out = appendBytes(out, 5, appendFlag(nil, 1, false)) // no stream
	out = appendBytes(out, 7, appendFlag(nil, 1, false)) // no encryption
	return appendNumber(out, 9, d.Created)
}

// throughput is a ReservedThroughputDetails without reserved capacity, last changed when the table was made.
func (d *table) throughput() []byte {
	return appendNumber(appendBytes(nil, 1, capacity(0, 0)), 2, d.Created/1e6)
}

// options is a TableOptions with all fields that SDKs read without asking whether they are there.
func (d *table) options() []byte {
	out := appendNumber(appendNumber(nil, 1, d.TimeToLive), 2, 1)
	return appendFlag(appendNumber(out, 5, deviation), 6, true)
}

func (s *Server) updateTable(m *message) ([]byte, error) {
	name, err := tableName(m)
	if err != nil {
		return nil, err
	}
	options := m.inner(3)
	wrong := checkOptions(m.inner(2), options, m.inner(4))
	if wrong == nil && !m.has(2) && !m.has(3) {
		wrong = invalid("No parameter is specified in table options.")
	}
	var out []byte
	err = s.store.update(func(t tx) error {
		d, err := t.table(name)
		if err != nil {
			return err
		}
		d.TimeToLive = options.number(1, d.TimeToLive)
		if err := cmp.Or(*m.problem, d.check(), wrong); err != nil {
			return err
		}
		out = appendBytes(appendBytes(nil, 1, d.throughput()), 2, d.options())
		out = appendBytes(out, 3, appendFlag(nil, 1, false)) // no stream
		return t.putTable(d)
	})
	return out, err
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
