package ledger

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/accesskey"
)

// table is a table of the ledger as rows: what is stored where, and nothing of what it means.
type table struct {
	name, endpoint, instance string
	key                      accesskey.Source
	timeout                  time.Duration
	transport                *http.Transport
}

func (k key) primary() *sdk.PrimaryKey {
	pk := new(sdk.PrimaryKey)
	pk.AddPrimaryKeyColumn(columnP, k.p)
	pk.AddPrimaryKeyColumn(columnS, k.s)
	return pk
}

// get reads rows, at most maxReads, and their given columns, or all if none is given. It hands each to take, without columns if it does not
// exist. One row that cannot be read is the error of that row alone.
func (t *table) get(ctx context.Context, keys []key, columns []string, take func(i int, row []*sdk.AttributeColumn) error) (errs []error, err error) {
	const action = "BatchGetRow"
	criteria := &sdk.MultiRowQueryCriteria{TableName: t.name, MaxVersion: 1, ColumnsToGet: columns}
	for _, k := range keys {
		criteria.AddRow(k.primary())
	}
	err = t.call(ctx, action, func(c *sdk.TableStoreClient) error {
		res, err := c.BatchGetRow(&sdk.BatchGetRowRequest{MultiRowQueryCriteria: []*sdk.MultiRowQueryCriteria{criteria}})
		if err != nil {
			return err
		}
		if errs, err = rowFaults(action, res.TableToRowsResult[t.name], len(keys), res.RequestId); err != nil {
			return err
		}
		for i, row := range res.TableToRowsResult[t.name] {
			if errs[i] == nil {
				errs[i] = classify(action, take(i, row.Columns), res.RequestId)
			}
		}
		return nil
	})
	return errs, err
}

// read is get for the rows of jobs. What does not exist is nil.
func (t *table) read(ctx context.Context, ids, columns []string) ([]outcome, error) {
	out := make([]outcome, len(ids))
	keys := make([]key, 0, len(ids))
	for _, id := range ids {
		keys = append(keys, jobKey(id))
	}
	errs, err := t.get(ctx, keys, columns, func(i int, row []*sdk.AttributeColumn) (err error) {
		out[i].row, err = readRow(keys[i], row)
		return err
	})
	for i, err := range errs {
		out[i].err = err
	}
	return out, err
}

// outcome is what a batch did for one of the rows that it was made for.
type outcome struct {
	row *Row
	err error
}

// write carries out changes, at most maxWrites, each of which can fail alone.
func (t *table) write(ctx context.Context, changes []sdk.RowChange) (errs []error, err error) {
	const action = "BatchWriteRow"
	batch := new(sdk.BatchWriteRowRequest)
	for _, change := range changes {
		batch.AddRowChange(change)
	}
	err = t.call(ctx, action, func(c *sdk.TableStoreClient) error {
		res, err := c.BatchWriteRow(batch)
		if err != nil {
			return err
		}
		errs, err = rowFaults(action, res.TableToRowsResult[t.name], len(changes), res.RequestId)
		return err
	})
	return errs, err
}

// writeOne is write for one row.
func (t *table) writeOne(ctx context.Context, change sdk.RowChange) error {
	errs, err := t.write(ctx, []sdk.RowChange{change})
	if err != nil {
		return err
	}
	return errs[0]
}

// rowFaults are the faults of a batch's rows, nil for those that did not fail.
func rowFaults(action string, results []sdk.RowResult, want int, requestID string) ([]error, error) {
	if len(results) != want {
		return nil, unusable(fmt.Sprintf("%d outcomes for %d rows", len(results), want))
	}
	errs := make([]error, want)
	for i, row := range results {
		if !row.IsSucceed {
			failed := lookUp(http.StatusOK, row.Error.Code, row.Error.Message)
			errs[i] = classify(action, &failed, requestID)
		}
	}
	return errs, nil
}

// rowChange writes the whole row as it is next, on condition that it is as it was.
func (t *table) rowChange(was, next *Row) sdk.RowChange {
	change := t.put(jobKey(next.ID), was.seq)
	for name, value := range next.columns() {
		change.AddColumn(name, value)
	}
	return change
}

// put is the put of a row on condition that it has had so many writes; of 0, that it does not exist.
func (t *table) put(k key, seq int64) *sdk.PutRowChange {
	change := &sdk.PutRowChange{TableName: t.name, PrimaryKey: k.primary()}
	if seq == 0 {
		change.SetCondition(sdk.RowExistenceExpectation_EXPECT_NOT_EXIST)
	} else {
		change.SetCondition(sdk.RowExistenceExpectation_EXPECT_EXIST)
		change.SetColumnCondition(equals(columnSeq, seq))
	}
	return change
}

