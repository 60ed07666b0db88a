package ledger_test

import (
	"crypto/rand"
	"testing"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/routine"
)

func TestCode(t *testing.T) {
	t.Run("is given back to whoever gave it, byte for byte, the longest and least compressible too", func(t *testing.T) {
		b := newBook(t)
		noise := make([]byte, routine.MaxCode)
		_, _ = rand.Read(noise)
		for _, source := range [][]byte{[]byte("export default {}\r\n日本"), noise} {
			code := routine.NewCode(source)
			must(t, b.PutCode(t.Context(), "ci", code))
			must(t, b.RenewCode(t.Context(), "ci", code.SHA256))
			back, err := b.Code(t.Context(), "ci", code.SHA256)
			must(t, err)
			same(t, string(back), string(source))
		}
	})
	t.Run("is not there for others, nor before it was given", func(t *testing.T) {
		b := newBook(t)
		code, other := routine.NewCode([]byte("x")), routine.NewCode([]byte("y"))
		must(t, b.PutCode(t.Context(), "ci", code))
		_, err := b.Code(t.Context(), "saas", code.SHA256)
		wantCode(t, err, "not-found UnknownCode")
		wantCode(t, b.RenewCode(t.Context(), "ci", other.SHA256), "not-found UnknownCode")
		wantCode(t, b.RenewCode(t.Context(), "", other.SHA256), "invalid InvalidName")
	})
	t.Run("that is not what its hash says is not given out", func(t *testing.T) {
		b := newBook(t)
		code := routine.NewCode([]byte("x"))
		must(t, b.PutCode(t.Context(), "ci", code))
		other := routine.NewCode([]byte("y"))
		must(t, b.PutCode(t.Context(), "ci", &routine.Code{SHA256: code.SHA256, Source: other.Source}))
		_, err := b.Code(t.Context(), "ci", code.SHA256)
		wantCode(t, err, "internal UnreadableRow")
		change := &sdk.PutRowChange{TableName: "jobs", PrimaryKey: b.rows(t, "jobs")[0].PrimaryKey}
		change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
		change.AddColumn("code", []byte("no gzip"))
		_, err = b.sdkClient().PutRow(&sdk.PutRowRequest{PutRowChange: change})
		must(t, err)
		_, err = b.Code(t.Context(), "ci", code.SHA256)
		wantCode(t, err, "internal UnreadableRow")
	})
}
