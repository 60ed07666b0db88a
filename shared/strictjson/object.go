package strictjson

import "encoding/json"

// MaxMembers is how many members an object may have: far more than anything that is read here, and few enough to look at all of them.
const MaxMembers = 100

// Member is one member of an object.
type Member struct {
	// Name is how it was given.
	Name  string
	Value json.RawMessage
}

// Object is what an object has for somebody who knows its members.
type Object struct {
	// Members are those that are known, by their keys. Of those that are given more than once it is the first.
	Members map[string]Member
	// Unknown and Repeated are names in the order in which they were given.
	Unknown, Repeated []string
	// TooMany means that there are more than MaxMembers. The rest was not read.
	TooMany bool
}

// Read reads a JSON object, which must be valid and without white space around it, see Check. key returns the key of a name: two names of one key
// are the same member. A name that it does not know is unknown, and repeated too if it comes again.
func Read(object []byte, key func(name string) (key string, known bool)) Object {
	out := Object{Members: make(map[string]Member, 8)}
	seen := make(map[string]bool, 8)
	for name, value := range Members(object) {
		if len(seen)+len(out.Repeated) == MaxMembers {
			out.TooMany = true
			return out
		}
		key, known := key(name)
		if !known {
			key = name
		}
		switch {
		case seen[key]:
			out.Repeated = append(out.Repeated, name)
		case known:
			out.Members[key] = Member{name, value}
		default:
			out.Unknown = append(out.Unknown, name)
		}
		seen[key] = true
	}
	return out
}
