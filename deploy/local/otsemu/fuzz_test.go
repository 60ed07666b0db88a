package otsemu_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

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
	must[*tablestore.UpdateRowResponse](f)(b.update(countChange("t", key, 2)))
	b.read("t", key, func(c *tablestore.SingleRowQueryCriteria) { c.Filter, c.ColumnsToGet = not, []string{"s"} })
	must[*tablestore.BatchWriteRowResponse](f)(b.write(put, updateChange("t", pk("id", "b"), attributes{"s": "y"}, "d"), deleteChange("t", pk("id", "c"))))
	must[*tablestore.BatchGetRowResponse](f)(b.sdk.BatchGetRow(&tablestore.BatchGetRowRequest{MultiRowQueryCriteria: []*tablestore.MultiRowQueryCriteria{many}}))
	b.pages(everything("t", "id"))
	must[*tablestore.DeleteRowResponse](f)(b.delete(deleteChange("t", key)))
	must[*tablestore.ListTableResponse](f)(b.sdk.ListTable())

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
