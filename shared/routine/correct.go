package routine

import (
	"encoding/json"
	"errors"
)

// Correct returns a request with some of its members replaced. changes is a JSON object of the members that are to be another, named as Decode
// takes them; null takes a member away. The whole is then held to the rules of Decode, and all problems are told at once as *Invalid.
func Correct(was Request, changes []byte) (Request, error) {
	given, err := split(changes)
	if err != nil {
		return Request{}, err
	}
	if len(given) == 0 {
		return Request{}, &Invalid{Problems: []Problem{{"", codeMissing, "names no member that is to be another"}}}
	}
	if given["action"] != nil {
		return Request{}, &Invalid{Problems: []Problem{{"/action", codeValue, "cannot be another: submit another request"}}}
	}
	fields := map[string]*field{}
	if was.Name != "" { // otherwise there was no valid request
		text, err := json.Marshal(was)
		if err == nil {
			fields, err = split(text)
		}
		if err != nil {
			return Request{}, err
		}
	}
	switch { // the host names are given in one of two ways
	case given["records"] != nil:
		delete(fields, "siteId")
		delete(fields, "recordName")
	case given["recordName"] != nil && len(was.Records) > 1:
		delete(fields, "records")
	}
	for name, value := range given {
		fields[name] = value
	}
	d := decoder{fields: fields}
	req, err := d.job()
	return withoutSource(req, err)
}

// Below returns the error with the pointers of an *Invalid moved below a member; any other error as it is.
func Below(member string, err error) error {
	var invalid *Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	moved := &Invalid{Malformed: invalid.Malformed}
	for _, p := range invalid.Problems {
		p.Pointer = Pointer(member) + p.Pointer
		moved.Problems = append(moved.Problems, p)
	}
	return moved
}
