package otsemu

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

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
		"DescribeTable": (*Server).describeTable,
		"UpdateTable":   (*Server).updateTable,
		"GetRow":        (*Server).getRow,
		"PutRow":        func(s *Server, m *message) ([]byte, error) { return s.writeRow(putRow, m) },
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
			answerError(w, err)
			return
		}
		send(w, http.StatusOK, out)
	}, func(w http.ResponseWriter, status int, code, message string) {
		answerError(w, &refusal{status, code, message})
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
	case "DescribeTable", "UpdateTable":
		out["table"] = m.text(1)
	case "GetRow", "PutRow", "DeleteRow":
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
func answerError(w http.ResponseWriter, err error) {
	var refused *refusal
	if !errors.As(err, &refused) {
		refused = &refusal{http.StatusInternalServerError, "OTSInternalServerError", err.Error()}
	}
	faults.NoteCode(w, refused.code)
	send(w, refused.status, refused.encode())
}

// send writes an answer. The SDK reads the request id; the product checks the MD5, as the service's SDKs for Python and PHP do.
func send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("x-ots-requestid", rand.Text())
	w.Header().Set("x-ots-contentmd5", contentMD5(body))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