// equals is the condition that a column exists and has the value.
func equals(column string, value any) sdk.ColumnFilter {
	condition := sdk.NewSingleColumnCondition(column, sdk.CT_EQUAL, value)
	condition.FilterIfMissing = true
	return condition
}

// indexPut puts an index row.
func (t *table) indexPut(e entry) sdk.RowChange {
	change := &sdk.PutRowChange{TableName: t.name, PrimaryKey: e.key.primary()}
	change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
	change.AddColumn(columnID, e.id)
	change.AddColumn(columnWrite, e.write)
	if e.dead != "" {
		change.AddColumn(columnDead, e.dead)
	}
	return change
}

// indexDelete deletes an index row. One that was read is deleted only if nobody has put it again.
func (t *table) indexDelete(e entry) sdk.RowChange {
	change := &sdk.DeleteRowChange{TableName: t.name, PrimaryKey: e.key.primary()}
	change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
	if !e.at.IsZero() {
		change.SetColumnCondition(equals(columnWrite, e.write))
	}
	return change
}

// deleteEntries deletes index rows that do not count. It is no failure if some stay, since lists pass over them, and no reason to stop if the
// caller goes away. An index row whose condition fails was put again and may count.
func (t *table) deleteEntries(ctx context.Context, entries []entry) {
	for chunk := range slices.Chunk(entries, maxWrites) {
		deletes := make([]sdk.RowChange, 0, len(chunk))
		for _, e := range chunk {
			deletes = append(deletes, t.indexDelete(e))
		}
		if _, err := t.write(context.WithoutCancel(ctx), deletes); err != nil {
			return
		}
	}
}

// span is a part of a partition, in the order in which it is read: from is the first key, included, to the last, excluded. An empty text is
// the end of the partition.
type span struct {
	partition string
	from, to  string
	// forward reads in ascending order; otherwise descending.
	forward bool
}

func (s span) bound(text string, atStart bool) *sdk.PrimaryKey {
	pk := new(sdk.PrimaryKey)
	pk.AddPrimaryKeyColumn(columnP, s.partition)
	switch {
	case text != "":
		pk.AddPrimaryKeyColumn(columnS, text)
	case atStart == s.forward:
		pk.AddPrimaryKeyColumnWithMinValue(columnS)
	default:
		pk.AddPrimaryKeyColumnWithMaxValue(columnS)
	}
	return pk
}

// isEmpty reports whether the span ends where or before it begins. Tablestore refuses to read such a one.
func (s span) isEmpty() bool {
	if s.from == "" || s.to == "" {
		return false
	}
	if s.forward {
		return s.from >= s.to
	}
	return s.from <= s.to
}

// scan reads index rows, at most limit. next is where to go on, empty at the end.
func (t *table) scan(ctx context.Context, s span, limit int) (entries []entry, next string, err error) {
	next, err = t.walk(ctx, s, limit, func(rows []*sdk.Row) (err error) {
		entries, err = readEntries(s.partition, rows)
		return err
	})
	return entries, next, err
}

// walk hands the rows of a span to take, at most limit. next is where to go on, empty at the end.
func (t *table) walk(ctx context.Context, s span, limit int, take func([]*sdk.Row) error) (next string, err error) {
	if s.isEmpty() {
		return "", nil
	}
	criteria := &sdk.RangeRowQueryCriteria{
		TableName: t.name, Direction: sdk.BACKWARD, MaxVersion: 1, Limit: int32(limit),
		StartPrimaryKey: s.bound(s.from, true), EndPrimaryKey: s.bound(s.to, false),
	}
	if s.forward {
		criteria.Direction = sdk.FORWARD
	}
	err = t.call(ctx, "GetRange", func(c *sdk.TableStoreClient) error {
		res, err := c.GetRange(&sdk.GetRangeRequest{RangeRowQueryCriteria: criteria})
		if err != nil {
			return err
		}
		if err = take(res.Rows); err != nil || res.NextStartPrimaryKey == nil {
			return err
		}
		next, err = second(res.NextStartPrimaryKey)
		return err
	})
	return next, err
}

func readEntries(p string, rows []*sdk.Row) ([]entry, error) {
	out := make([]entry, 0, len(rows))
	for _, row := range rows {
		s, err := second(row.PrimaryKey)
		if err != nil {
			return nil, unreadable(p, err)
		}
		e := entry{key: key{p, s}}
		for _, column := range row.Columns {
			text, _ := column.Value.(string)
			switch column.ColumnName {
			case columnID:
				e.id, e.at = text, time.UnixMilli(column.Timestamp)
			case columnWrite:
				e.write = text
			case columnDead:
				e.dead = text
			}
		}
		if e.id == "" {
			return nil, unreadable(p, fmt.Errorf("column %s is required", columnID))
		}
		out = append(out, e)
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
