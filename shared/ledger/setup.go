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

// Setup makes the table if there is none and gives it the configured retention, and says what it changed; nothing is left to
// change the next time. With dryRun it only says what it would change. A table with other keys than the ledger's is a fault
// of kind Operator and code ForeignTable. A new table can take some seconds before it is ready to be used.
func (l *Ledger) Setup(ctx context.Context, dryRun bool) (changes []string, err error) {
	found, err := l.table.describe(ctx)
	if fault.HasCode(err, codeNotExist) {
		if !dryRun {
			err = l.table.createTable(ctx, l.timeToLive())
		}
		if dryRun || err == nil {
			return []string{fmt.Sprintf("create table %s, rows are kept %s", l.table.name, shown(l.timeToLive()))}, nil
		}
		if fault.HasCode(err, codeAlreadyExist) { // somebody else was setting it up
			found, err = l.table.describe(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	return l.adjust(ctx, found, dryRun)
}

// adjust gives an existing table the retention it should have.
func (l *Ledger) adjust(ctx context.Context, found *sdk.DescribeTableResponse, dryRun bool) (changes []string, err error) {
	if keys := schema(found.TableMeta); keys != "p STRING, s STRING" {
		return nil, &fault.Error{
			Kind: fault.Operator, Step: "DescribeTable", Code: "ForeignTable", RequestID: found.RequestId, Hint: hintSchema,
			Message: fmt.Sprintf("table %s has the primary key %s, want p STRING, s STRING", l.table.name, keys),
		}
	}
	have := found.TableOption.TimeToAlive
	if have == l.timeToLive() {
		return nil, nil
	}
	if !dryRun {
		if err := l.table.updateTable(ctx, l.timeToLive()); err != nil {
			return nil, err
		}
	}
	return []string{fmt.Sprintf("keep the rows of table %s %s instead of %s", l.table.name, shown(l.timeToLive()), shown(have))}, nil
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

func (t *table) createTable(ctx context.Context, timeToLive int) error {
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

func (t *table) updateTable(ctx context.Context, timeToLive int) error {
	return t.call(ctx, "UpdateTable", func(c *sdk.TableStoreClient) error {
		_, err := c.UpdateTable(&sdk.UpdateTableRequest{TableName: t.name, TableOption: sdk.NewTableOption(timeToLive, 1)})
		return err
	})
}
