package otsemu_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore/otsprotocol"
	"github.com/golang/protobuf/proto"

	"routinely/deploy/local/faults"
)

// raw is a request as bytes, for what no SDK sends. Its headers are signed unless they bring a signature.
type raw struct {
	method, path string
	headers      map[string]string
	body         []byte
}

type rawAnswer struct {
	status        int
	header        http.Header
	body          []byte
	code, message string
}

func md5Base64(b []byte) string {
	sum := md5.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func hmacBase64(text string) string {
	mac := hmac.New(sha1.New, []byte(secretKey))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// canonical is the x-ots headers but the signature, sorted.
func canonical(header http.Header) string {
	var lines []string
	for name, values := range header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-ots-") && name != "x-ots-signature" {
			lines = append(lines, name+":"+strings.TrimSpace(values[0]))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// encode is a message of the SDK's as bytes.
func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	return must[[]byte](t)(proto.Marshal(m))
}

func (b *bench) raw(r raw) rawAnswer {
	b.t.Helper()
	if r.method == "" {
		r.method = http.MethodPost
	}
	request := must[*http.Request](b.t)(http.NewRequest(r.method, b.http.URL+r.path, bytes.NewReader(r.body)))
	for name, value := range map[string]string{
		"x-ots-date": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "x-ots-apiversion": "2015-12-31",
		"x-ots-accesskeyid": accessKey, "x-ots-instancename": instance, "x-ots-contentmd5": md5Base64(r.body),
	} {
		request.Header.Set(name, value)
	}
	for name, value := range r.headers {
		if value == "" {
			request.Header.Del(name)
			continue
		}
		request.Header.Set(name, value)
	}
	if _, given := r.headers["x-ots-signature"]; !given {
		toSign := request.URL.Path + "\n" + r.method + "\n" + request.URL.RawQuery + "\n" + canonical(request.Header) + "\n"
		request.Header.Set("x-ots-signature", hmacBase64(toSign))
	}
	response := must[*http.Response](b.t)(b.http.Client().Do(request))
	defer func() { _ = response.Body.Close() }()
	out := rawAnswer{status: response.StatusCode, header: response.Header, body: must[[]byte](b.t)(io.ReadAll(response.Body))}
	if out.status != http.StatusOK {
		problem := &otsprotocol.Error{}
		if err := proto.Unmarshal(out.body, problem); err != nil {
			b.t.Fatalf("%d %q: %v", out.status, out.body, err)
		}
		out.code, out.message = problem.GetCode(), problem.GetMessage()
	}
	return out
}

func TestAuthentication(t *testing.T) {
	t.Run("accepts what the SDK signs, with a security token too", func(t *testing.T) {
		b := start(t)
		must[*tablestore.ListTableResponse](t)(b.sdk.ListTable())
		must[*tablestore.ListTableResponse](t)(client(t, b.http.URL, instance, accessKey, secretKey, "a-token").ListTable())
	})

	t.Run("refuses other keys, secrets and instances", func(t *testing.T) {
		b := start(t)
		for message, sdk := range map[string]*tablestore.TableStoreClient{
			"The AccessKeyID does not exist.": client(t, b.http.URL, instance, "other", secretKey, ""),
			"Signature mismatch.":             client(t, b.http.URL, instance, accessKey, "other", ""),
			"The instance is not found.":      client(t, b.http.URL, "other", accessKey, secretKey, ""),
		} {
			_, err := sdk.ListTable()
			refused(t, err, "OTSAuthFailed", 403, message)
		}
	})

	t.Run("allows the clocks 15 minutes, whatever the server's clock for data says", func(t *testing.T) {
		b := start(t)
		b.clock.Advance(1000 * time.Hour)
		at := func(offset time.Duration) rawAnswer {
			return b.raw(raw{path: "/ListTable", headers: map[string]string{
				"x-ots-date": time.Now().UTC().Add(offset).Format("2006-01-02T15:04:05Z"),
			}})
		}
		for _, offset := range []time.Duration{-14 * time.Minute, 14 * time.Minute} {
			same(t, "status at "+offset.String(), at(offset).status, 200)
		}
		for _, offset := range []time.Duration{-16 * time.Minute, 16 * time.Minute} {
			got := at(offset)
			same(t, "status at "+offset.String(), got.status, 403)
			if !strings.HasPrefix(got.message, "Mismatch between system time and x-ots-date: ") {
				t.Errorf("message %q", got.message)
			}
		}
	})

	t.Run("covers the security token, the query and the body", func(t *testing.T) {
		b := start(t)
		date := time.Now().UTC().Format("2006-01-02T15:04:05Z")
		signed := b.raw(raw{path: "/ListTable?b=2&a=1", headers: map[string]string{"x-ots-ststoken": "t"}})
		same(t, "unsorted query, signed as it is", signed.code+signed.message, "OTSAuthFailedSignature mismatch.")
		same(t, "sorted query", b.raw(raw{path: "/ListTable?a=1&b=2"}).status, 200)
		signature := hmacBase64("/ListTable\nPOST\n\n" + canonical(http.Header{
			"x-ots-date": {date}, "x-ots-apiversion": {"2015-12-31"}, "x-ots-accesskeyid": {accessKey},
			"x-ots-instancename": {instance}, "x-ots-contentmd5": {md5Base64(nil)},
		}) + "\n")
		headers := map[string]string{"x-ots-date": date, "x-ots-signature": signature}
		same(t, "as signed", b.raw(raw{path: "/ListTable", headers: headers}).status, 200)
		headers["x-ots-ststoken"] = "added later"
		same(t, "token added", b.raw(raw{path: "/ListTable", headers: headers}).message, "Signature mismatch.")
		got := b.raw(raw{path: "/ListTable", body: []byte("x"), headers: map[string]string{"x-ots-contentmd5": md5Base64(nil)}})
		same(t, "body", got.code+": "+got.message, "OTSAuthFailed: Mismatch between MD5 value of request body and x-ots-contentmd5 in header.")
	})

	t.Run("names the header that is missing or wrong", func(t *testing.T) {
		b := start(t)
		for _, name := range []string{
			"x-ots-date", "x-ots-apiversion", "x-ots-accesskeyid", "x-ots-contentmd5", "x-ots-instancename", "x-ots-signature",
		} {
			got := b.raw(raw{path: "/ListTable", headers: map[string]string{name: ""}})
			same(t, name, []any{got.status, got.code, got.message}, []any{400, "OTSParameterInvalid", "Missing header: '" + name + "'."})
		}
		got := b.raw(raw{path: "/ListTable", headers: map[string]string{"x-ots-date": "yesterday"}})
		same(t, "date", got.message, "Invalid date format: yesterday.")
		got = b.raw(raw{path: "/ListTable", headers: map[string]string{"x-ots-apiversion": "2014-08-08"}})
		same(t, "version", got.message, "Unsupported API version: 2014-08-08.")
	})
}

func TestAnswers(t *testing.T) {
	t.Run("carry the headers that SDKs check", func(t *testing.T) {
		b := start(t)
		for _, path := range []string{"/ListTable", "/DescribeTable"} {
			got := b.raw(raw{path: path, body: encode(t, &otsprotocol.DescribeTableRequest{TableName: proto.String("none")})})
			same(t, "MD5", got.header.Get("x-ots-contentmd5"), md5Base64(got.body))
			same(t, "type", got.header.Get("x-ots-contenttype"), "protocol buffer")
			date := must[time.Time](t)(time.Parse("2006-01-02T15:04:05.000000Z", got.header.Get("x-ots-date")))
			if time.Since(date).Abs() > time.Minute {
				t.Errorf("date %s", date)
			}
			id := got.header.Get("x-ots-requestid")
			if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(id) {
				t.Errorf("request id %q", id)
			}
			micros := must[int64](t)(strconv.ParseInt(strings.ReplaceAll(id, "-", "")[:16], 16, 64))
			same(t, "time in the request id", time.UnixMicro(micros).UTC(), date)
			same(t, "signature", got.header.Get("Authorization"), "OTS "+accessKey+":"+hmacBase64(canonical(got.header)+"\n"+path))
		}
	})

	t.Run("are signed unless they deny access", func(t *testing.T) {
		b := start(t)
		must[string](t)(b.Faults().Add(faults.Rule{Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSConditionCheckFail"}}))
		got := b.raw(raw{path: "/ListTable"})
		same(t, "condition", got.header.Get("Authorization"), "OTS "+accessKey+":"+hmacBase64(canonical(got.header)+"\n/ListTable"))
		got = b.raw(raw{path: "/ListTable", headers: map[string]string{"x-ots-accesskeyid": "other"}})
		same(t, "denied", got.header.Get("Authorization"), "")
	})

	t.Run("refuse other methods and unknown operations", func(t *testing.T) {
		b := start(t)
		got := b.raw(raw{method: http.MethodGet, path: "/ListTable"})
		same(t, "method", []any{got.status, got.code}, []any{405, "OTSMethodNotAllowed"})
		got = b.raw(raw{path: "/MakeCoffee"})
		same(t, "operation", []any{got.status, got.code, got.message}, []any{400, "OTSParameterInvalid", "Unsupported operation: 'MakeCoffee'."})
		_, err := b.sdk.SQLQuery(&tablestore.SQLQueryRequest{Query: "select 1"})
		invalid(t, err, "Unsupported operation: 'SQLQuery'.")
	})

	t.Run("refuse bodies that are too large or no message", func(t *testing.T) {
		b := start(t)
		got := b.raw(raw{path: "/PutRow", body: make([]byte, 8<<20+1)})
		same(t, "large", []any{got.status, got.code}, []any{413, "OTSRequestBodyTooLarge"})
		for name, body := range map[string][]byte{
			"cut":            {0x0a, 0x05, 'a'},
			"another type":   {0x08, 0x01},
			"nothing at all": nil,
			"no tag":         {0xff},
		} {
			got := b.raw(raw{path: "/DescribeTable", body: body})
			same(t, name, []any{got.status, got.code, got.message}, []any{400, "OTSParameterInvalid", "Parse PBMessage from RawString failed."})
		}
	})
}

// damaged changes a copy of a row's bytes.
func damaged(row []byte, edit func([]byte) []byte) []byte { return edit(slices.Clone(row)) }

// TestRecorded compares answers with what was recorded from the service, fields that the SDK does not know included.
func TestRecorded(t *testing.T) {
	// fields are the bytes of numbers and messages by their field.
	fields := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	number := func(field byte, value uint64) []byte { return binary.AppendUvarint([]byte{field << 3}, value) }
	zero := func(field byte) []byte { return []byte{field<<3 | 2, 2, 1 << 3, 0} }

	t.Run("a range says how its rows are written", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		forward := otsprotocol.Direction_FORWARD
		all := everything("jobs", "id")
		got := b.raw(raw{path: "/GetRange", body: encode(t, &otsprotocol.GetRangeRequest{
			TableName: proto.String("jobs"), Direction: &forward, MaxVersions: proto.Int32(1),
			InclusiveStartPrimaryKey: all.StartPrimaryKey.Build(false), ExclusiveEndPrimaryKey: all.EndPrimaryKey.Build(false),
		})})
		var answer otsprotocol.GetRangeResponse
		if err := proto.Unmarshal(got.body, &answer); err != nil {
			t.Fatal(err)
		}
		if answer.DataBlockType == nil || *answer.DataBlockType != 0 || answer.CompressType == nil || *answer.CompressType != 0 {
			t.Errorf("block type %v, compression %v, want both there and 0", answer.DataBlockType, answer.CompressType)
		}
	})

	t.Run("a table has an id and the time of its making", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		made := uint64(b.clock.Now().UnixMicro())
		b.clock.Advance(time.Hour)
		describe := func() *otsprotocol.DescribeTableResponse {
			var answer otsprotocol.DescribeTableResponse
			got := b.raw(raw{path: "/DescribeTable", body: encode(t, &otsprotocol.DescribeTableRequest{TableName: proto.String("jobs")})})
			if err := proto.Unmarshal(got.body, &answer); err != nil {
				t.Fatal(err)
			}
			return &answer
		}
		answer := describe()
		same(t, "table", answer.XXX_unrecognized, fields(number(9, made), zero(12), number(13, 0)))
		same(t, "encryption", *answer.SseDetails.Enable, false)
		same(t, "stream", *answer.StreamDetails.LastEnableTime, int64(0))
		same(t, "options", answer.TableOptions.XXX_unrecognized, number(7, 0))
		id, found := bytes.CutPrefix(answer.TableMeta.XXX_unrecognized, []byte{5<<3 | 2, 36})
		if !found || !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).Match(id) {
			t.Errorf("id %q, want a UUID", answer.TableMeta.XXX_unrecognized)
		}
		same(t, "again", describe().XXX_unrecognized, answer.XXX_unrecognized)
	})

	t.Run("a condition has a text for existence, for absence and for columns", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		put := func(existence tablestore.RowExistenceExpectation) error {
			c := putChange("jobs", pk("id", "a"), attributes{"n": int64(1)})
			c.Condition = condition(existence, single("n", tablestore.CT_EQUAL, int64(2)))
			_, err := b.put(c)
			return err
		}
		conditionFailed(t, put(expectExist), rowMissing)
		b.store("jobs", pk("id", "a"), attributes{"n": int64(1)})
		conditionFailed(t, put(expectNotExist), rowExists)
		conditionFailed(t, put(expectExist), columnsDiffer)
	})
}

func TestPlainBuffer(t *testing.T) {
	b := start(t)
	b.table("jobs", textKey)
	c := putChange("jobs", pk("id", "a"), attributes{"c": "value"})
	good := c.Serialize()
	send := func(row []byte) rawAnswer {
		existence := otsprotocol.RowExistenceExpectation_IGNORE
		return b.raw(raw{path: "/PutRow", body: encode(t, &otsprotocol.PutRowRequest{
			TableName: proto.String("jobs"), Row: row, Condition: &otsprotocol.Condition{RowExistence: &existence},
		})})
	}
	same(t, "undamaged", send(good).status, 200)
	same(t, "padded", send(append(slices.Clone(good), 0, 0)).status, 200)

	t.Run("is refused with any byte cut off or changed", func(t *testing.T) {
		for i := range good {
			if got := send(good[:i]); got.status != 400 || got.code != "OTSParameterInvalid" {
				t.Errorf("cut at %d: %d %s", i, got.status, got.message)
			}
			got := send(damaged(good, func(row []byte) []byte {
				row[i] ^= 0x40
				return row
			}))
			if got.status == 200 {
				t.Errorf("byte %d changed: accepted", i)
			}
		}
	})

	t.Run("is refused with a text that says why", func(t *testing.T) {
		for want, row := range map[string][]byte{
			"mismatch header": damaged(good, func(row []byte) []byte { row[0] = 1; return row }),
			"checksum is mismatch": damaged(good, func(row []byte) []byte {
				row[len(row)-1]++
				return row
			}),
			"row is not end with checksum tag": good[:len(good)-2],
			"data format is invalid.":          append(slices.Clone(good), 0, 1),
			"unknown variant type occured": damaged(good, func(row []byte) []byte {
				row[bytes.IndexByte(row, 0x05)+5] = 0x55
				return row
			}),
			"PK is empty":                        binary.LittleEndian.AppendUint32(nil, 0x75),
			"unexpected RowDeleteMarker":         deleteChange("jobs", pk("id", "a")).PrimaryKey.Build(true),
			"Duplicated primary key name: 'id'.": pk("id", "a", "id", "b").Build(false),
		} {
			got := send(row)
			if got.status != 400 || !strings.Contains(got.message, want) {
				t.Errorf("got %d %q, want %q", got.status, got.message, want)
			}
		}
	})

	t.Run("of a delete must carry the marker, and of a read must not", func(t *testing.T) {
		existence := otsprotocol.RowExistenceExpectation_IGNORE
		got := b.raw(raw{path: "/DeleteRow", body: encode(t, &otsprotocol.DeleteRowRequest{
			TableName: proto.String("jobs"), PrimaryKey: pk("id", "a").Build(false), Condition: &otsprotocol.Condition{RowExistence: &existence},
		})})
		same(t, "delete", got.message, "Invalid request of delete row: missing RowDeleteMarker in request.")
		for want, row := range map[string][]byte{
			"Delete marker cannot be given.":                       pk("id", "a").Build(true),
			"Attribute column cannot be given while reading data.": good,
		} {
			got = b.raw(raw{path: "/GetRow", body: encode(t, &otsprotocol.GetRowRequest{
				TableName: proto.String("jobs"), PrimaryKey: row, MaxVersions: proto.Int32(1),
			})})
			same(t, "read", got.message, want)
		}
	})
}
