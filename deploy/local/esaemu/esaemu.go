// Package esaemu is a local Edge Security Acceleration (ESA) server, API version 2024-09-10: the edge routine operations
// with the account lock, strict enough that official clients need not know they are not talking to the cloud.
//
// What is answered comes from the operations' pages and from what the Go and Node SDKs, the Terraform provider, aliyun-cli and
// esa-cli send. State is kept in one file and a write that was answered is on disk. Paths under /_local/ are not the cloud's:
// they set up, inspect and break the server. It stores routines, their code and records, and runs no code. The command refuses foreign hosts
// and origins: see serve.Guard.
package esaemu

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/signature"
)

// apiVersion is the only version of the API there is.
const apiVersion = "2024-09-10"

// Config is what New needs.
type Config struct {
	// AccountID, AccessKeyID and AccessKeySecret are the account and its one key; required.
	AccountID, AccessKeyID, AccessKeySecret string
	// Region is named in errors; cn-hangzhou when empty.
	Region string
	// Dir is the data directory, created when absent; required. One process at a time can use it.
	Dir string
	// NoSync leaves it to the operating system when changes reach the disk. Killing the process loses nothing then; the end of the
	// machine may.
	NoSync bool
	// Sites are added to those stored, by id.
	Sites map[int64]string
	// Latency is how long each write operation holds the account lock.
	Latency time.Duration
	// Plan gives the account that plan and its quotas; empty leaves what is stored, Paid in a new data directory.
	Plan Plan
	// RoutineQuota is how many routines the account may have whatever its plan, and RecordQuota how many related records each of
	// them. 0 leaves what is stored; a new data directory has the plan's number of routines and no limit of records.
	RoutineQuota, RecordQuota int
	// Clock is the system's when nil.
	Clock clock.Clock
	// SignatureClock is what the dates of requests are compared with; Clock when nil. Clients date requests by the machine's clock.
	SignatureClock clock.Clock
}

// Server answers the ESA API and the /_local/ paths.
type Server struct {
	accountID string
	hostID    string
	clock     clock.Clock
	store     *store
	lock      *lock
	verifier  *signature.Verifier
	faults    faults.Set
	local     http.Handler
	// latency and listDelay are durations.
	latency, listDelay atomic.Int64
	// commit is how long the last write took after its pause; it belongs to the holder of the lock.
	commit time.Duration
}

// New opens the data directory and returns a server for it. It fails within a second when another process has the directory.
func New(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.SignatureClock == nil {
		c.SignatureClock = c.Clock
	}
	store, err := openStore(c.Dir, c.NoSync)
	if err != nil {
		return nil, err
	}
	s := &Server{
		accountID: c.AccountID,
		hostID:    "esa." + cmp.Or(c.Region, "cn-hangzhou") + ".aliyuncs.com",
		clock:     c.Clock,
		store:     store,
		lock:      newLock(c.Clock),
		verifier:  signature.New(c.AccessKeyID, c.AccessKeySecret, c.SignatureClock),
	}
	s.local = s.localRoutes()
	s.latency.Store(int64(c.Latency))
	if err := s.configure(c); err != nil {
		_ = store.db.Close()
		return nil, err
	}
	return s, nil
}

func (c *Config) check() error {
	for _, required := range []struct{ name, value string }{
		{"account id", c.AccountID}, {"access key", c.AccessKeyID}, {"secret key", c.AccessKeySecret}, {"data directory", c.Dir},
	} {
		if required.value == "" {
			return fmt.Errorf("%s: is required", required.name)
		}
	}
	switch {
	case c.Latency < 0:
		return fmt.Errorf("latency %s: must not be negative", c.Latency)
	case c.RoutineQuota < 0 || c.RecordQuota < 0:
		return errors.New("quota: must not be negative")
	case c.Plan != "":
		return c.Plan.check()
	}
	return nil
}

// configure puts the configured plan, quotas and sites in place.
func (s *Server) configure(c Config) error {
	var change AccountChange
	if c.Plan != "" {
		change.Plan = &c.Plan
	}
	if c.RoutineQuota != 0 {
		change.RoutineQuota = &c.RoutineQuota
	}
	if c.RecordQuota != 0 {
		change.RecordQuota = &c.RecordQuota
	}
	if err := s.SetAccount(change); err != nil {
		return err
	}
	for id, name := range c.Sites {
		if err := s.AddSite(Site{ID: id, Name: name}); err != nil {
			return err
		}
	}
	return nil
}

