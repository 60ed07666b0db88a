package ledger

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// CodeUnknownCode says that the ledger has no such code of the caller.
const CodeUnknownCode = "UnknownCode"

// columnCode is the column of the compressed code. A cell holds 2 MB, more than routine.MaxCode takes whatever is in it.
const columnCode = "code"

// codeKey is the key of one caller's code. Nobody else's can be reached by its hash.
func codeKey(caller, sum string) key { return key{"code/" + sum, cut(caller, maxWord)} }

// PutCode keeps the source of some code for its caller, for as long as a job is remembered. It may be repeated: then the time begins again.
func (l *Ledger) PutCode(ctx context.Context, caller string, code *routine.Code) error {
	if err := checkKeys(caller, code.SHA256); err != nil {
		return err
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write(code.Source); err != nil {
		return classify("PutRow", err, "")
	}
	if err := zip.Close(); err != nil {
		return classify("PutRow", err, "")
	}
	return l.putCode(ctx, codeKey(caller, code.SHA256), packed.Bytes())
}

func (l *Ledger) putCode(ctx context.Context, k key, packed []byte) error {
	change := &sdk.PutRowChange{TableName: l.jobs.name, PrimaryKey: k.primary()}
	change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
	change.AddColumn(columnCode, packed)
	return l.jobs.writeOne(ctx, change)
}

// RenewCode lets the time of some code begin again. Code that the caller has not given, or too long ago, is a fault of kind NotFound with CodeUnknownCode.
func (l *Ledger) RenewCode(ctx context.Context, caller, sum string) error {
	packed, err := l.packedCode(ctx, caller, sum)
	if err != nil {
		return err
	}
	return l.putCode(ctx, codeKey(caller, sum), packed)
}

// Code returns the source of some code of the caller. Code that is not there is as for RenewCode.
func (l *Ledger) Code(ctx context.Context, caller, sum string) ([]byte, error) {
	packed, err := l.packedCode(ctx, caller, sum)
	if err != nil {
		return nil, err
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, unreadable(codeKey(caller, sum).p, err)
	}
	source, err := io.ReadAll(io.LimitReader(zip, routine.MaxCode+1))
	if err != nil || routine.NewCode(source).SHA256 != sum {
		return nil, unreadable(codeKey(caller, sum).p, fmt.Errorf("column %s is not the code of that hash", columnCode))
	}
	return source, nil
}

func (l *Ledger) packedCode(ctx context.Context, caller, sum string) (packed []byte, err error) {
	if err := checkKeys(caller, sum); err != nil {
		return nil, err
	}
	errs, err := l.jobs.get(ctx, []key{codeKey(caller, sum)}, nil, func(_ int, columns []*sdk.AttributeColumn) error {
		for _, column := range columns {
			if column.ColumnName == columnCode {
				packed, _ = column.Value.([]byte)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case errs[0] != nil:
		return nil, errs[0]
	case packed == nil:
		return nil, &fault.Error{
			Kind: fault.NotFound, Step: "ledger", Code: CodeUnknownCode, Message: fmt.Sprintf("no code %s of this caller is kept", cut(sum, maxWord)),
			Hint: "Give the code again: POST /v1/code, or source in the request. It is kept as long as jobs are remembered, for the caller who gave it.",
		}
	}
	return packed, nil
}
