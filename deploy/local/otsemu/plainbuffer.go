package otsemu

import "encoding/binary"

// Tags of PlainBuffer, the service's format of rows. The Go SDK's plain_buffer_codec.go is the source.
const (
	plainHeader = 0x75

	tagRowKey        = 0x1
	tagRowData       = 0x2
	tagCell          = 0x3
	tagCellName      = 0x4
	tagCellValue     = 0x5
	tagCellOp        = 0x6
	tagCellTimestamp = 0x7
	tagDeleteMarker  = 0x8
	tagRowChecksum   = 0x9
	tagCellChecksum  = 0xa
)

// cellOp is what an UpdateRow does to a column. PlainBuffer writes no opPut.
type cellOp byte

const (
	opPut              cellOp = 0x0
	opDeleteAll        cellOp = 0x1
	opDeleteOneVersion cellOp = 0x3
	opIncrement        cellOp = 0x4
)

// cell is a column of a primary key, an attribute, or a change of one.
type cell struct {
	name  string
	value value
	op    cellOp
	// timestamp is when an attribute was written, in milliseconds.
	timestamp    int64
	hasTimestamp bool
}

// row is a primary key with attributes.
type row struct {
	key   []cell
	cells []cell
	// deleteMarker is set in a DeleteRow.
	deleteMarker bool
}

func (r row) size() int { return cellsSize(r.key) + cellsSize(r.cells) }

// cellsSize is the size of columns as limits and capacity units count it: names and values, in bytes.
func cellsSize(cells []cell) int {
	total := 0
	for _, c := range cells {
		total += len(c.name) + c.value.size()
	}
	return total
}

// crcTable is CRC-8 with the polynomial 0x07, by the byte.
var crcTable = makeCRCTable()

func makeCRCTable() (table [256]byte) {
	for i := range table {
		x := byte(i)
		for range 8 {
			carry := x&0x80 != 0
			if x <<= 1; carry {
				x ^= 0x07
			}
		}
		table[i] = x
	}
	return table
}

func crcByte(crc, b byte) byte { return crcTable[crc^b] }

func crcBytes[T []byte | string](crc byte, b T) byte {
	for i := range len(b) {
		crc = crcTable[crc^b[i]]
	}
	return crc
}

// checksum covers name, type, content, timestamp and operation, in this order although the operation comes before the timestamp. Strings
// count without the length of the value around them.
func (c cell) checksum() byte {
	crc := crcBytes(0, c.name)
	if c.value.kind != kindNone {
		crc = crcBytes(crc, c.value.head())
		crc = crcBytes(crc, c.value.data)
	}
	if c.hasTimestamp {
		crc = crcBytes(crc, binary.LittleEndian.AppendUint64(nil, uint64(c.timestamp)))
	}
	if c.op != opPut {
		crc = crcByte(crc, byte(c.op))
	}
	return crc
}

// encodeRows is rows in PlainBuffer; no rows are no bytes, as in the service's answers.
func encodeRows(rows ...row) []byte {
	if len(rows) == 0 {
		return nil
	}
	out := binary.LittleEndian.AppendUint32(nil, plainHeader)
	for _, r := range rows {
		out = r.append(out)
	}
	return out
}

func (r row) append(b []byte) []byte {
	b, crc := appendCells(append(b, tagRowKey), r.key, 0)
	if len(r.cells) > 0 {
		b, crc = appendCells(append(b, tagRowData), r.cells, crc)
	}
	return append(b, tagRowChecksum, crcByte(crc, 0))
}

// appendCells writes columns and continues the row's checksum, which covers the checksums of its columns.
func appendCells(b []byte, cells []cell, crc byte) ([]byte, byte) {
	for _, c := range cells {
		b = c.append(b)
		crc = crcByte(crc, b[len(b)-1])
	}
	return b, crc
}

func (c cell) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(append(b, tagCell, tagCellName), uint32(len(c.name)))
	b = append(append(b, c.name...), tagCellValue)
	head := c.value.head()
	b = binary.LittleEndian.AppendUint32(b, uint32(len(head)+len(c.value.data)))
	b = append(append(b, head...), c.value.data...)
	if c.hasTimestamp {
		b = binary.LittleEndian.AppendUint64(append(b, tagCellTimestamp), uint64(c.timestamp))
	}
	return append(b, tagCellChecksum, c.checksum())
}

// head is how a value begins: its type with a number, or with the length of the bytes that follow.
func (v value) head() []byte {
	out := append(make([]byte, 0, 9), byte(v.kind))
	switch v.kind {
	case kindInteger, kindDouble:
		return binary.LittleEndian.AppendUint64(out, uint64(v.number))
	case kindBoolean:
		return append(out, byte(v.number))
	case kindString, kindBinary:
		return binary.LittleEndian.AppendUint32(out, uint32(len(v.data)))
	}
	return out
}
