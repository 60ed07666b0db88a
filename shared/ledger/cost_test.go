package ledger_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore/otsprotocol"
	"github.com/golang/protobuf/proto"

	"routinely/deploy/local/localtest"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// bill is what calls cost.
type bill struct {
	calls       []string
	read, write int
}

// meter stands before a server and reads the capacity units in its answers.
type meter struct {
	http.Handler
	bill
}

func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	recorder := httptest.NewRecorder()
	m.Handler.ServeHTTP(recorder, r)
	m.take(strings.TrimPrefix(r.URL.Path, "/"), recorder.Body.Bytes())
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}

func (m *meter) take(action string, body []byte) {
	m.calls = append(m.calls, action)
	add := func(c *otsprotocol.ConsumedCapacity) {
		m.read += int(c.GetCapacityUnit().GetRead())
		m.write += int(c.GetCapacityUnit().GetWrite())
	}
	switch action {
	case "BatchWriteRow":
		answer := new(otsprotocol.BatchWriteRowResponse)
		_ = proto.Unmarshal(body, answer)
		for _, row := range answer.Tables[0].Rows {
			add(row.Consumed)
		}
	case "BatchGetRow":
		answer := new(otsprotocol.BatchGetRowResponse)
		_ = proto.Unmarshal(body, answer)
		for _, row := range answer.Tables[0].Rows {
			add(row.Consumed)
		}
	}
}

// line is a line of the package's comment.
func (c bill) line(what string) string {
	var calls []string
	for i := 0; i < len(c.calls); {
		n := 1
		for i+n < len(c.calls) && c.calls[i+n] == c.calls[i] {
			n++
		}
		calls = append(calls, strings.TrimPrefix(fmt.Sprintf("%d %s", n, c.calls[i]), "1 "))
		i += n
	}
	return fmt.Sprintf("//\t%-35s%-49s%3d R%3d W\n", what, strings.Join(calls, ", "), c.read, c.write)
}

// newMeter returns a ledger whose calls are measured.
func newMeter(t testing.TB) (*meter, *book) {
	t.Helper()
	b := newBook(t)
	m := &meter{Handler: b.server}
	b.url = localtest.Listen(t, m, nil)
	b.Ledger = b.connect(t, nil)
	return m, b
}

// lifeCosts are the bills of the parts of a job's life, which ends well at the second try.
func lifeCosts(t testing.TB, m *meter, b *book) (names []string, bills []bill) {
	t.Helper()
	var row ledger.Row
	updated := func(change step) func() {
		return func() {
			var err error
			row, err = update(t, b.Ledger, row, change)
			must(t, err)
		}
	}
	for _, part := range []struct {
		name string
		do   func()
	}{
		{"accept", func() { row = b.create(t, newRow(1))[0] }},
		{"begin, hand over", updated(begins)},
		{"die", updated(dies(5, "Taken"))},
		{"redrive", func() { row = b.change(t, row.ID, redriven(6)) }},
		{"begin after a redrive", updated(begins)},
		{"succeed", updated(succeeds)},
	} {
		m.bill = bill{}
		part.do()
		names, bills = append(names, part.name), append(bills, m.bill)
	}
	return names, bills
}

// claimCosts are the bills of reading and writing claims.
func claimCosts(t testing.TB, m *meter, b *book) (names []string, bills []bill) {
	t.Helper()
	none := func(name string) ledger.ClaimRow { return ledger.ClaimRow{Claim: routine.Claim{Name: name}} }
	var h ledger.Holding
	changed := func(row ledger.ClaimRow, change func(*routine.Claim) error) func() {
		return func() {
			var err error
			h.Claim, err = b.ChangeClaim(t.Context(), row, change)
			must(t, err)
		}
	}
	for _, part := range []struct {
		name string
		do   func()
	}{
		{"new claim of a routine", changed(none("pr-0"), counts)},
		{"new claim of one to be made", changed(none("pr-1"), creating)},
		{"new claim of a host name", func() { h.Records = []ledger.RecordRow{b.bind(t, "pr-1", "a.example.com")} }},
		{"change of a claim", func() { changed(h.Claim, counts)() }},
		{"change of both", func() {
			_, err := b.ChangeHolding(t.Context(), h, counts, recordCounts)
			must(t, err)
		}},
		{"a routine and two host names", func() { holding(t, b.Ledger, "pr-1", "a.example.com", "b.example.com") }},
	} {
		m.bill = bill{}
		part.do()
		names, bills = append(names, part.name), append(bills, m.bill)
	}
	return names, bills
}

func TestCost(t *testing.T) {
	comment, err := os.ReadFile("doc.go")
	must(t, err)
	m, b := newMeter(t)
	names, bills := lifeCosts(t, m, b)
	claims, claimBills := claimCosts(t, m, b)
	names, bills = append(names, claims...), append(bills, claimBills...)
	for i, name := range names {
		t.Run("of "+name+" is what the comment says", func(t *testing.T) {
			if line := bills[i].line(name); !strings.Contains(string(comment), line) {
				t.Errorf("the comment lacks the line\n%s", line)
			}
		})
	}
}

// BenchmarkLife prints what each part of a job's life costs: calls and capacity units.
func BenchmarkLife(b *testing.B) {
	m, book := newMeter(b)
	for b.Loop() {
		var total bill
		names, bills := lifeCosts(b, m, book)
		for i, cost := range bills {
			b.Log(strings.TrimSpace(strings.TrimPrefix(cost.line(names[i]), "//")))
			total.calls = append(total.calls, cost.calls...)
			total.read, total.write = total.read+cost.read, total.write+cost.write
		}
		b.ReportMetric(float64(len(total.calls)), "calls")
		b.ReportMetric(float64(total.read), "read-units")
		b.ReportMetric(float64(total.write), "write-units")
		b.ReportMetric(0, "ns/op")
	}
}
