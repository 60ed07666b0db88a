package otsemu_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore/otsprotocol"
	"github.com/golang/protobuf/proto"
)

// inProcess is a signed request to the handler itself. The answer is a success or an error of the caller's.
func (b *bench) inProcess(t *testing.T, action string, body []byte) int {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/"+action, bytes.NewReader(body))
	for name, value := range map[string]string{
		"x-ots-date": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "x-ots-apiversion": "2015-12-31",
		"x-ots-accesskeyid": accessKey, "x-ots-instancename": instance, "x-ots-contentmd5": md5Base64(body),
	} {
		r.Header.Set(name, value)
	}
	r.Header.Set("x-ots-signature", hmacBase64("/"+action+"\nPOST\n\n"+canonical(r.Header)+"\n"))
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	problem := &otsprotocol.Error{}
	switch {
	case w.Code >= http.StatusInternalServerError:
		t.Fatalf("%s: %d %q", action, w.Code, w.Body)
	case w.Code == http.StatusOK:
	case proto.Unmarshal(w.Body.Bytes(), problem) != nil || problem.GetCode() == "" || problem.GetCode() == "OTSAuthFailed":
		t.Fatalf("%s: %d %q", action, w.Code, w.Body)
	}
	return w.Code
}

// recorder keeps the requests that the SDK sends.
type recorder struct {
	http.RoundTripper
	sent []recorded
}

type recorded struct {
	action string
	body   []byte
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	r.sent = append(r.sent, recorded{strings.TrimPrefix(request.URL.Path, "/"), body})
	request.Body = io.NopCloser(bytes.NewReader(body))
	return r.RoundTripper.RoundTrip(request)
}

// seeds are requests of the official SDK, one of each operation at least.
func (b *bench) seeds() []recorded {
	b.t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	record := &recorder{RoundTripper: transport}
	c := tablestore.NewDefaultTableStoreConfig()
	c.RetryTimes, c.Transport = 0, record
	sdk := tablestore.NewClientWithConfig(b.http.URL, instance, accessKey, secretKey, "", c)
	key := pk("id", "a")
	put := putChange("t", key, attributes{"s": "x", "n": int64(1), "d": 1.5, "b": true, "raw": []byte{0, 1}})
	filter := tablestore.NewSingleColumnCondition("n", tablestore.CT_EQUAL, int64(2))
	not := tablestore.NewCompositeColumnCondition(tablestore.LO_NOT)
	not.AddFilter(filter)
	update := updateChange("t", key)
	update.PutColumn("s", "y")
	update.DeleteColumn("n")
	update.SetColumnCondition(not)
	batch := &tablestore.BatchWriteRowRequest{}
	batch.AddRowChange(put)
	batch.AddRowChange(deleteChange("t", pk("id", "c")))
	many := &tablestore.MultiRowQueryCriteria{TableName: "t", MaxVersion: 1}
	many.AddRow(key)
	from, to := &tablestore.PrimaryKey{}, &tablestore.PrimaryKey{}
	from.AddPrimaryKeyColumnWithMinValue("id")
	to.AddPrimaryKeyColumnWithMaxValue("id")
	one := &tablestore.SingleRowQueryCriteria{TableName: "t", PrimaryKey: key, MaxVersion: 1, Filter: not, ColumnsToGet: []string{"s"}}
	steps := []error{}
	say := func(_ any, err error) { steps = append(steps, err) }
	say(sdk.CreateTable(newTable("t", textKey, forever())))
	say(sdk.ListTable())
	say(sdk.DescribeTable(&tablestore.DescribeTableRequest{TableName: "t"}))
	say(sdk.UpdateTable(&tablestore.UpdateTableRequest{TableName: "t", TableOption: forever()}))
	say(sdk.PutRow(&tablestore.PutRowRequest{PutRowChange: put}))
	say(sdk.GetRow(&tablestore.GetRowRequest{SingleRowQueryCriteria: one}))
	say(sdk.UpdateRow(&tablestore.UpdateRowRequest{UpdateRowChange: update}))
	say(sdk.BatchWriteRow(batch))
	say(sdk.BatchGetRow(&tablestore.BatchGetRowRequest{MultiRowQueryCriteria: []*tablestore.MultiRowQueryCriteria{many}}))
	say(sdk.GetRange(&tablestore.GetRangeRequest{RangeRowQueryCriteria: &tablestore.RangeRowQueryCriteria{
		TableName: "t", StartPrimaryKey: from, EndPrimaryKey: to, MaxVersion: 1, Limit: 2, Direction: tablestore.FORWARD,
	}}))
	say(sdk.DeleteRow(&tablestore.DeleteRowRequest{DeleteRowChange: deleteChange("t", key)}))
	say(sdk.DeleteTable(&tablestore.DeleteTableRequest{TableName: "t"}))
	if i := slices.IndexFunc(steps, func(err error) bool { return err != nil }); i >= 0 {
		b.t.Fatalf("%s: %v", record.sent[i].action, steps[i])
	}
	return record.sent
}

