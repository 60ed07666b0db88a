package otsemu

import (
	"encoding/binary"
)

// Tags of PlainBuffer, the service's format of rows.
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

// cellOp is what an UpdateRow does to a column.
type cellOp byte

const (
	opPut              cellOp = 0x0
	opDeleteAll        cellOp = 0x1
	opDeleteOneVersion cellOp = 0x3
	opIncrement        cellOp = 0x4
)

// cell is a part of a primary key, an attribute, or a change of one.
type cell struct {
	name  string
	value value
	op    cellOp
	// timestamp is the version of an attribute in milliseconds.
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

// crcTable is CRC-8 with the polynomial 0x07, by the byte. It is a string since nobody can write to one: the race detector
// watches each look into an array.
var crcTable = makeCRCTable()

func makeCRCTable() string {
	var table [256]byte
	for i := range table {
		x := byte(i)
		for range 8 {
			if x&0x80 != 0 {
				x = x<<1 ^ 0x07
			} else {
				x <<= 1
			}
		}
		table[i] = x
	}
	return string(table[:])
}

func crcByte(crc, b byte) byte { return crcTable[crc^b] }

func crcNumber(crc byte, n uint64, size int) byte {
	for range size {
		crc = crcByte(crc, byte(n))
		n >>= 8
	}
	return crc
}

func crcText(crc byte, s string) byte {
	table := crcTable
	for i := range len(s) {
		crc = table[crc^s[i]]
	}
	return crc
}

// checksum covers a value's type and content, not its length prefix.
func (v value) checksum(crc byte) byte {
	crc = crcByte(crc, byte(v.kind))
	switch v.kind {
	case kindInteger, kindDouble:
		return crcNumber(crc, uint64(v.number), 8)
	case kindBoolean:
		return crcByte(crc, byte(v.number))
	case kindString, kindBinary:
		return crcText(crcNumber(crc, uint64(len(v.data)), 4), v.data)
	}
	return crc
}

// checksum covers the timestamp before the operation, although they are written the other way round.
func (c cell) checksum() byte {
	crc := crcText(0, c.name)
	if c.value.kind != kindNone {
		crc = c.value.checksum(crc)
	}
	if c.hasTimestamp {
		crc = crcNumber(crc, uint64(c.timestamp), 8)
	}
	if c.op != opPut {
		crc = crcByte(crc, byte(c.op))
	}
	return crc
}

// encodeRows is rows in PlainBuffer; no rows are no bytes, which is how the service answers them.
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

// appendCells writes columns and carries on the row's checksum, which is made of theirs.
func appendCells(b []byte, cells []cell, crc byte) ([]byte, byte) {
	for _, c := range cells {
		b = c.append(b)
		crc = crcByte(crc, b[len(b)-1])
	}
	return b, crc
}

func (c cell) append(b []byte) []byte {
	b = append(b, tagCell, tagCellName)
	b = appendPlainText(b, c.name)
	b = append(b, tagCellValue)
	b = c.value.append(b)
	if c.hasTimestamp {
		b = binary.LittleEndian.AppendUint64(append(b, tagCellTimestamp), uint64(c.timestamp))
	}
	return append(b, tagCellChecksum, c.checksum())
}

func (v value) append(b []byte) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0, byte(v.kind))
	switch v.kind {
	case kindInteger, kindDouble:
		b = binary.LittleEndian.AppendUint64(b, uint64(v.number))
	case kindBoolean:
		b = append(b, byte(v.number))
	case kindString, kindBinary:
		b = appendPlainText(b, v.data)
	}
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func appendPlainText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}
