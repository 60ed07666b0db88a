// Package otsemu is a local Tablestore (OTS) server: the HTTP protocol 2015-12-31 with tables and rows of the wide column model,
// against which the official SDKs run unchanged. It is strict where the service is (signatures, checksums, limits, types, error
// codes), has on disk what it answered, takes the age of data from a clock a test can move, and breaks its answers on request
// (package faults).
//
// Messages, PlainBuffer and signatures were written down from the Go SDK's source, limits and errors from the service's pages.
// Beside the protocol it serves /_local/, unsigned, for scripts; the command refuses foreign hosts and origins, see serve.Guard:
//
//	/_local/faults, /_local/calls   see faults.Set.Handler; actions are the operation names of the protocol, parameters are
//	                                table, primaryKey (such as "job=abc,part=3"), from and to of a range, rows of a batch
//	GET /_local/tables              the definition of every table
//	GET /_local/tables/{t}/rows     the rows that have not expired, in the order of their keys; ?limit= is 1000 unless given
//
// Left out, and refused as such: auto-increment keys, more than one version, predefined columns, indexes, streams, encryption,
// transactions and atomic batches, column pagination and value transfer rules in filters, tokens, tables without updates.
//
// Where the documents leave the service's behaviour open, this server chose:
//
//   - A table can be used at once. The service may answer OTSTableNotReady for some seconds; a fault rule can too.
//   - Writes of one row wait for each other, so OTSRowOperationConflict comes from fault rules only.
//   - A filter's constant fits no value of another type, not even with "not equal".
//   - Filters may be inside each other twenty deep.
//   - A row that a read narrows to no attribute is not answered, unless a column of its primary key was asked for by name.
//   - In a batch, what is wrong with a request in itself fails the batch; what depends on a table fails the row.
//   - The limit of a GetRange counts rows that are answered; 5000 rows and 4 MB count what is scanned.
//   - A row without attributes is as old as its last write.
//   - What expired is hidden at once and stays in the file until its row is written again.
package otsemu

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
)

// Config is what New needs.
type Config struct {
	// InstanceName is the one instance there is; required. It has 3 to 16 letters, digits and inner hyphens, a letter first,
	// and none of ali, ay, ots, taobao and admin in it.
	InstanceName string
	// AccessKeyID and AccessKeySecret are the one pair of credentials that is accepted; required. A security token may come
	// with them; it is part of what is signed and not checked otherwise.
	AccessKeyID, AccessKeySecret string
	// Dir is the data directory, created if missing; required. It holds one file, ots.db.
	Dir string
	// NoSync leaves it to the operating system when changes reach the disk. Killing the process loses nothing then; the end of the
	// machine may.
	NoSync bool
	// Clock gives the time of versions and their expiry; nil means the system's. Dates of requests are compared with the
	// machine's clock.
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
	if !validInstance(c.InstanceName) {
		return nil, fmt.Errorf("InstanceName %q: want %s", c.InstanceName, instanceRule)
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	st, err := openStore(c.Dir, c.NoSync)
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, store: st}
	s.local = s.localRoutes()
	return s, nil
}

// instanceRule is what validInstance asks for.
const instanceRule = "3 to 16 letters, digits and inner hyphens, a letter first, without ali, ay, ots, taobao or admin in it"

// validInstance applies the service's rule for names of instances, for which upper and lower case are the same
// (https://help.aliyun.com/zh/tablestore/developer-reference/api-tablestore-2020-12-09-createinstance).
func validInstance(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	taken := slices.ContainsFunc([]string{"ali", "ay", "ots", "taobao", "admin"}, func(word string) bool {
		return strings.Contains(strings.ToLower(name), word)
	})
	return len(name) >= 3 && len(name) <= 16 && strings.Contains(letters, name[:1]) && !strings.HasSuffix(name, "-") &&
		strings.Trim(name, letters+"0123456789-") == "" && !taken
}

// now is the time of data.
func (s *Server) now() time.Time { return s.config.Clock.Now() }

// Faults is the script of broken answers, with the counters and the call log.
func (s *Server) Faults() *faults.Set { return &s.faults }

// Stop ends injected hangs, so that an HTTP listener can drain. Everything else still works.
func (s *Server) Stop() { s.faults.Stop() }

// Close stops, writes what was handed over and closes the file. Calls after it answer OTSInternalServerError.
func (s *Server) Close() error {
	s.Stop()
	if err := s.store.close(); err != nil {
		return fmt.Errorf("close data file: %w", err)
	}
	return nil
}