// FuzzBody asserts that every message is carried out or refused as the caller's mistake.
func FuzzBody(f *testing.F) {
	b := start(f)
	for _, seed := range b.seeds() {
		f.Add(seed.action, seed.body)
	}
	b.table("t", textKey)
	f.Fuzz(func(t *testing.T, action string, body []byte) {
		if strings.Trim(action, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
			t.Skip("not an action")
		}
		b.inProcess(t, action, body)
	})
}

// plain is a part of PlainBuffer with the checksum over what of it counts.
type plain struct {
	out []byte
	crc byte
}

// crc8 is the checksum written again, bit by bit.
func crc8(crc byte, bytes ...byte) byte {
	for _, b := range bytes {
		crc ^= b
		for range 8 {
			carry := crc&0x80 != 0
			crc <<= 1
			if carry {
				crc ^= 0x07
			}
		}
	}
	return crc
}

func (p *plain) cell(name string, kind byte, raw []byte, op byte) {
	var sum byte
	p.out = binary.LittleEndian.AppendUint32(append(p.out, 0x3, 0x4), uint32(len(name)))
	p.out = append(p.out, name...)
	sum = crc8(sum, []byte(name)...)
	content := raw
	if kind == 0x3 || kind == 0x7 {
		content = append(binary.LittleEndian.AppendUint32(nil, uint32(len(raw))), raw...)
	}
	p.out = append(binary.LittleEndian.AppendUint32(append(p.out, 0x5), uint32(1+len(content))), kind)
	p.out = append(p.out, content...)
	if kind == 0x2 && len(raw) == 1 && raw[0] > 1 {
		content = []byte{1} // a boolean's checksum covers what is read, true or false (readers of the Python and Ruby SDKs)
	}
	sum = crc8(crc8(sum, kind), content...)
	if op != 0 {
		p.out = append(p.out, 0x6, op)
		sum = crc8(sum, op)
	}
	p.out = append(p.out, 0xa, sum)
	p.crc = crc8(p.crc, sum)
}

// wellFormed reports whether a row is one that is taken for certain.
func wellFormed(id, name string, kind byte, raw []byte, op byte) bool {
	length := map[byte]int{0x0: 8, 0x1: 8, 0x2: 1, 0x3: len(raw), 0x7: len(raw)}
	want, known := length[kind]
	letters := strings.Trim(id+name, "abcdefghijklmnopqrstuvwxyz") == ""
	return op == 0 && known && len(raw) == want && letters && name != "" && name != "id" && len(id+name+string(raw)) < 256 && utf8.Valid(raw)
}

// FuzzRow asserts that a row of any columns, with right checksums, is refused or can be read as it was written.
func FuzzRow(f *testing.F) {
	b := start(f)
	b.table("t", textKey)
	f.Add("PutRow", "a", "text", byte(0x3), []byte("é"), byte(0))
	f.Add("PutRow", "b", "integer", byte(0x0), []byte{1, 0, 0, 0, 0, 0, 0, 0x80}, byte(0))
	f.Add("PutRow", "c", "double", byte(0x1), []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x7f}, byte(0))
	f.Add("PutRow", "", "boolean", byte(0x2), []byte{1}, byte(0))
	f.Add("PutRow", "e", "boolean", byte(0x2), []byte{3}, byte(0))
	f.Add("UpdateRow", "\xff", "binary", byte(0x7), []byte{0xff, 0}, byte(0x1))
	f.Add("UpdateRow", "d", "sum", byte(0x0), []byte{1, 0, 0, 0, 0, 0, 0, 0}, byte(0x4))
	f.Fuzz(func(t *testing.T, action, id, name string, kind byte, raw []byte, op byte) {
		if action != "PutRow" && action != "UpdateRow" {
			t.Skip("not a write of one row")
		}
		p := &plain{out: []byte{0x75, 0, 0, 0, 0x1}}
		p.cell("id", 0x3, []byte(id), 0)
		p.out = append(p.out, 0x2)
		p.cell(name, kind, raw, op)
		p.out = append(p.out, 0x9, crc8(p.crc, 0))
		ignored := otsprotocol.RowExistenceExpectation_IGNORE
		// The two requests have the same fields.
		body := encode(t, &otsprotocol.PutRowRequest{
			TableName: proto.String("t"), Row: p.out, Condition: &otsprotocol.Condition{RowExistence: &ignored},
		})
		status := b.inProcess(t, action, body)
		if action != "PutRow" || status != http.StatusOK && !wellFormed(id, name, kind, raw, op) {
			return
		}
		if status != http.StatusOK {
			t.Fatalf("column %q of type %d with %q is refused", name, kind, raw)
		}
		reader := *b
		reader.t = t
		var got []byte
		switch value := reader.read("t", pk("id", id))[name].(type) {
		case string:
			got = []byte(value)
		case []byte:
			got = value
		case int64:
			got = binary.LittleEndian.AppendUint64(nil, uint64(value))
		case float64:
			got = binary.LittleEndian.AppendUint64(nil, math.Float64bits(value))
		case bool:
			got = raw // any byte but 0 is true
			if value != (raw[0] != 0) {
				t.Fatalf("got %t of %d", value, raw)
			}
		}
		if !bytes.Equal(got, raw) {
			t.Fatalf("column %q of type %d: got %q, want %q", name, kind, got, raw)
		}
	})
}
