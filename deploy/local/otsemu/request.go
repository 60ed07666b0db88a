package otsemu

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"routinely/deploy/local/faults"
)

// maxRequestBytes bounds a request's body. The largest allowed batch is smaller.
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
		"PutRow":        func(s *Server, m *message) ([]byte, error) { return s.writeRow(putRow, m) },
		"UpdateRow":     func(s *Server, m *message) ([]byte, error) { return s.writeRow(updateRow, m) },
		"DeleteRow":     func(s *Server, m *message) ([]byte, error) { return s.writeRow(deleteRow, m) },
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
			s.answerError(w, r, err)
			return
		}
		s.send(w, r, http.StatusOK, out, true)
	}, func(w http.ResponseWriter, status int, code, message string) {
		s.answerError(w, r, &refusal{status, code, message})
	})
}

func readRequest(w http.ResponseWriter, r *http.Request) *request {
	req := &request{http: r, action: strings.TrimPrefix(r.URL.Path, "/")}
	var tooLarge *http.MaxBytesError
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	switch {
	case errors.As(err, &tooLarge):
		req.problem = &refusal{http.StatusRequestEntityTooLarge, "OTSRequestBodyTooLarge", "The size of POST data is too large."}
	case err != nil:
		req.problem = invalid("The request body cannot be read: %v.", err)
	default:
		req.body = body
		req.message, req.problem = parseMessage(body)
	}
	return req
}

// answer carries a request out.
func (s *Server) answer(r *request) ([]byte, error) {
	if r.http.Method != http.MethodPost {
		return nil, &refusal{http.StatusMethodNotAllowed, "OTSMethodNotAllowed", "Only POST method for requests is supported."}
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

// answerError writes an Error message. An error outside the protocol is this server's own.
func (s *Server) answerError(w http.ResponseWriter, r *http.Request, err error) {
	var refused *refusal
	if !errors.As(err, &refused) {
		refused = &refusal{http.StatusInternalServerError, "OTSInternalServerError", err.Error()}
	}
	faults.NoteCode(w, refused.code)
	s.send(w, r, refused.status, refused.encode(), refused.code != codeAuthFailed)
}

// send writes an answer with the headers that the SDKs for Java, Python, PHP and C# check: they refuse an answer without them, with a date
// far from theirs or with a wrong signature. Only a denied request gets an unsigned answer. The names are in lower case, as from the
// service: header.Set would change them.
func (s *Server) send(w http.ResponseWriter, r *http.Request, status int, body []byte, signed bool) {
	header := w.Header()
	header["x-ots-date"] = []string{time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")}
	header["x-ots-requestid"] = []string{rand.Text()}
	header["x-ots-contenttype"] = []string{"protocol buffer"}
	header["x-ots-contentmd5"] = []string{contentMD5(body)}
	if signed {
		header.Set("Authorization", "OTS "+s.config.AccessKeyID+":"+s.sign(signedHeaders(header)+r.URL.Path))
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
