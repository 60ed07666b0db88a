package otsemu

import (
	"bytes"
	"encoding/binary"
)

// plainReader reads PlainBuffer. After the first problem everything reads as empty. The texts of problems are the service's.
type plainReader struct {
	rest []byte
	err  error
}

// decodeRow reads exactly one row. Zeros may follow it: the SDK for Node.js sends one for each infinite column of a range.
func decodeRow(b []byte) (row, error) {
	p := &plainReader{rest: b}
	p.header()
	r := p.row()
	p.rest = bytes.TrimLeft(p.rest, "\x00")
	p.end("data format is invalid.")
	return r, p.err
}

// decodeKey reads the primary key of a row, whatever follows it.
func decodeKey(b []byte) ([]cell, error) {
	p := &plainReader{rest: b}
	p.header()
	key, _ := p.key()
	return key, p.err
}

// decodeValue reads the constant of a filter, which has no length prefix.
func decodeValue(b []byte) (value, error) {
	p := &plainReader{rest: b}
	v := p.variant()
	p.end("data format is invalid.")
	return v, p.err
}

func (p *plainReader) fail(format string, args ...any) {
	if p.err == nil {
		p.err = invalid(format, args...)
	}
	p.rest = nil
}

// end fails with a text when something is left.
func (p *plainReader) end(text string) {
	if len(p.rest) > 0 {
		p.fail("%s", text)
	}
}

// take gives the next n bytes. When there are fewer it gives zeros, enough for every number, so that callers need no check.
func (p *plainReader) take(n int) []byte {
	if n > len(p.rest) {
		p.fail("data format is invalid.")
		return make([]byte, 8)
	}
	out := p.rest[:n]
	p.rest = p.rest[n:]
	return out
}

func (p *plainReader) byte() byte { return p.take(1)[0] }

func (p *plainReader) uint32() int { return int(binary.LittleEndian.Uint32(p.take(4))) }

func (p *plainReader) int64() int64 { return int64(binary.LittleEndian.Uint64(p.take(8))) }

// next consumes a tag if it comes next.
func (p *plainReader) next(tag byte) bool {
	if len(p.rest) == 0 || p.rest[0] != tag {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *plainReader) header() {
	if header := p.uint32(); p.err == nil && header != plainHeader {
		p.fail("Cell data broken, mismatch header, actual: %#x, expect: %#x.", header, plainHeader)
	}
}

// key reads a primary key, with the checksum over its columns.
func (p *plainReader) key() (key []cell, crc byte) {
	if p.next(tagRowKey) {
		key, crc = p.cells(crc)
	}
	if len(key) == 0 {
		p.fail("Cell data broken, PK is empty.")
	}
	for _, c := range key {
		if c.op != opPut {
			p.fail("OpType cannot be given for primary key name:%s.", c.name)
		}
	}
	return key, crc
}

func (p *plainReader) row() row {
	var r row
	var crc byte
	r.key, crc = p.key()
	if p.next(tagRowData) {
		r.cells, crc = p.cells(crc)
	}
	var marker byte
	if r.deleteMarker = p.next(tagDeleteMarker); r.deleteMarker {
		marker = 1
	}
	if !p.next(tagRowChecksum) {
		p.fail("Cell data broken, row is not end with checksum tag.")
	}
	p.checksum(crcByte(crc, marker))
	return r
}

func (p *plainReader) cells(crc byte) ([]cell, byte) {
	var out []cell
	for p.next(tagCell) {
		c := p.cell()
		checksum := c.checksum()
		p.checksum(checksum)
		out = append(out, c)
		crc = crcByte(crc, checksum)
	}
	return out, crc
}

func (p *plainReader) cell() cell {
	c := cell{value: value{kind: kindNone}}
	if !p.next(tagCellName) {
		p.fail("Cell data broken, attr has no name.")
	}
	c.name = string(p.take(p.uint32()))
	if p.next(tagCellValue) {
		c.value = p.value()
	}
	if p.next(tagCellOp) {
		c.op = cellOp(p.byte())
		if c.op != opDeleteAll && c.op != opDeleteOneVersion && c.op != opIncrement {
			p.fail("Invalid op type of cell: %d.", c.op)
		}
	}
	if c.hasTimestamp = p.next(tagCellTimestamp); c.hasTimestamp {
		c.timestamp = p.int64()
	}
	if !p.next(tagCellChecksum) {
		p.fail("Cell data broken, cell is not end with checksum[0x0A] tag.")
	}
	return c
}

func (p *plainReader) checksum(want byte) {
	if got := p.byte(); got != want {
		p.fail("Cell data broken, checksum is mismatch, %d:%d:", got, want)
	}
}

func (p *plainReader) value() value {
	inner := &plainReader{rest: p.take(p.uint32()), err: p.err}
	v := inner.variant()
	inner.end("Cell data broken, has more data in cell, but they can't be parsed.")
	if inner.err != nil {
		p.err, p.rest = inner.err, nil
	}
	return v
}

func (p *plainReader) variant() value {
	v := value{kind: kind(p.byte())}
	switch v.kind {
	case kindInteger, kindDouble:
		v.number = p.int64()
	case kindBoolean:
		if p.byte() != 0 {
			v.number = 1
		}
	case kindString, kindBinary:
		v.data = string(p.take(p.uint32()))
	case kindMin, kindMax, kindAutoIncrement:
	default:
		p.fail("data format is invalid, unknown variant type occured.")
	}
	return v
}
