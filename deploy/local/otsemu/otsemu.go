// Package otsemu is a local Tablestore (OTS) server for the official SDKs: the HTTP protocol 2015-12-31 with tables and rows of the
// wide column model. It checks signatures, checksums, limits and types, and answers mistakes with the service's error codes. An answered
// write is on disk. A test can move the clock by which rows expire, and break answers (package faults).
//
// Messages, PlainBuffer and signatures follow the Go SDK's source, signatures of answers the Python SDK's; limits and errors follow the
// service's pages.
//
// The operations are CreateTable, ListTable, DescribeTable, UpdateTable, DeleteTable, GetRow, PutRow, UpdateRow, DeleteRow, GetRange,
// BatchGetRow and BatchWriteRow. The product does not use all of them; other programs with an official SDK do. Beside them the server has
// unsigned paths for scripts; the command refuses foreign hosts and origins, see serve.Guard:
//
//	/_local/faults, /_local/calls   see faults.Set.Handler; actions are the operation names of the protocol, parameters are
//	                                table, primaryKey (such as "job=abc,part=3"), from and to of a range, rows of a batch
//
// These are refused as unsupported: more than one version, reads by time, reserved capacity, auto-increment keys, predefined columns, indexes, streams, encryption, transactions, atomic
// batches, column pagination, value transfer rules in filters, tokens, and tables without updates.
//
// Where the documents say nothing, this server chose:
//
//   - A table can be used at once. The service may answer OTSTableNotReady for some seconds; a fault rule can too.
//   - Writes of one row wait for each other, so only fault rules answer OTSRowOperationConflict.
//   - A value equals no constant of another type, and "not equal" is false for it too.
//   - A row without requested attributes is left out of a read, unless the read names a column of the primary key.
//   - A malformed request in a batch fails the batch; a table or key that does not fit fails the row.
//   - GetRange counts returned rows against its limit, and scanned rows and bytes against the 5000 rows and 4 MB of a page.
//   - An expired attribute is hidden at once and stays in the file until its row is written again.
//   - An update that only deletes columns of a row that does not exist succeeds and creates no row.
package otsemu

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
)

// Config is what New needs.
type Config struct {
	// InstanceName is the name of the one instance; required.
	InstanceName string
	// AccessKeyID and AccessKeySecret are the only accepted credentials; required. A request may carry a security token, which is part
	// of what is signed and not checked otherwise.
	AccessKeyID, AccessKeySecret string
	// Dir is the data directory, created if missing; required. It holds one file, ots.db.
	Dir string
	// NoSync lets the operating system decide when changes reach the disk. A killed process loses nothing; a crashed machine may.
	NoSync bool
	// Clock gives the time of writes and of their expiry; nil means the system's. Dates of requests are compared with the machine's
	// clock.
	Clock clock.Clock
}

// Server is one instance. It is an http.Handler and safe for concurrent use.
type Server struct {
	config Config
	store  *store
	faults faults.Set
	local  http.Handler
}

// New opens the data directory. It fails on a bad Config, and within a second when another process holds the directory.
func New(c Config) (*Server, error) {
	for _, required := range []struct{ name, value string }{
		{"InstanceName", c.InstanceName}, {"AccessKeyID", c.AccessKeyID}, {"AccessKeySecret", c.AccessKeySecret}, {"Dir", c.Dir},
	} {
		if required.value == "" {
			return nil, fmt.Errorf("%s is required", required.name)
		}
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	st, err := openStore(c.Dir, c.NoSync)
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, store: st}
	s.local = http.StripPrefix("/_local", s.faults.Handler())
	return s, nil
}

// CreateTable makes a table with a primary key of string columns, whose rows do not expire, unless there is one with this name and key.
func (s *Server) CreateTable(name string, keys ...string) error {
	d := &table{Name: name, TimeToLive: neverExpires, Created: s.now().UnixMicro()}
	for _, key := range keys {
		d.PrimaryKey = append(d.PrimaryKey, keyColumn{Name: key, Type: keyString})
	}
	if err := d.check(); err != nil {
		return err
	}
	return s.store.update(func(t tx) error {
		existing, err := t.table(name)
		if err != nil {
			return t.createTable(d)
		}
		if !slices.Equal(existing.PrimaryKey, d.PrimaryKey) {
			return fmt.Errorf("table %q exists with another key", name)
		}
		return nil
	})
}

// now is the time of writes and of expiry.
func (s *Server) now() time.Time { return s.config.Clock.Now() }

// Faults is the script of broken answers, with the counters and the call log.
func (s *Server) Faults() *faults.Set { return &s.faults }

// Stop ends injected hangs, so that an HTTP listener can drain. Everything else still works.
func (s *Server) Stop() { s.faults.Stop() }

// Close stops, finishes the writes under way and closes the file. Later calls answer OTSInternalServerError.
func (s *Server) Close() error {
	s.Stop()
	if err := s.store.db.Close(); err != nil {
		return fmt.Errorf("close data file: %w", err)
	}
	return nil
}
