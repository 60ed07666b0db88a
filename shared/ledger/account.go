package ledger

import (
	"context"
	"encoding/json"
	"fmt"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// accountKey is the key of the account's row in the table of state.
func accountKey() key { return key{partitionAccount, partitionAccount} }

// Account returns what is known of the account and its lane: the zero Account if nothing was ever written.
func (l *Ledger) Account(ctx context.Context) (routine.Account, error) {
	account, _, err := l.readAccount(ctx)
	return account, err
}

// ChangeAccount reads the account's row, lets change alter it and writes it, on condition that nobody else wrote it meanwhile: then all begins
// again. An error of change ends it, with nothing written. It returns the account as it is now.
func (l *Ledger) ChangeAccount(ctx context.Context, change func(*routine.Account) error) (routine.Account, error) {
	for range maxTries {
		was, seq, err := l.readAccount(ctx)
		if err != nil {
			return routine.Account{}, err
		}
		next := was
		if err := change(&next); err != nil {
			return was, err
		}
		switch err := l.writeAccount(ctx, next, seq); {
		case err == nil:
			return next, nil
		case !fault.HasCode(err, codeConditionFailed) && !fault.HasCode(err, codeRowConflict):
			return was, err
		}
	}
	return routine.Account{}, &fault.Error{
		Kind: fault.Unavailable, Step: "ledger", Code: CodeChanged, Message: fmt.Sprintf("the account's row was changed by others %d times in a row", maxTries),
		Hint: "Try again.",
	}
}

// readAccount returns the row and the number of its writes, 0 if it does not exist.
func (l *Ledger) readAccount(ctx context.Context) (account routine.Account, seq int64, err error) {
	err = l.readState(ctx, accountKey(), func(text string, writes int64) error {
		if seq = writes; text == "" {
			return nil
		}
		if err := json.Unmarshal([]byte(text), &account); err != nil {
			return unreadable(partitionAccount, err)
		}
		return nil
	})
	return account, seq, err
}

// writeAccount writes the row on condition that it had so many writes.
func (l *Ledger) writeAccount(ctx context.Context, account routine.Account, seq int64) error {
	change := &sdk.PutRowChange{PrimaryKey: accountKey().primary()}
	if seq == 0 {
		change.SetCondition(sdk.RowExistenceExpectation_EXPECT_NOT_EXIST)
	} else {
		change.SetCondition(sdk.RowExistenceExpectation_EXPECT_EXIST)
		change.SetColumnCondition(equals(columnSeq, seq))
	}
	change.AddColumn(columnMark, encode(account))
	change.AddColumn(columnSeq, seq+1)
	return l.writeState(ctx, change)
}
