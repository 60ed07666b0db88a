package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

// table is the ledger's table as rows: what is stored where, and nothing of what it means.
type table struct {
	name, endpoint, instance string
	credentials              func() (accessKeyID, accessKeySecret, securityToken string)
	timeout                  time.Duration
	transport                *http.Transport
}

// Columns of a job's row and of an index row.
const (
	columnP     = "p"
	columnS     = "s"
	columnJob   = "job"
	columnSeq   = "seq"
	columnID    = "id"
	entryPrefix = "e"
)

func entryColumn(number int) string { return fmt.Sprintf("%s%06d", entryPrefix, number) }

func (k key) primary() *sdk.PrimaryKey {
	pk := new(sdk.PrimaryKey)
	pk.AddPrimaryKeyColumn(columnP, k.p)
	pk.AddPrimaryKeyColumn(columnS, k.s)
	return pk
}

// read returns a job's row; of one that does not exist seq is 0.
func (t *table) read(ctx context.Context, id string) (record, error) {
	k := jobKey(id)
	var r record
	err := t.call(ctx, "GetRow", func(c *sdk.TableStoreClient) error {
		res, err := c.GetRow(&sdk.GetRowRequest{SingleRowQueryCriteria: &sdk.SingleRowQueryCriteria{
			TableName: t.name, PrimaryKey: k.primary(), MaxVersion: 1,
		}})
		if err != nil {
			return err
		}
		r, err = readRecord(k, res.Columns)
		return err
	})
	return r, err
}

func readRecord(k key, columns []*sdk.AttributeColumn) (record, error) {
	r := record{entries: map[int]Entry{}}
	for _, column := range columns {
		var err error
		switch value := column.Value.(type) {
		case int64:
			r.seq = value
		case string:
			err = r.readColumn(column.ColumnName, value)
		}
		if err != nil {
			return record{}, unreadable(k.p, fmt.Errorf("column %s: %w", column.ColumnName, err))
		}
	}
	if len(columns) > 0 && (r.seq < 1 || r.head.ID == "") {
		return record{}, unreadable(k.p, fmt.Errorf("columns %s and %s are required", columnJob, columnSeq))
	}
	return r, nil
}

func (r *record) readColumn(name, value string) error {
	if name == columnJob {
		return json.Unmarshal([]byte(value), &r.head)
	}
	number, err := strconv.Atoi(strings.TrimPrefix(name, entryPrefix))
	if err != nil {
		return err
	}
	var e Entry
	err = json.Unmarshal([]byte(value), &e)
	r.entries[number] = e
	return err
}

// create puts a job's row if there is none.
func (t *table) create(ctx context.Context, r record) error {
	return t.call(ctx, "PutRow", func(c *sdk.TableStoreClient) error {
		_, err := c.PutRow(&sdk.PutRowRequest{PutRowChange: t.newRow(r)})
		return err
	})
}

// newRow is a job's row to put if there is none.
func (t *table) newRow(r record) *sdk.PutRowChange {
	change := &sdk.PutRowChange{TableName: t.name, PrimaryKey: jobKey(r.head.ID).primary()}
	change.SetCondition(sdk.RowExistenceExpectation_EXPECT_NOT_EXIST)
	change.AddColumn(columnJob, encode(r.head))
	change.AddColumn(columnSeq, r.seq)
	for number, e := range r.entries {
		change.AddColumn(entryColumn(number), encode(e))
	}
	return change
}

// update replaces the row's head and writes the one entry, if the row is as it was at seq.
func (t *table) update(ctx context.Context, seq int64, r record, column int) error {
	change := &sdk.UpdateRowChange{TableName: t.name, PrimaryKey: jobKey(r.head.ID).primary()}
	change.SetCondition(sdk.RowExistenceExpectation_EXPECT_EXIST)
	unchanged := sdk.NewSingleColumnCondition(columnSeq, sdk.CT_EQUAL, seq)
	unchanged.FilterIfMissing = true
	change.SetColumnCondition(unchanged)
	change.PutColumn(columnJob, encode(r.head))
	change.PutColumn(columnSeq, r.seq)
	if column >= 0 {
		change.PutColumn(entryColumn(column), encode(r.entries[column]))
	}
	return t.call(ctx, "UpdateRow", func(c *sdk.TableStoreClient) error {
		_, err := c.UpdateRow(&sdk.UpdateRowRequest{UpdateRowChange: change})
		return err
	})
}

// indexRow is one row of an index.
type indexRow struct {
	key
	id string
}

// scan reads index rows of a partition from the greatest key downwards, starting with from, or with the greatest if it is
// empty. next is where to go on, empty at the end.
func (t *table) scan(ctx context.Context, p, from string, limit int) (rows []indexRow, next string, err error) {
	criteria := &sdk.RangeRowQueryCriteria{
		TableName: t.name, Direction: sdk.BACKWARD, MaxVersion: 1, Limit: int32(limit),
		StartPrimaryKey: key{p, from}.primary(), EndPrimaryKey: new(sdk.PrimaryKey),
	}
	if from == "" {
		criteria.StartPrimaryKey = new(sdk.PrimaryKey)
		criteria.StartPrimaryKey.AddPrimaryKeyColumn(columnP, p)
		criteria.StartPrimaryKey.AddPrimaryKeyColumnWithMaxValue(columnS)
	}
	criteria.EndPrimaryKey.AddPrimaryKeyColumn(columnP, p)
	criteria.EndPrimaryKey.AddPrimaryKeyColumnWithMinValue(columnS)
	err = t.call(ctx, "GetRange", func(c *sdk.TableStoreClient) error {
		res, err := c.GetRange(&sdk.GetRangeRequest{RangeRowQueryCriteria: criteria})
		if err != nil {
			return err
		}
		if rows, err = readIndex(p, res.Rows); err != nil || res.NextStartPrimaryKey == nil {
			return err
		}
		next, err = second(res.NextStartPrimaryKey)
		return err
	})
	return rows, next, err
}

func readIndex(p string, rows []*sdk.Row) ([]indexRow, error) {
	out := make([]indexRow, 0, len(rows))
	for _, row := range rows {
		s, err := second(row.PrimaryKey)
		if err != nil {
			return nil, unreadable(p, err)
		}
		i := slices.IndexFunc(row.Columns, func(c *sdk.AttributeColumn) bool { return c.ColumnName == columnID })
		if i < 0 {
			return nil, unreadable(p, fmt.Errorf("column %s is required", columnID))
		}
		id, _ := row.Columns[i].Value.(string)
		out = append(out, indexRow{key{p, s}, id})
	}
	return out, nil
}

// second is the second column of a primary key, its order within the partition.
func second(pk *sdk.PrimaryKey) (string, error) {
	if len(pk.PrimaryKeys) != 2 {
		return "", fmt.Errorf("a primary key of %d columns", len(pk.PrimaryKeys))
	}
	s, ok := pk.PrimaryKeys[1].Value.(string)
	if !ok {
		return "", fmt.Errorf("a primary key with %T as its second column", pk.PrimaryKeys[1].Value)
	}
	return s, nil
}
