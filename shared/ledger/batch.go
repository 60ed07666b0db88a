package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"slices"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

// Limits of one call by the service's limits page: rows of a BatchGetRow and of a BatchWriteRow, and the bytes of an answer.
// A request may have 4 MB too; a quarter of it bounds the memory, since the SDK copies what it sends several times.
const (
	maxReads        = 100
	maxWrites       = 200
	maxAnswer       = 4 << 20
	maxRequestBytes = 1 << 20
)

// headsPerCall keeps an answer within its limit, should every request be as long as a message can be.
const headsPerCall = 50

// rowBound is how many bytes a row can have after seq writes, each of which adds an entry at most.
func rowBound(seq int64) int { return maxAnswer/headsPerCall + int(min(seq, maxEntries+maxEnds))*5<<10 }

// newRowBound is how many bytes the row of a new job can have: 4 KiB are enough for all but the request, keys included.
func newRowBound(one *claim) int { return len(encode(one.job.Request)) + 4<<10 }

// packs cuts a list into pieces of at most so many items and, unless an item alone has more, so much weight.
func packs[T any](items []T, count, room int, weigh func(T) int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		first, weight := 0, 0
		for i, item := range items {
			w := weigh(item)
			if i > first && (i-first == count || weight+w > room) {
				if !yield(items[first:i]) {
					return
				}
				first, weight = i, 0
			}
			weight += w
		}
		if first < len(items) {
			yield(items[first:])
		}
	}
}

// outcome is what a batch did for one of those it was made for.
type outcome[T any] struct {
	value T
	err   error
}

// readBatch reads something of the rows of at most 100 jobs: of the given columns, or of all if none is given.
func readBatch[T any](
	ctx context.Context, t *table, ids, columns []string, read func(key, []*sdk.AttributeColumn) (T, error),
) ([]outcome[T], error) {
	const action = "BatchGetRow"
	criteria := &sdk.MultiRowQueryCriteria{TableName: t.name, MaxVersion: 1, ColumnsToGet: columns}
	for _, id := range ids {
		criteria.AddRow(jobKey(id).primary())
	}
	out := make([]outcome[T], len(ids))
	err := t.call(ctx, action, func(c *sdk.TableStoreClient) error {
		res, err := c.BatchGetRow(&sdk.BatchGetRowRequest{MultiRowQueryCriteria: []*sdk.MultiRowQueryCriteria{criteria}})
		if err != nil {
			return err
		}
		errs, err := rowFaults(action, res.TableToRowsResult[t.name], len(ids), res.RequestId)
		if err != nil {
			return err
		}
		for i, row := range res.TableToRowsResult[t.name] {
			if out[i].err = errs[i]; errs[i] == nil {
				out[i].value, err = read(jobKey(ids[i]), row.Columns)
				out[i].err = classify(action, err, res.RequestId)
			}
		}
		return nil
	})
	return out, err
}

// readAll reads whole rows; of those that do not exist seq is 0.
func (t *table) readAll(ctx context.Context, ids []string) ([]outcome[record], error) {
	return readBatch(ctx, t, ids, nil, readRecord)
}

// seqs reads the seq of rows, 0 for those that do not exist.
func (t *table) seqs(ctx context.Context, ids []string) ([]outcome[int64], error) {
	return readBatch(ctx, t, ids, []string{columnSeq}, func(k key, columns []*sdk.AttributeColumn) (int64, error) {
		if len(columns) == 0 {
			return 0, nil
		}
		seq, ok := columns[0].Value.(int64)
		if !ok || seq < 1 {
			return 0, unreadable(k.p, fmt.Errorf("column %s is %v", columnSeq, columns[0].Value))
		}
		return seq, nil
	})
}

// heads reads the jobs that index rows point to, without their entries; those that do not exist are left out.
func (t *table) heads(ctx context.Context, rows []indexRow) (map[string]*head, error) {
	ids := make([]string, 0, len(rows))
	for _, row := range rows {
		ids = append(ids, row.id)
	}
	slices.Sort(ids)
	out := make(map[string]*head, len(ids))
	for chunk := range slices.Chunk(slices.Compact(ids), headsPerCall) {
		heads, err := readBatch(ctx, t, chunk, []string{columnJob}, readHead)
		if err != nil {
			return nil, err
		}
		for i, h := range heads {
			if h.err != nil {
				return nil, h.err
			}
			if h.value != nil {
				out[chunk[i]] = h.value
			}
		}
	}
	return out, nil
}

func readHead(k key, columns []*sdk.AttributeColumn) (*head, error) {
	if len(columns) == 0 {
		return nil, nil
	}
	text, _ := columns[0].Value.(string)
	h := new(head)
	if err := json.Unmarshal([]byte(text), h); err != nil {
		return nil, unreadable(k.p, err)
	}
	return h, nil
}

// createAll puts rows, at most 200, of which none is there, and tells of each whether it did: otherwise another writer was
// faster.
func (t *table) createAll(ctx context.Context, records []record) ([]outcome[bool], error) {
	changes := make([]sdk.RowChange, 0, len(records))
	for _, r := range records {
		changes = append(changes, t.newRow(r))
	}
	errs, err := t.writeBatch(ctx, changes)
	out := make([]outcome[bool], len(errs))
	for i, err := range errs {
		if out[i].value = err == nil; !lost(err) {
			out[i].err = err
		}
	}
	return out, err
}

// putIndexes writes the index rows of jobs, at most 200.
func (t *table) putIndexes(ctx context.Context, records []record) ([]outcome[struct{}], error) {
	var changes []sdk.RowChange
	var owners []int
	for owner, r := range records {
		for _, k := range r.head.indexKeys() {
			changes, owners = append(changes, t.indexPut(k, r.head.ID)), append(owners, owner)
		}
	}
	errs, err := t.writeBatch(ctx, changes)
	out := make([]outcome[struct{}], len(records))
	for i, err := range errs {
		out[owners[i]].err = cmp.Or(out[owners[i]].err, err)
	}
	return out, err
}

// writeIndex puts index rows of a job and deletes index rows of whatever jobs, at most 200 together. untidy tells of those
// that were not deleted.
func (t *table) writeIndex(ctx context.Context, id string, puts, deletes []key) (untidy, err error) {
	var changes []sdk.RowChange
	for _, k := range puts {
		changes = append(changes, t.indexPut(k, id))
	}
	for _, k := range deletes {
		change := &sdk.DeleteRowChange{TableName: t.name, PrimaryKey: k.primary()}
		change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
		changes = append(changes, change)
	}
	errs, err := t.writeBatch(ctx, changes)
	if err != nil {
		return nil, err
	}
	return cmp.Or(errs[len(puts):]...), cmp.Or(errs[:len(puts)]...)
}

func (t *table) indexPut(k key, id string) *sdk.PutRowChange {
	change := &sdk.PutRowChange{TableName: t.name, PrimaryKey: k.primary()}
	change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
	change.AddColumn(columnID, id)
	return change
}

// writeBatch carries out changes, at most 200, each of which can fail alone.
func (t *table) writeBatch(ctx context.Context, changes []sdk.RowChange) (errs []error, err error) {
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
