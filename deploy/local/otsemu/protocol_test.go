package otsemu_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore/otsprotocol"
	"github.com/golang/protobuf/proto"
)

// request is a signed request as no SDK need send it. A test may change it, and sign it again.
func request(action string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/"+action, bytes.NewReader(body))
	for name, value := range map[string]string{
		"x-ots-date": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "x-ots-apiversion": "2015-12-31",
		"x-ots-accesskeyid": accessKey, "x-ots-instancename": instance, "x-ots-contentmd5": md5Base64(body),
	} {
		r.Header.Set(name, value)
	}
	sign(r)
	return r
}

func sign(r *http.Request) {
	r.Header.Del("x-ots-signature")
	r.Header.Set("x-ots-signature", hmacBase64(r.URL.Path+"\n"+r.Method+"\n"+r.URL.RawQuery+"\n"+otsHeaders(r.Header)))
}

// otsHeaders is the x-ots headers in the order of their names, each on a line of its own.
func otsHeaders(header http.Header) string {
	var lines []string
	for name, values := range header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-ots-") {
			lines = append(lines, name+":"+values[0]+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func hmacBase64(text string) string {
	mac := hmac.New(sha1.New, []byte(secretKey))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func md5Base64(b []byte) string {
	sum := md5.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// answer serves a request. It returns the HTTP status, with the code and message of an error.
func (f *fixture) answer(t testing.TB, r *http.Request) (status int, code, message string) {
	t.Helper()
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	problem := &otsprotocol.Error{}
	if w.Code != http.StatusOK {
		must[any](t)(nil, proto.Unmarshal(w.Body.Bytes(), problem))
	}
	return w.Code, problem.GetCode(), problem.GetMessage()
}

// encode is a message of the SDK's as bytes.
func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	return must[[]byte](t)(proto.Marshal(m))
}

func TestAuthentication(t *testing.T) {
	f := startWithJobs(t)
	// The server's clock for data is not what the dates of requests are compared with.
	f.clock.Advance(1000 * time.Hour)
	body := encode(t, &otsprotocol.DescribeTableRequest{TableName: proto.String("jobs")})

	t.Run("accepts what the SDK signs, with a security token too", func(t *testing.T) {
		g := &fixture{t: t, sdk: client(t, f.url, instance, accessKey, secretKey, "a-token")}
		must[*tablestore.DescribeTableResponse](t)(g.describe("jobs"))
	})

	t.Run("refuses what has another key, secret, instance, date or content", func(t *testing.T) {
		set := func(name, value string) func(*http.Request) {
			return func(r *http.Request) {
				r.Header.Set(name, value)
				sign(r)
			}
		}
		date := func(offset time.Duration) func(*http.Request) {
			return set("x-ots-date", time.Now().UTC().Add(offset).Format("2006-01-02T15:04:05Z"))
		}
		for name, test := range map[string]struct {
			edit          func(*http.Request)
			status        int
			code, message string
		}{
			"unchanged":           {func(*http.Request) {}, 200, "", ""},
			"14 minutes late":     {date(-14 * time.Minute), 200, "", ""},
			"14 minutes early":    {date(14 * time.Minute), 200, "", ""},
			"16 minutes late":     {date(-16 * time.Minute), 403, "OTSAuthFailed", "Mismatch between system time and x-ots-date: "},
			"16 minutes early":    {date(16 * time.Minute), 403, "OTSAuthFailed", "Mismatch between system time and x-ots-date: "},
			"no date":             {set("x-ots-date", "yesterday"), 400, "OTSParameterInvalid", "Invalid date format: yesterday."},
			"another version":     {set("x-ots-apiversion", "2014-08-08"), 400, "OTSParameterInvalid", "Unsupported API version: 2014-08-08."},
			"another key":         {set("x-ots-accesskeyid", "other"), 403, "OTSAuthFailed", "The AccessKeyID does not exist."},
			"another instance":    {set("x-ots-instancename", "other"), 403, "OTSAuthFailed", "The instance is not found."},
			"another body":        {set("x-ots-contentmd5", md5Base64(nil)), 403, "OTSAuthFailed", "Mismatch between MD5 value of request body"},
			"another signature":   {func(r *http.Request) { r.Header.Set("x-ots-signature", "other") }, 403, "OTSAuthFailed", "Signature mismatch."},
			"a token added later": {func(r *http.Request) { r.Header.Set("x-ots-ststoken", "t") }, 403, "OTSAuthFailed", "Signature mismatch."},
			"a query added later": {func(r *http.Request) { r.URL.RawQuery = "a=1" }, 403, "OTSAuthFailed", "Signature mismatch."},
		} {
			r := request("DescribeTable", body)
			test.edit(r)
			status, code, message := f.answer(t, r)
			if status != test.status || code != test.code || !strings.HasPrefix(message, test.message) {
				t.Errorf("%s: %d %s %q, want %d %s %q", name, status, code, message, test.status, test.code, test.message)
			}
		}
	})

	t.Run("names the header that is missing", func(t *testing.T) {
		for _, name := range []string{
			"x-ots-date", "x-ots-apiversion", "x-ots-accesskeyid", "x-ots-contentmd5", "x-ots-instancename", "x-ots-signature",
		} {
			r := request("DescribeTable", body)
			r.Header.Del(name)
			status, code, message := f.answer(t, r)
			same(t, name, []any{status, code, message}, []any{400, "OTSParameterInvalid", "Missing header: '" + name + "'."})
		}
	})
}

// TestAnswers checks the headers that the SDKs for Java, Python, PHP and C# check before they read an answer. The SDK for Go does not
// check them.
func TestAnswers(t *testing.T) {
	f := startWithJobs(t)
	describe := func(table, accessKey string) (map[string][]string, []byte) {
		r, w := request("DescribeTable", encode(t, &otsprotocol.DescribeTableRequest{TableName: proto.String(table)})), httptest.NewRecorder()
		r.Header.Set("x-ots-accesskeyid", accessKey)
		f.ServeHTTP(w, r)
		return w.Header(), w.Body.Bytes()
	}
	for name, table := range map[string]string{"an answer": "jobs", "a refusal": "none"} {
		t.Run(name+" has the headers, their names in lower case, and is signed", func(t *testing.T) {
			header, body := describe(table, accessKey)
			same(t, "request ids", len(header["x-ots-requestid"]), 1)
			same(t, "type", header["x-ots-contenttype"], []string{"protocol buffer"})
			same(t, "MD5", header["x-ots-contentmd5"], []string{md5Base64(body)})
			date := must[time.Time](t)(time.Parse("2006-01-02T15:04:05.000000Z", strings.Join(header["x-ots-date"], "")))
			if time.Since(date).Abs() > 15*time.Minute {
				t.Errorf("date %s, want that of the machine", date)
			}
			same(t, "signature", header["Authorization"], []string{"OTS " + accessKey + ":" + hmacBase64(otsHeaders(header)+"/DescribeTable")})
		})
	}
	t.Run("a denial is not signed", func(t *testing.T) {
		header, _ := describe("jobs", "other")
		same(t, "signature", header["Authorization"], []string(nil))
	})
}

func TestRequests(t *testing.T) {
	f := start(t)
	get := request("DescribeTable", nil)
	get.Method = http.MethodGet
	for name, test := range map[string]struct {
		request       *http.Request
		status        int
		code, message string
	}{
		"another method":        {get, 405, "OTSMethodNotAllowed", "Only POST method for requests is supported."},
		"an unknown operation":  {request("MakeCoffee", nil), 400, "OTSParameterInvalid", "Unsupported operation: 'MakeCoffee'."},
		"an operation left out": {request("SQLQuery", nil), 400, "OTSParameterInvalid", "Unsupported operation: 'SQLQuery'."},
		"a long body":           {request("PutRow", make([]byte, 8<<20+1)), 413, "OTSRequestBodyTooLarge", "The size of POST data is too large."},
		"a cut message":         {request("DescribeTable", []byte{0x0a, 0x05, 'a'}), 400, "OTSParameterInvalid", "Parse PBMessage from RawString failed."},
		"another type":          {request("DescribeTable", []byte{0x08, 0x01}), 400, "OTSParameterInvalid", "Parse PBMessage from RawString failed."},
		"nothing at all":        {request("DescribeTable", nil), 400, "OTSParameterInvalid", "Parse PBMessage from RawString failed."},
		"no field":              {request("DescribeTable", []byte{0xff}), 400, "OTSParameterInvalid", "Parse PBMessage from RawString failed."},
	} {
		status, code, message := f.answer(t, test.request)
		same(t, name, []any{status, code, message}, []any{test.status, test.code, test.message})
	}
}

func TestPlainBuffer(t *testing.T) {
	f := startWithJobs(t)
	good := putChange("jobs", pk("id", "a"), attributes{"c": "value"}).Serialize()
	existence := otsprotocol.RowExistenceExpectation_IGNORE
	condition := &otsprotocol.Condition{RowExistence: &existence}
	send := func(action string, row []byte) (int, string) {
		body := encode(t, &otsprotocol.PutRowRequest{TableName: proto.String("jobs"), Row: row, Condition: condition}) // DeleteRow is alike
		if action == "GetRow" {
			body = encode(t, &otsprotocol.GetRowRequest{TableName: proto.String("jobs"), PrimaryKey: row, MaxVersions: proto.Int32(1)})
		}
		status, _, message := f.answer(t, request(action, body))
		return status, message
	}
	damaged := func(at int, value byte) []byte {
		row := slices.Clone(good)
		row[at] = value
		return row
	}
	changed := updateChange("jobs", pk("id", "a"), nil, "c").Serialize()
	attributesAt := bytes.Index(changed, []byte{0x02, 0x03}) // the tags of attributes and of a column

	t.Run("is read, also with zeros behind it, which the SDK for Node.js sends with the ends of a range", func(t *testing.T) {
		for _, row := range [][]byte{good, append(slices.Clone(good), 0, 0)} {
			if status, message := send("PutRow", row); status != 200 {
				t.Errorf("%d %s", status, message)
			}
		}
	})

	t.Run("is refused with any byte cut off or changed", func(t *testing.T) {
		for i := range good {
			if status, message := send("PutRow", good[:i]); status != 400 {
				t.Errorf("cut at %d: %d %s", i, status, message)
			}
			if status, _ := send("PutRow", damaged(i, good[i]^0x40)); status == 200 {
				t.Errorf("byte %d changed: accepted", i)
			}
		}
	})

	t.Run("is refused with a text that says why", func(t *testing.T) {
		for _, test := range []struct {
			action  string
			row     []byte
			message string
		}{
			{"PutRow", damaged(0, 1), "mismatch header"},
			{"PutRow", damaged(len(good)-1, good[len(good)-1]+1), "checksum is mismatch"},
			{"PutRow", good[:len(good)-2], "row is not end with checksum tag"},
			{"PutRow", append(slices.Clone(good), 0, 1), "data format is invalid."},
			{"PutRow", damaged(bytes.IndexByte(good, 0x05)+5, 0x55), "unknown variant type occured"},
			{"PutRow", binary.LittleEndian.AppendUint32(nil, 0x75), "PK is empty"},
			{"PutRow", pk("id", "a").Build(true), "unexpected RowDeleteMarker"},
			{"PutRow", pk("id", "a", "id", "b").Build(false), "Duplicated primary key name: 'id'."},
			{"PutRow", changed, "OpType cannot be given for column name:c in PutRow."},
			{"PutRow", slices.Concat(changed[:4], []byte{0x01}, changed[attributesAt+1:]), "OpType cannot be given for primary key name:c."},
			{"DeleteRow", pk("id", "a").Build(false), "missing RowDeleteMarker in request."},
			{"GetRow", pk("id", "a").Build(true), "Delete marker cannot be given."},
			{"GetRow", good, "Attribute column cannot be given while reading data."},
		} {
			if status, message := send(test.action, test.row); status != 400 || !strings.Contains(message, test.message) {
				t.Errorf("got %d %q, want %q", status, message, test.message)
			}
		}
	})
}
