package esaemu_test

import (
	"net/http"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
)

func TestDate(t *testing.T) {
	date := func(t *testing.T, b *bench) string {
		t.Helper()
		answer, err := b.http.Client().Get(b.http.URL + "/?Action=GetErService&Version=2024-09-10")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.Header.Get("Date")
	}
	for name, rule := range map[string]*faults.Rule{
		"an answer of its own": nil,
		"a proxy's page":       {Fault: faults.Fault{Answer: faults.HTML}},
		"an injected error":    {Fault: faults.Fault{Answer: faults.Error, Code: "InternalException"}},
	} {
		t.Run(name+" bears the time of the server's clock", func(t *testing.T) {
			b := start(t)
			b.clock.Advance(time.Hour)
			if rule != nil {
				if _, err := b.Faults().Add(*rule); err != nil {
					t.Fatal(err)
				}
			}
			same(t, "Date", date(t, b), b.clock.Now().UTC().Format(http.TimeFormat))
		})
	}
	t.Run("a write bears the time at which it was done", func(t *testing.T) {
		b := start(t)
		latency := time.Minute.Milliseconds()
		if err := b.SetAccount(esaemu.AccountChange{LatencyMillis: &latency}); err != nil {
			t.Fatal(err)
		}
		go func() {
			b.clock.Await(1)
			b.clock.Advance(time.Minute)
		}()
		done := must[*esa.CreateRoutineResponse](t)(b.sdk.CreateRoutine(&esa.CreateRoutineRequest{Name: tea.String("web")}))
		same(t, "Date", tea.StringValue(done.Headers["date"]), b.clock.Now().UTC().Format(http.TimeFormat))
	})
	t.Run("a fault can take another Date", func(t *testing.T) {
		b := start(t)
		if _, err := b.Faults().Add(faults.Rule{Fault: faults.Fault{Answer: faults.Empty, Headers: map[string]string{"Date": "today"}}}); err != nil {
			t.Fatal(err)
		}
		same(t, "Date", date(t, b), "today")
	})
}