// Faults are the server's scripted faults, counters and call log.
func (s *Server) Faults() *faults.Set { return &s.faults }

// Stop ends all waiting: writes under way take effect at once, hanging answers and foreign holds of the lock end.
func (s *Server) Stop() {
	s.lock.end()
	s.faults.Stop()
}

// Close stops the server and closes the data file. Calls that come later are answered with an internal error.
func (s *Server) Close() error {
	s.Stop()
	if err := s.store.db.Close(); err != nil {
		return fmt.Errorf("close data file: %w", err)
	}
	return nil
}

// ServeHTTP implements http.Handler. Every answer has the Date of the server's own clock, broken ones included.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.date(w)
	if strings.HasPrefix(r.URL.Path, "/_local/") {
		s.local.ServeHTTP(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, bucketPath) {
		s.serveUpload(w, r)
		return
	}
	req := readRequest(w, r)
	call := faults.Call{Action: req.action, Params: req.shown()}
	s.faults.Serve(w, r, call, s.now, func(w http.ResponseWriter) {
		out, err := s.call(req)
		if err != nil {
			s.refuse(w, err)
			return
		}
		s.writeAnswer(w, http.StatusOK, newRequestID(), out)
	}, func(w http.ResponseWriter, status int, code, message string) {
		s.refuse(w, &apiError{status: status, code: code, message: message})
	})
}

// now is the time stored and logged.
func (s *Server) now() time.Time { return s.clock.Now().UTC() }

// answer is a response body by field; the RequestId is added to it.
type answer map[string]any

// step is an operation whose parameters were read: what remains to be done in one transaction.
type step func(*tx) answer

// operation is one action of the API.
type operation struct {
	read func(*params) step
	kind kind
}

// postOnly are the actions that the cloud's own metadata (aliyun-openapi-meta) allows by POST only; others go by GET too.
func postOnly(action string) bool {
	return slices.Contains([]string{"CreateRoutineRoute", "UpdateRoutineRoute", "DeleteRoutineRoute", "OpenErService"}, action)
}

// kind is how an operation treats the account.
type kind int

const (
	// reads never wait for the lock.
	reads kind = iota
	// changes are made without the lock: it guards operations on routines only.
	changes
	// writes hold the lock. The code of the lock is documented for CreateRoutine and for the writes of related records. The tables of
	// UpdateRoutineConfigDescription and DeleteRoutineRoute do not list it, those of the others were not read to their end. This server
	// locks all of them, so that a client is ready for it.
	writes
)

// operation finds an action. Names are case-sensitive.
func (s *Server) operation(action string) (operation, bool) {
	o, found := map[string]operation{
		"CreateRoutine":                      {s.createRoutine, writes},
		"GetRoutine":                         {s.getRoutine, reads},
		"ListUserRoutines":                   {s.listUserRoutines, reads},
		"GetRoutineUserInfo":                 {s.getUserInfo, reads},
		"UpdateRoutineConfigDescription":     {s.updateDescription, writes},
		"DeleteRoutine":                      {s.deleteRoutine, writes},
		"GetRoutineStagingCodeUploadInfo":    {s.getUploadInfo, reads},
		"CommitRoutineStagingCode":           {s.commitUpload, writes},
		"CreateRoutineWithAssetsCodeVersion": {s.createAssetsVersion, writes},
		"ListRoutineCodeVersions":            {s.listCodeVersions, reads},
		"GetRoutineCodeVersion":              {s.getCodeVersion, reads},
		"GetRoutineCodeVersionInfo":          {s.getCodeVersionInfo, reads},
		"DeleteRoutineCodeVersion":           {s.deleteCodeVersion, writes},
		"PublishRoutineCodeVersion":          {s.publish, writes},
		"CreateRoutineCodeDeployment":        {s.createDeployment, writes},
		"ListEdgeRoutinePlans":               {s.listPlans, reads},
		"CreateRoutineRelatedRecord":         {s.createRelatedRecord, writes},
		"ListRoutineRelatedRecords":          {s.listRelatedRecords, reads},
		"DeleteRoutineRelatedRecord":         {s.deleteRelatedRecord, writes},
		"CreateRoutineRoute":                 {s.createRoute, writes},
		"UpdateRoutineRoute":                 {s.updateRoute, writes},
		"GetRoutineRoute":                    {s.getRoute, reads},
		"ListSiteRoutes":                     {s.listSiteRoutes, reads},
		"ListRoutineRoutes":                  {s.listRoutes, reads},
		"DeleteRoutineRoute":                 {s.deleteRoute, writes},
		"GetErService":                       {s.getErService, reads},
		"OpenErService":                      {s.openErService, changes},
		"GetMatchSite":                       {s.getMatchSite, reads},
		"GetSite":                            {s.getSite, reads},
		"ListSites":                          {s.listSites, reads},
	}[action]
	return o, found
}

