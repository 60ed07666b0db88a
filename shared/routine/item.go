package routine

// DecodeItem reads one request of a batch, which may have an idempotency key of its own in the member idempotencyKey.
func DecodeItem(text []byte) (req Request, idempotencyKey string, err error) {
	fields, err := split(text)
	if err != nil {
		return Request{}, "", err
	}
	d := decoder{fields: fields}
	idempotencyKey = d.idempotencyKey()
	req, err = withoutSource(d.request())
	return req, idempotencyKey, err
}

func (d *decoder) idempotencyKey() string {
	key := d.text("idempotencyKey")
	if key == nil {
		return ""
	}
	if *key == "" {
		d.add("idempotencyKey", codeValue, "is empty: leave it out")
	}
	return *key
}

// Filed is a request in a file of the command line tool.
type Filed struct {
	Request
	// Key is its idempotency key, and CodeFile the name of the file that has its code; empty if it has none.
	Key, CodeFile string
}

// DecodeFiled is DecodeItem for a request in a file, which may name the file of its code in the member codeFile.
func DecodeFiled(text []byte) (out Filed, err error) {
	fields, err := split(text)
	if err != nil {
		return out, err
	}
	d := decoder{fields: fields}
	out.Key = d.idempotencyKey()
	if name := d.text("codeFile"); name != nil {
		if out.CodeFile = *name; out.CodeFile == "" {
			d.add("codeFile", codeValue, "is empty: leave it out")
		}
		if given, code := d.take("code"); code != nil {
			d.add(given, codeValue, "is given beside codeFile: leave one of the two out")
		}
	}
	out.Request, err = d.request()
	return out, err
}
