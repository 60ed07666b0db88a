package seeds_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	gocmp "github.com/google/go-cmp/cmp"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/shared/routine"
)

// releases holds what each release left in the middle of its work: a folder for each, a file for each seed.
const releases = "testdata/releases"

// left is what the functions of a release leave behind when they stop in the middle of their work, and what the same release makes of it.
type left struct {
	// At is the time by which it was read. No process works any more, and every message can be seen.
	At       time.Time           `json:"at"`
	Rows     map[string][]row    `json:"rows"`
	Messages map[string][]string `json:"messages"`
	ESA      esaemu.State        `json:"esa"`
	Ends     ends                `json:"ends"`
}

// row is a row of a table: its primary key, and its columns.
type row struct {
	P       string         `json:"p"`
	S       string         `json:"s"`
	Columns map[string]any `json:"columns"`
}

// ends are what users see in the end: the state of each job with what became of its host names, and the routines with theirs.
type ends struct {
	Jobs     map[string]string   `json:"jobs"`
	Routines map[string][]string `json:"routines"`
}

// TestReleases lets the functions go on with what those of an earlier release have left in the middle of their work: they bring it to the same end.
func TestReleases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(releases, "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no release is recorded: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, releases+"/"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var was left
			if err := json.Unmarshal(text, &was); err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(was.Ends, goOn(t, was)); diff != "" {
				t.Errorf("-as that release, +as this one:\n%s", diff)
			}
		})
	}
}

// TestRecordRelease records what this version leaves: RELEASE=v0.1.0 SEED=9 go test -run TestRecordRelease ./deploy/sim/seeds
func TestRecordRelease(t *testing.T) {
	release, seed := os.Getenv("RELEASE"), number(t, "SEED", 1)
	if release == "" {
		t.Skip("RELEASE names the release to record")
	}
	r := newRun(t, uint64(seed))
	// Nobody listens there: another run has no receiver under the address of this one.
	r.requests = requestsOf(r.plan.intents, "http://127.0.0.1:1")
	for r.step = 0; r.step < r.plan.steps/2; r.step++ {
		r.meddle()
		r.decide()
	}
	was := r.stop()
	was.Ends = goOn(t, was)
	text, err := json.MarshalIndent(was, "", " ")
	r.must(err)
	r.must(os.MkdirAll(filepath.Join(releases, release), 0o755))
	r.must(os.WriteFile(filepath.Join(releases, release, fmt.Sprintf("seed-%d.json", seed)), append(text, '\n'), 0o644))
}

// stop ends all processes and reads what they leave.
func (r *run) stop() left {
	for r.busy() {
		r.gate.kill(r.held()[0].by)
		r.gate.settle()
		r.finish()
	}
	r.esa.ReleaseLock()
	r.advance(2 * time.Hour) // now no message is hidden any more
	was := left{At: r.clock.Now(), Rows: map[string][]row{}, Messages: map[string][]string{}}
	for _, queue := range []string{sim.JobQueue, sim.DeadLetterQueue, sim.CallbackQueue} {
		was.Messages[queue] = sim.Take(r.t, r.queues, queue)
	}
	tables := r.tables()
	names, err := tables.ListTable()
	r.must(err)
	for _, table := range names.TableNames {
		was.Rows[table] = r.rows(tables, table)
	}
	was.ESA, err = r.world.esa.State()
	r.must(err)
	return was
}

// tables is a client of Tablestore whose calls are not held.
func (w *world) tables() *tablestore.TableStoreClient {
	return tablestore.NewClient(w.otsURL, localtest.Instance, localtest.AccessKeyID, localtest.AccessKeySecret)
}

func primaryKey(p, s any) *tablestore.PrimaryKey {
	pk := new(tablestore.PrimaryKey)
	pk.PrimaryKeys = []*tablestore.PrimaryKeyColumn{{ColumnName: "p", Value: p}, {ColumnName: "s", Value: s}}
	return pk
}