// call answers one request. A caller hears what is wrong with its parameters only after its signature was accepted.
func (s *Server) call(r *request) (answer, error) {
	o, err := s.route(r)
	if err != nil {
		return nil, err
	}
	if r.unread != nil {
		return nil, r.unread
	}
	if refused := s.verifier.Verify(signature.Request{HTTP: r.http, Query: r.query, Form: r.form, Body: r.body}); refused != nil {
		return nil, ofGateway(refused)
	}
	p := &params{values: r.values, origin: r.origin(), err: r.malformed}
	do := o.read(p)
	if p.err != nil {
		return nil, p.err
	}
	return s.run(o.kind, do)
}

// route finds what the request asks for.
func (s *Server) route(r *request) (operation, error) {
	switch format := r.values["Format"]; {
	case r.action == "":
		return operation{}, ofGateway(signature.Missing("Action"))
	case r.version == "":
		return operation{}, ofGateway(signature.Missing("Version"))
	case r.version != apiVersion:
		return operation{}, refusal(codeInvalidVersion, "version %q, want %s", r.version, apiVersion)
	case format != "" && !strings.EqualFold(format, "JSON"):
		return operation{}, refusal(codeInvalidParameter, "Format %q: only JSON is answered here", format)
	}
	o, found := s.operation(r.action)
	post, get := r.http.Method == http.MethodPost, r.http.Method == http.MethodGet
	if !found || r.http.URL.Path != "/" || !post && !get || get && postOnly(r.action) {
		return o, refusal(codeUnknownAction, "%s %s, action %q", r.http.Method, r.http.URL.Path, r.action)
	}
	return o, nil
}

// run carries out a step. A write has the lock to itself for its whole duration and takes effect at its end, whether or not
// its caller is still there.
func (s *Server) run(k kind, do step) (out answer, err error) {
	execute := func(t *tx) { out = do(t) }
	switch k {
	case reads:
		err = s.store.view(execute)
	case changes:
		err = s.store.update(execute)
	case writes:
		if !s.lock.try() {
			return nil, refusal(codeLocked, "")
		}
		defer s.lock.release()
		// The pause leaves time for a commit like the last one, so that the write as a whole takes the latency.
		latency := time.Duration(s.latency.Load())
		s.lock.pause(latency - min(s.commit, latency/4))
		began := s.clock.Now()
		err = s.store.update(execute)
		s.commit = s.clock.Now().Sub(began)
	}
	return out, err
}

// refuse writes an error in the gateway's form.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	var refused *apiError
	if !errors.As(err, &refused) {
		refused = refusal(codeInternal, "%v", err)
	}
	faults.NoteCode(w, refused.code)
	id := newRequestID()
	recommend := cmp.Or(refused.detail, "https://api.aliyun.com/troubleshoot?q="+refused.code+"&product=ESA&requestId="+id)
	s.writeAnswer(w, refused.status, id, answer{
		"HostId": s.hostID, "Code": refused.code, "Message": refused.message, "Recommend": recommend,
	})
}

// date says when the answer is made.
func (s *Server) date(w http.ResponseWriter) { w.Header().Set("Date", s.now().Format(http.TimeFormat)) }

func (s *Server) writeAnswer(w http.ResponseWriter, status int, requestID string, body answer) {
	body["RequestId"] = requestID
	s.date(w) // a write takes time
	w.Header().Set("X-Acs-Request-Id", requestID)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// newRequestID is a random UUID in capitals, as the cloud prints it.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
