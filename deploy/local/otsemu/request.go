package otsemu

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"routinely/deploy/local/faults"
)

// maxRequestBytes bounds a request's body. A batch of the largest size allowed stays below it.
const maxRequestBytes = 8 << 20

// request is one call of an operation.
type request struct {
	http *http.Request
	// action is the operation's name, which is the path.
	action string
	body   []byte
	// message is the decoded body, nil when the body could not be read; problem says what is wrong with either.
	message *message
	problem error
}

// operation answers a decoded request.
type operation func(*Server, *message) ([]byte, error)

// operationNamed finds an operation. Names are case-sensitive.
func operationNamed(action string) (operation, bool) {
	o, found := map[string]operation{
		"CreateTable":   (*Server).createTable,
		"ListTable":     (*Server).listTable,
		"DescribeTable": (*Server).describeTable,
		"UpdateTable":   (*Server).updateTable,
		"DeleteTable":   (*Server).deleteTable,
		"GetRow":        (*Server).getRow,
		"PutRow":        (*Server).putRow,
		"UpdateRow":     (*Server).updateRow,
		"DeleteRow":     (*Server).deleteRow,
		"BatchGetRow":   (*Server).batchGetRow,
		"BatchWriteRow": (*Server).batchWriteRow,
		"GetRange":      (*Server).getRange,
	}[action]
	return o, found
}

// ServeHTTP answers the protocol, and /_local/ for scripts.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_local/") {
		s.local.ServeHTTP(w, r)
		return
	}
	req := readRequest(w, r)
	call := faults.Call{Action: req.action, Params: req.params()}
	s.faults.Serve(w, r, call, s.now, func(w http.ResponseWriter) {
		out, err := s.answer(req)
		if err != nil {
			s.refuse(w, req, err)
			return
		}
		s.reply(w, req, out)
	}, func(w http.ResponseWriter, status int, code, message string) {
		s.refuse(w, req, &refusal{status, code, message})
	})
}

func readRequest(w http.ResponseWriter, r *http.Request) *request {
	req := &request{http: r, action: strings.TrimPrefix(r.URL.Path, "/")}
	var tooLarge *http.MaxBytesError
	if req.body, req.problem = readBody(w, r); errors.As(req.problem, &tooLarge) {
		req.problem = refuse(codeBodyTooLarge, "The size of POST data is too large.")
	} else if req.problem != nil {
		req.problem = invalid("The request body cannot be read: %v.", req.problem)
	}
	if req.problem == nil {
		req.message, req.problem = parseMessage(req.body)
	}
	return req
}

// readBody reads a body into a buffer of the length that the caller tells: one that grows copies a long body several times.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	told := min(max(r.ContentLength, 0), maxRequestBytes)
	body := bytes.NewBuffer(make([]byte, 0, told+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	return body.Bytes(), err
}

// answer carries a request out.
func (s *Server) answer(r *request) ([]byte, error) {
	if r.http.Method != http.MethodPost {
		return nil, refuse(codeMethodNotAllowed, "Only POST method for requests is supported.")
	}
	do, found := operationNamed(r.action)
	if !found {
		return nil, invalid("Unsupported operation: '%s'.", r.action)
	}
	if r.message == nil {
		// Without the whole body its MD5 cannot be checked.
		return nil, r.problem
	}
	if err := s.authenticate(r); err != nil {
		return nil, err
	}
	if r.problem != nil {
		return nil, r.problem
	}
	return do(s, r.message)
}

// params are what fault rules can match and the call log shows: tables and primary keys, no attributes.
func (r *request) params() map[string]string {
	if r.message == nil {
		return nil
	}
	m, out := r.message, map[string]string{}
	switch r.action {
	case "CreateTable":
		out["table"] = m.inner(1).text(1)
	case "DescribeTable", "UpdateTable", "DeleteTable":
		out["table"] = m.text(1)
	case "GetRow", "PutRow", "UpdateRow", "DeleteRow":
		out["table"], out["primaryKey"] = m.text(1), shownKey(m.bytes(2))
	case "GetRange":
		out["table"], out["from"], out["to"] = m.text(1), shownKey(m.bytes(7)), shownKey(m.bytes(8))
	case "BatchGetRow", "BatchWriteRow":
		rows := 0
		var names []string
		for _, table := range m.inners(1) {
			names = append(names, table.text(1))
			rows += len(table.all(2))
		}
		out["table"], out["rows"] = strings.Join(names, ","), strconv.Itoa(rows)
	}
	return out
}

// shownKey is the primary key of an encoded row as text; a malformed one is empty.
func shownKey(b []byte) string {
	key, err := decodeKey(b)
	if err != nil {
		return ""
	}
	return keyText(key)
}

// refuse writes an Error message. An error that is not the protocol's is this server's own fault.
func (s *Server) refuse(w http.ResponseWriter, r *request, err error) {
	var refused *refusal
	if !errors.As(err, &refused) {
		refused = &refusal{http.StatusInternalServerError, codeInternal, err.Error()}
	}
	faults.NoteCode(w, refused.code)
	body := refused.encode()
	header := answerHeader(body)
	// Who is refused access may not be the one to sign for.
	if refused.code != codeAuthFailed {
		header.Set("Authorization", s.authorization(header, r.http.URL.Path))
	}
	send(w, header, refused.status, body)
}

// reply writes a successful answer.
func (s *Server) reply(w http.ResponseWriter, r *request, body []byte) {
	header := answerHeader(body)
	header.Set("Authorization", s.authorization(header, r.http.URL.Path))
	send(w, header, http.StatusOK, body)
}

// answerHeader is what every answer has, in lower case as the service sends it.
func answerHeader(body []byte) http.Header {
	now := time.Now().UTC()
	return http.Header{
		"x-ots-requestid":   {newRequestID(now)},
		"x-ots-date":        {now.Format("2006-01-02T15:04:05.000000Z")},
		"x-ots-contenttype": {"protocol buffer"},
		"x-ots-contentmd5":  {contentMD5(body)},
		"Content-Length":    {strconv.Itoa(len(body))},
	}
}

func send(w http.ResponseWriter, header http.Header, status int, body []byte) {
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// newRequestID has the form of a UUID. As in recorded answers its first half is the time, in microseconds since 1970.
func newRequestID(at time.Time) string {
	id := uuid()
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMicro()))
	return uuidText(id)
}

// uuid is a random one.
func uuid() (id [16]byte) {
	_, _ = rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

func uuidText(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
