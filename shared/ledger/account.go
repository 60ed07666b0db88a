package ledger

import (
	"cmp"
	"context"

	"routinely/shared/routine"
)

// accountKey is the key of the account's row in the table of state.
func accountKey() key { return key{partitionAccount, partitionAccount} }

// Account returns what is known of the account and its lane: the zero Account if nothing was ever written.
func (l *Ledger) Account(ctx context.Context) (routine.Account, error) {
	row, err := l.readState(ctx, accountKey())
	if err != nil {
		return routine.Account{}, err
	}
	return readAccount(row)
}

func readAccount(row stateRow) (account routine.Account, err error) {
	err = row.decode(&account)
	return account, err
}

// ChangeAccount reads the account's row, lets change alter it and writes it, on condition that nobody else wrote it meanwhile: then all begins
// again. An error of change ends it, with nothing written. It returns the account as it is now.
func (l *Ledger) ChangeAccount(ctx context.Context, change func(*routine.Account) error) (routine.Account, error) {
	row, err := l.readState(ctx, accountKey())
	if err != nil {
		return routine.Account{}, err
	}
	row, err = l.changeState(ctx, row, func(row stateRow) (stateChange, error) {
		account, err := readAccount(row)
		if err == nil {
			err = change(&account)
		}
		return stateChange{mark: encode(account)}, err
	})
	account, readErr := readAccount(row)
	return account, cmp.Or(err, readErr)
}
