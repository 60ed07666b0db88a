package ledger_test

import (
	"strings"
	"testing"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/ledger"
)

func TestSetup(t *testing.T) {
	server, url := localtest.OTS(t, nil)
	l := connect(t, url, nil)
	setup := func(t *testing.T, l *ledger.Ledger, dryRun bool, want ...string) {
		t.Helper()
		server.Faults().Reset()
		got, err := l.Setup(t.Context(), dryRun)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("changes %q, want %q", got, want)
		}
		changes := server.Faults().Count("CreateTable") + server.Faults().Count("UpdateTable")
		if dryRun && changes > 0 || !dryRun && (changes > 0) != (len(want) > 0) {
			t.Errorf("%d calls that change something, for %q", changes, want)
		}
	}
	t.Run("says what it would make", func(t *testing.T) {
		setup(t, l, true, "create table routinely_jobs, rows are kept for 720h0m0s")
		setup(t, l, true, "create table routinely_jobs, rows are kept for 720h0m0s")
	})
	t.Run("makes the table, once", func(t *testing.T) {
		setup(t, l, false, "create table routinely_jobs, rows are kept for 720h0m0s")
		setup(t, l, false)
		setup(t, l, true)
	})
	t.Run("changes the retention, once", func(t *testing.T) {
		other := connect(t, url, func(c *ledger.Config) { c.Retention = 0 })
		const want = "keep the rows of table routinely_jobs for ever instead of for 720h0m0s"
		setup(t, other, true, want)
		setup(t, other, false, want)
		setup(t, other, false)
	})
	t.Run("refuses a table with other keys", func(t *testing.T) {
		makeTable(t, url, "foreign", "sort")
		other := connect(t, url, func(c *ledger.Config) { c.Table = "foreign" })
		if _, err := other.Setup(t.Context(), false); codeOf(err) != "operator ForeignTable" {
			t.Error(err)
		}
	})
	t.Run("finds a table that somebody else made meanwhile", func(t *testing.T) {
		calls := 0
		other := connect(t, url, func(c *ledger.Config) {
			c.Table = "race"
			c.Credentials = func() (string, string, string) {
				if calls++; calls == 2 {
					makeTable(t, url, "race", "s")
				}
				return localtest.Credentials()
			}
		})
		got, err := other.Setup(t.Context(), false)
		want := []string{"keep the rows of table race for 720h0m0s instead of for ever"}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("error %v, changes (-want +got):\n%s", err, diff)
		}
	})
	t.Run("passes on that the service is busy", func(t *testing.T) {
		breakNext(t, server, faults.Rule{Action: "DescribeTable", Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerBusy"}})
		if _, err := l.Setup(t.Context(), false); codeOf(err) != "unavailable OTSServerBusy" {
			t.Error(err)
		}
	})
}

// rawClient is the SDK as it is, for what the ledger does not do.
func rawClient(url string) *sdk.TableStoreClient {
	return sdk.NewClient(url, localtest.Instance, localtest.AccessKeyID, localtest.AccessKeySecret)
}

func makeTable(t *testing.T, url, name, order string) {
	t.Helper()
	meta := &sdk.TableMeta{TableName: name}
	meta.AddPrimaryKeyColumn("p", sdk.PrimaryKeyType_STRING)
	meta.AddPrimaryKeyColumn(order, sdk.PrimaryKeyType_STRING)
	_, err := rawClient(url).CreateTable(&sdk.CreateTableRequest{
		TableMeta: meta, TableOption: sdk.NewTableOption(-1, 1), ReservedThroughput: &sdk.ReservedThroughput{},
	})
	if err != nil {
		t.Fatal(err)
	}
}
