package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
)

// forever is Tablestore's time to live for data that does not expire.
const forever = -1

// Setup makes the two tables if they are missing, gives that of the jobs the configured retention, and says what it changed; nothing is left
// to change the next time. With dryRun it only says what it would change. A table with other keys than the ledger's is a fault with code
// ForeignTable. A new table can take some seconds before it is ready to be used.
func (l *Ledger) Setup(ctx context.Context, dryRun bool) (changes []string, err error) {
	for _, wanted := range []struct {
		table *table
		kept  int
	}{{l.jobs, l.timeToLive()}, {l.state, forever}} {
		change, err := wanted.table.setUp(ctx, wanted.kept, dryRun)
		if err != nil {
			return changes, err
		}
		if change != "" {
			changes = append(changes, change)
		}
	}
	return changes, nil
}

// setUp makes or corrects one table and says what it changed.
func (t *table) setUp(ctx context.Context, timeToLive int, dryRun bool) (change string, err error) {
	found, err := t.describe(ctx)
	if fault.HasCode(err, codeNotExist) {
		if !dryRun {
			err = t.create(ctx, timeToLive)
		}
		if dryRun || err == nil {
			return fmt.Sprintf("create table %s, rows are kept %s", t.name, shown(timeToLive)), nil
		}
		if fault.HasCode(err, codeAlreadyExist) { // somebody else was setting it up
			found, err = t.describe(ctx)
		}
	}
	if err != nil {
		return "", err
	}
	return t.adjust(ctx, found, timeToLive, dryRun)
}

// adjust gives an existing table the retention it should have.
func (t *table) adjust(ctx context.Context, found *sdk.DescribeTableResponse, timeToLive int, dryRun bool) (change string, err error) {
	if keys := schema(found.TableMeta); keys != "p STRING, s STRING" {
		return "", &fault.Error{
			Kind: fault.Account, Step: "DescribeTable", Code: "ForeignTable", RequestID: found.RequestId, Hint: hintSchema,
			Message: fmt.Sprintf("table %s has the primary key %s, want p STRING, s STRING", t.name, keys),
		}
	}
	have := found.TableOption.TimeToAlive
	if have == timeToLive {
		return "", nil
	}
	if !dryRun {
		if err := t.update(ctx, timeToLive); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("keep the rows of table %s %s instead of %s", t.name, shown(timeToLive), shown(have)), nil
}

// timeToLive is the retention in Tablestore's terms.
func (l *Ledger) timeToLive() int {
	if l.cfg.Retention == 0 {
		return forever
	}
	return int(l.cfg.Retention / time.Second)
}

func shown(seconds int) string {
	if seconds == forever {
		return "for ever"
	}
	return "for " + (time.Duration(seconds) * time.Second).String()
}

// schema writes a primary key as "name TYPE, name TYPE".
func schema(meta *sdk.TableMeta) string {
	types := map[sdk.PrimaryKeyType]string{
		sdk.PrimaryKeyType_INTEGER: "INTEGER", sdk.PrimaryKeyType_STRING: "STRING", sdk.PrimaryKeyType_BINARY: "BINARY",
	}
	parts := make([]string, 0, len(meta.SchemaEntry))
	for _, column := range meta.SchemaEntry {
		parts = append(parts, *column.Name+" "+types[*column.Type])
	}
	return strings.Join(parts, ", ")
}

func (t *table) describe(ctx context.Context) (out *sdk.DescribeTableResponse, err error) {
	err = t.call(ctx, "DescribeTable", func(c *sdk.TableStoreClient) error {
		out, err = c.DescribeTable(&sdk.DescribeTableRequest{TableName: t.name})
		return err
	})
	return out, err
}

func (t *table) create(ctx context.Context, timeToLive int) error {
	meta := &sdk.TableMeta{TableName: t.name}
	meta.AddPrimaryKeyColumn(columnP, sdk.PrimaryKeyType_STRING)
	meta.AddPrimaryKeyColumn(columnS, sdk.PrimaryKeyType_STRING)
	return t.call(ctx, "CreateTable", func(c *sdk.TableStoreClient) error {
		_, err := c.CreateTable(&sdk.CreateTableRequest{
			TableMeta: meta, TableOption: sdk.NewTableOption(timeToLive, 1), ReservedThroughput: &sdk.ReservedThroughput{},
		})
		return err
	})
}

func (t *table) update(ctx context.Context, timeToLive int) error {
	return t.call(ctx, "UpdateTable", func(c *sdk.TableStoreClient) error {
		_, err := c.UpdateTable(&sdk.UpdateTableRequest{TableName: t.name, TableOption: sdk.NewTableOption(timeToLive, 1)})
		return err
	})
}
