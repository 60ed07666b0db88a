package ledger

import sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

// ReadRow reads a row of the given columns.
func ReadRow(columns map[string]any) (*Row, error) {
	var out []*sdk.AttributeColumn
	for name, value := range columns {
		out = append(out, &sdk.AttributeColumn{ColumnName: name, Value: value})
	}
	return readRow(jobKey("job-1"), out)
}

// Columns are the columns of a row, as its next write puts them.
func (r *Row) Columns() map[string]any {
	next := *r
	next.seq++
	return next.columns()
}
