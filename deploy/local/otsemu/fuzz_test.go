package otsemu_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore/otsprotocol"
	"github.com/golang/protobuf/proto"
)

// carriedOut fails unless a request succeeds or is the caller's mistake, and reports which.
func (f *fixture) carriedOut(t *testing.T, action string, body []byte) bool {
	t.Helper()
	status, code, message := f.answer(t, request(action, body))
	if status >= http.StatusInternalServerError || status != http.StatusOK && (code == "" || code == "OTSAuthFailed") {
		t.Fatalf("%s: %d %s %q", action, status, code, message)
	}
	return status == http.StatusOK
}

// recorder adds the requests that the SDK sends to the seeds of a fuzz target.
type recorder struct {
	http.RoundTripper
	seeds *testing.F
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	r.seeds.Add(strings.TrimPrefix(request.URL.Path, "/"), body)
	request.Body = io.NopCloser(bytes.NewReader(body))
	return r.RoundTripper.RoundTrip(request)
}

// FuzzBody asserts that every message is carried out or refused as the caller's mistake. The SDK's requests are its seeds.
func FuzzBody(f *testing.F) {
	b := start(f)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := tablestore.NewDefaultTableStoreConfig()
	c.RetryTimes, c.Transport = 0, &recorder{transport, f}
	b.sdk = tablestore.NewClientWithConfig(b.url, instance, accessKey, secretKey, "", c)
	key := pk("id", "a")
	not := composite(tablestore.LO_NOT, single("n", tablestore.CT_EQUAL, int64(2)))
	put := putChange("t", key, attributes{"s": "x", "n": int64(1), "d": 1.5, "b": true, "raw": []byte{0, 1}})
	put.SetColumnCondition(not)
	many := &tablestore.MultiRowQueryCriteria{TableName: "t", MaxVersion: 1, PrimaryKey: []*tablestore.PrimaryKey{key}}
	b.table("t", textKey)
	must[*tablestore.DescribeTableResponse](f)(b.describe("t"))
	must[*tablestore.UpdateTableResponse](f)(b.sdk.UpdateTable(&tablestore.UpdateTableRequest{TableName: "t", TableOption: tablestore.NewTableOption(-1, 1)}))
	must[*tablestore.PutRowResponse](f)(b.put(put))
	b.read("t", key, func(c *tablestore.SingleRowQueryCriteria) { c.Filter, c.ColumnsToGet = not, []string{"s"} })
	must[*tablestore.BatchWriteRowResponse](f)(b.write(put, deleteChange("t", pk("id", "c"))))
	must[*tablestore.BatchGetRowResponse](f)(b.sdk.BatchGetRow(&tablestore.BatchGetRowRequest{MultiRowQueryCriteria: []*tablestore.MultiRowQueryCriteria{many}}))
	b.pages(everything("t", "id"))
	must[*tablestore.DeleteRowResponse](f)(b.delete(deleteChange("t", key)))

	f.Fuzz(func(t *testing.T, action string, body []byte) {
		if strings.Trim(action, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
			t.Skip("not an action")
		}
		b.carriedOut(t, action, body)
	})
}

// crc8 is the checksum of PlainBuffer, written again bit by bit.
func crc8(crc byte, bytes ...byte) byte {
	for _, b := range bytes {
		crc ^= b
		for range 8 {
			carry := crc&0x80 != 0
			if crc <<= 1; carry {
				crc ^= 0x07
			}
		}
	}
	return crc
}

// plainCell is a column in PlainBuffer, with its checksum. The raw value of a string has no length.
func plainCell(name string, kind byte, raw []byte) (out []byte, sum byte) {
	content := raw
	if kind == 0x3 || kind == 0x7 {
		content = append(binary.LittleEndian.AppendUint32(nil, uint32(len(raw))), raw...)
	}
	out = append(binary.LittleEndian.AppendUint32([]byte{0x3, 0x4}, uint32(len(name))), name...)
	out = append(binary.LittleEndian.AppendUint32(append(out, 0x5), uint32(1+len(content))), kind)
	out = append(out, content...)
	if kind == 0x2 && len(raw) == 1 && raw[0] > 1 {
		content = []byte{1} // the checksum of a boolean covers what is read, true or false (readers of the Python and Ruby SDKs)
	}
	sum = crc8(crc8(crc8(0, []byte(name)...), kind), content...)
	return append(out, 0xa, sum), sum
}

// wellFormed reports whether a row must be accepted. It may say no to some that are: a double that is UTF-8 is a finite number.
func wellFormed(id, name string, kind byte, raw []byte) bool {
	want, known := map[byte]int{0x0: 8, 0x1: 8, 0x2: 1, 0x3: len(raw), 0x7: len(raw)}[kind]
	letters := strings.Trim(id+name, "abcdefghijklmnopqrstuvwxyz") == ""
	return known && len(raw) == want && letters && name != "" && name != "id" && len(id+name+string(raw)) < 256 && utf8.Valid(raw)
}

// FuzzRow asserts that a row of any column, with right checksums, is refused or can be read as it was written.
func FuzzRow(f *testing.F) {
	b := start(f)
	b.table("t", textKey)
	f.Add("a", "text", byte(0x3), []byte("é"))
	f.Add("b", "integer", byte(0x0), []byte{1, 0, 0, 0, 0, 0, 0, 0x80})
	f.Add("c", "double", byte(0x1), []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x7f})
	f.Add("", "boolean", byte(0x2), []byte{3})
	f.Add("\xff", "binary", byte(0x7), []byte{0xff, 0})
	ignored := otsprotocol.RowExistenceExpectation_IGNORE
	f.Fuzz(func(t *testing.T, id, name string, kind byte, raw []byte) {
		key, keySum := plainCell("id", 0x3, []byte(id))
		attribute, sum := plainCell(name, kind, raw)
		row := bytes.Join([][]byte{{0x75, 0, 0, 0, 0x1}, key, {0x2}, attribute, {0x9, crc8(0, keySum, sum, 0)}}, nil)
		body := encode(t, &otsprotocol.PutRowRequest{
			TableName: proto.String("t"), Row: row, Condition: &otsprotocol.Condition{RowExistence: &ignored},
		})
		if !b.carriedOut(t, "PutRow", body) {
			if wellFormed(id, name, kind, raw) {
				t.Fatalf("column %q of type %d with %q is refused", name, kind, raw)
			}
			return
		}
		reader := *b
		reader.t = t
		var got []byte
		switch value := reader.read("t", pk("id", id), nil)[name].(type) {
		case string:
			got = []byte(value)
		case []byte:
			got = value
		case int64:
			got = binary.LittleEndian.AppendUint64(nil, uint64(value))
		case float64:
			got = binary.LittleEndian.AppendUint64(nil, math.Float64bits(value))
		case bool:
			if got = raw; value != (raw[0] != 0) {
				t.Fatalf("got %t of %d", value, raw)
			}
		}
		if !bytes.Equal(got, raw) {
			t.Fatalf("column %q of type %d: got %q, want %q", name, kind, got, raw)
		}
	})
}
