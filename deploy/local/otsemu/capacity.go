package otsemu

// unitBytes is what one capacity unit reads or writes.
const unitBytes = 4096

// units is the number of capacity units for an amount of data; nothing costs one too.
func units(bytes int) int64 { return int64(max(1, (bytes+unitBytes-1)/unitBytes)) }

// capacity is a CapacityUnit.
func capacity(read, write int64) []byte { return appendNumber(appendNumber(nil, 1, read), 2, write) }

// consumed is a ConsumedCapacity.
func consumed(read, write int64) []byte { return appendBytes(nil, 1, capacity(read, write)) }