// rows reads a whole table.
func (r *run) rows(tables *tablestore.TableStoreClient, table string) (out []row) {
	first, last := new(tablestore.PrimaryKey), new(tablestore.PrimaryKey)
	for _, column := range []string{"p", "s"} {
		first.AddPrimaryKeyColumnWithMinValue(column)
		last.AddPrimaryKeyColumnWithMaxValue(column)
	}
	for first != nil {
		page, err := tables.GetRange(&tablestore.GetRangeRequest{RangeRowQueryCriteria: &tablestore.RangeRowQueryCriteria{
			TableName: table, StartPrimaryKey: first, EndPrimaryKey: last, Direction: tablestore.FORWARD, MaxVersion: 1, Limit: 1000,
		}})
		r.must(err)
		for _, found := range page.Rows {
			one := row{P: found.PrimaryKey.PrimaryKeys[0].Value.(string), S: found.PrimaryKey.PrimaryKeys[1].Value.(string), Columns: map[string]any{}}
			for _, column := range found.Columns {
				one.Columns[column.ColumnName] = column.Value
			}
			out = append(out, one)
		}
		first = page.NextStartPrimaryKey
	}
	return out
}

// goOn lets the functions bring to its end what a release has left, and returns the ends.
func goOn(t *testing.T, was left) ends {
	r := newRun(t, 1)
	r.requests, r.plan.intents, r.plan.keeps, r.calm = nil, nil, false, true
	r.clock.Advance(was.At.Sub(began))
	r.restore(was)
	r.rest()
	for _, d := range []time.Duration{5 * time.Hour, 11 * time.Minute, expiryGrace, 25 * time.Hour, 25 * time.Hour} {
		r.advance(d)
		r.rest()
	}
	return r.ends()
}

// restore puts back what was left.
func (r *run) restore(was left) {
	tables := r.tables()
	for table, rows := range was.Rows {
		for _, one := range rows {
			change := &tablestore.PutRowChange{TableName: table, PrimaryKey: primaryKey(one.P, one.S)}
			change.SetCondition(tablestore.RowExistenceExpectation_IGNORE)
			for name, value := range one.Columns {
				if n, is := value.(float64); is {
					value = int64(n)
				}
				change.AddColumn(name, value)
			}
			_, err := tables.PutRow(&tablestore.PutRowRequest{PutRowChange: change})
			r.must(err)
		}
	}
	for queue, bodies := range was.Messages {
		for _, body := range bodies {
			_, err := r.queues.Send(r.t.Context(), queue, body, 0)
			r.must(err)
		}
	}
	r.must(r.world.esa.SetAccount(esaemu.AccountChange{Dangling: &was.ESA.Account.Dangling}))
	records := slices.Clone(was.ESA.Planted)
	for _, one := range was.ESA.Routines {
		records = append(records, one.Records...)
		one.Records, one.Routes = nil, nil
		r.must(r.world.esa.PlantRoutine(one))
	}
	r.bind(records)
}

// bind makes records with the ids that they had. The server counts ids up, so those that are too small are removed again.
func (r *run) bind(records []esaemu.Record) {
	slices.SortFunc(records, func(a, b esaemu.Record) int { return cmp.Compare(a.RecordID, b.RecordID) })
	for _, want := range records {
		for id := int64(0); id != want.RecordID; {
			if id > want.RecordID {
				r.t.Fatalf("record %d is made as %d", want.RecordID, id)
			}
			if id > 0 {
				r.must(r.world.esa.RemoveRecord(id))
			}
			var err error
			if want.Routine == "" {
				id, err = r.world.esa.PlantRecord(want.SiteID, want.RecordName)
			} else {
				id, err = r.world.esa.BindRecord(want.Routine, want.SiteID, want.RecordName)
			}
			r.must(err)
		}
	}
}

// ends reads what users see.
func (r *run) ends() ends {
	out := ends{Jobs: map[string]string{}, Routines: map[string][]string{}}
	page, _ := read[struct {
		Jobs []routine.Job `json:"jobs"`
	}](r, "/v1/jobs?limit=100")
	for _, listed := range page.Jobs {
		job, _ := read[routine.Job](r, "/v1/jobs/"+listed.ID)
		text := fmt.Sprintf("%s %s: %s", job.Request.Action, job.Request.Name, job.State)
		if job.Result != nil {
			text += fmt.Sprintf(" routine %s record %s", job.Result.Routine, job.Result.Record)
			for _, record := range job.Result.Records {
				text += fmt.Sprintf(", %s %s", record.RecordName, record.Outcome)
			}
		}
		if job.Code != "" {
			text += ", " + job.Code
		}
		if job.Callback != nil {
			text += fmt.Sprintf(", callback %s", job.Callback.State)
		}
		out.Jobs[job.ID] = text
	}
	state, err := r.world.esa.State()
	r.must(err)
	for _, one := range state.Routines {
		out.Routines[one.Name] = []string{one.Description}
		for _, record := range one.Records {
			out.Routines[one.Name] = append(out.Routines[one.Name], record.RecordName)
		}
	}
	return out
}
