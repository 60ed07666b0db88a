package ledger

import (
	"context"
	"fmt"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
)

// Remove deletes the two tables with everything that is known of jobs and routines, and says what it deleted; a table that is not there is no failure. With
// dryRun it only says what it would delete. As long as a job is unfinished nothing is deleted: that is a fault of kind Conflict with CodeUnfinished.
func (l *Ledger) Remove(ctx context.Context, dryRun bool) (changes []string, err error) {
	rows, _, err := l.Unfinished(ctx, l.cfg.Now(), "", 1)
	switch {
	case fault.HasCode(err, codeNotExist): // the table of the jobs is gone already
	case err != nil:
		return nil, err
	case len(rows) > 0:
		return nil, &fault.Error{
			Kind: fault.Conflict, Code: CodeUnfinished, Message: fmt.Sprintf("job %s and perhaps others are unfinished", rows[0].ID),
			Hint: "Let the functions finish them, or cancel them: routinely jobs list --state queued.",
		}
	}
	for _, t := range []*table{l.jobs, l.state} {
		if _, err := t.describe(ctx); fault.HasCode(err, codeNotExist) {
			continue
		} else if err != nil {
			return changes, err
		}
		if !dryRun {
			if err := t.remove(ctx); err != nil {
				return changes, err
			}
		}
		changes = append(changes, "delete table "+t.name)
	}
	return changes, nil
}

// CodeUnfinished: a job is unfinished, and would be lost.
const CodeUnfinished = "Unfinished"

func (t *table) remove(ctx context.Context) error {
	return t.call(ctx, "DeleteTable", func(c *sdk.TableStoreClient) error {
		_, err := c.DeleteTable(&sdk.DeleteTableRequest{TableName: t.name})
		return err
	})
}
