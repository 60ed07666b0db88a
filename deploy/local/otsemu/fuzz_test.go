package otsemu_test

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

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
		status, code, message := b.answer(t, request(action, body))
		if status >= http.StatusInternalServerError || status != http.StatusOK && (code == "" || code == "OTSAuthFailed") {
			t.Fatalf("%s: %d %s %q", action, status, code, message)
		}
	})
}

// FuzzRow asserts that a row is refused as the caller's mistake, or can be read as it was written.
func FuzzRow(f *testing.F) {
	b := start(f)
	b.table("t", textKey)
	f.Add("a", "text", byte(0), "é", int64(0), 0.0, false)
	f.Add("\xff", "binary", byte(1), "\xff\x00", int64(0), 0.0, false)
	f.Add("c", "integer", byte(2), "", int64(math.MinInt64), 0.0, false)
	f.Add("d", "double", byte(3), "", int64(0), math.Inf(1), false)
	f.Add("", "boolean", byte(4), "", int64(0), 0.0, true)
	f.Fuzz(func(t *testing.T, id, name string, kind byte, text string, integer int64, double float64, boolean bool) {
		value := []any{text, []byte(text), integer, double, boolean}[kind%5]
		_, err := b.put(putChange("t", pk("id", id), attributes{name: value}))
		valid := strings.Trim(id+name, "abcdefghijklmnopqrstuvwxyz") == "" && name != "" && name != "id" && len(id+name) < 256 &&
			utf8.ValidString(text) && double-double == 0
		if err != nil {
			if refused(t, err, "OTSParameterInvalid", 400, ""); valid {
				t.Errorf("refused: %v", err)
			}
			return
		}
		reader := *b
		reader.t = t
		same(t, "row", reader.read("t", pk("id", id), nil), attributes{name: value})
	})
}
