package matrix

import (
	"crypto/md5"
	"encoding/base64"
	"net/http"

	"routinely/deploy/local/faults"
)

// Kind is one way to break a call.
type Kind struct {
	// Name says it in words.
	Name string
	// Waits means that the caller runs into its own time limit.
	Waits bool
	// effect means that it differs from another kind only by the call's effect.
	effect bool
	// fault is nil for a connection that is refused, which no server can do for a single call: see Seam.
	fault func(dialect) faults.Fault
}

// dripMillis is the pause between the pieces of a dripping answer: the shortest answers have several, and TimeLimit is far
// shorter than all of them take.
const dripMillis = 60

// Kinds are all ways to break a call.
func Kinds() []Kind {
	plain := func(answer faults.Answer, execute bool) func(dialect) faults.Fault {
		return func(dialect) faults.Fault {
			return faults.Fault{Answer: answer, Execute: execute, DelayMillis: map[faults.Answer]int{faults.Drip: dripMillis}[answer]}
		}
	}
	return []Kind{
		{Name: "connection refused"},
		{Name: "reset before effect", fault: plain(faults.Reset, false)},
		{Name: "reset after effect", effect: true, fault: plain(faults.Reset, true)},
		{Name: "time-out before effect", Waits: true, fault: plain(faults.Hang, false)},
		{Name: "time-out after effect", Waits: true, effect: true, fault: plain(faults.Hang, true)},
		{Name: "5xx error", fault: func(d dialect) faults.Fault { return d.unavailable }},
		{Name: "5xx error after effect", effect: true, fault: func(d dialect) faults.Fault {
			d.unavailable.Execute = true
			return d.unavailable
		}},
		{Name: "502 HTML of a proxy", fault: plain(faults.HTML, false)},
		{Name: "truncated body", fault: plain(faults.Truncated, true)},
		{Name: "empty 200", fault: plain(faults.Empty, false)},
		{Name: "throttled with hint", fault: func(d dialect) faults.Fault { return d.throttled }},
		{Name: "slow drip", Waits: true, fault: plain(faults.Drip, true)},
		{Name: "another document", fault: func(d dialect) faults.Fault { return d.other }},
	}
}

// dialect is how a service says what every service can say.
type dialect struct {
	unavailable, throttled faults.Fault
	// other answers a call that nobody made.
	other faults.Fault
}

// mns speaks XML. (Error codes page of Simple Message Queue.)
func mns() dialect {
	return dialect{
		unavailable: faults.Fault{Answer: faults.Error, Status: http.StatusInternalServerError, Code: "InternalError"},
		throttled: faults.Fault{
			Answer: faults.Error, Status: http.StatusTooManyRequests, Code: "TooManyRequests", Headers: map[string]string{"Retry-After": "7"},
		},
		other: faults.Fault{
			Answer: faults.Document, Headers: map[string]string{"Content-Type": "text/xml;charset=utf-8", "x-mns-request-id": "0123456789ABCDEF01234567"},
			Body: `<?xml version="1.0" encoding="utf-8"?><Queue xmlns="http://mns.aliyuncs.com/doc/v1"><QueueName>another</QueueName></Queue>`,
		},
	}
}

// esa speaks JSON. (Error pages of the two actions, and that of the gateway all Alibaba Cloud APIs share.)
func esa() dialect {
	return dialect{
		unavailable: faults.Fault{Answer: faults.Error, Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable"},
		throttled: faults.Fault{
			Answer: faults.Error, Status: http.StatusBadRequest, Code: "Throttling.User", Headers: map[string]string{"x-acs-retry-after": "1500"},
		},
		other: faults.Fault{
			Answer: faults.Document, Headers: map[string]string{"Content-Type": "application/json", "x-acs-request-id": "0123"},
			Body: `{"RequestId":"0123","Sites":[{"SiteName":"another.example"}]}`,
		},
	}
}

// tablestore speaks protobuf, and tells its answers by a request id and the MD5 sum of their body. (Error codes page; the
// hint is the header of HTTP, since Tablestore has none of its own.)
func tablestore() dialect {
	tables := "\n\x07another" // the answer of ListTable: one name
	sum := md5.Sum([]byte(tables))
	return dialect{
		unavailable: faults.Fault{Answer: faults.Error, Status: http.StatusServiceUnavailable, Code: "OTSServerUnavailable"},
		throttled: faults.Fault{
			Answer: faults.Error, Status: http.StatusForbidden, Code: "OTSNotEnoughCapacityUnit", Headers: map[string]string{"Retry-After": "7"},
		},
		other: faults.Fault{
			Answer: faults.Document, Body: tables, Headers: map[string]string{
				"x-ots-requestid": "00000000-0000-4000-8000-000000000000", "x-ots-contenttype": "protocol buffer",
				"x-ots-contentmd5": base64.StdEncoding.EncodeToString(sum[:]),
			},
		},
	}
}
