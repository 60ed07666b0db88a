package mnsemu_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// repeated writes n pieces, each of which may have its number in it.
func repeated(piece string, n int) string {
	var out strings.Builder
	for i := range n {
		out.WriteString(strings.ReplaceAll(piece, "#", fmt.Sprint(i)))
	}
	return out.String()
}

// allocated is how many bytes the server allocates for a request.
func (e *emulator) allocated(method, target, body string, header map[string]string) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e.inProcess(method, target, body, header)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestGrowth holds what a request costs to its size. Nobody has signed these requests: what they cost, anybody can ask for. Bytes
// are counted, since they are the same on every machine.
func TestGrowth(t *testing.T) {
	e := start(t, nil)
	v4 := "MNS4-HMAC-SHA256 Credential=" + accessKey + "/" + time.Now().UTC().Format("20060102") + "/cn-local/mns/aliyun_v4_request,Signature=0"
	message := func(inner string) string { return "<Message><MessageBody>" + inner + "</MessageBody></Message>" }
	const few, many = 500, 4_000
	for name, shape := range map[string]func(n int) (target, body string, header map[string]string){
		"of comments in a text":   func(n int) (string, string, map[string]string) { return "", message(repeated("x<!---->", n)), nil },
		"of CDATA sections":       func(n int) (string, string, map[string]string) { return "", message(repeated("<![CDATA[x]]>", n)), nil },
		"of character references": func(n int) (string, string, map[string]string) { return "", message(repeated("&#13;", n)), nil },
		"of elements side by side": func(n int) (string, string, map[string]string) {
			return "", "<Messages>" + repeated("<Message/>", n) + "</Messages>", nil
		},
		"of elements in each other": func(n int) (string, string, map[string]string) {
			return "", repeated("<a>x", n) + repeated("</a>", n), nil
		},
		"of attributes": func(n int) (string, string, map[string]string) {
			return "", "<Message " + repeated("xmlns:a#='b' ", n) + "/>", nil
		},
		"of query parameters": func(n int) (string, string, map[string]string) { return "?" + repeated("p#=%20&", n), "", nil },
		"of signed parameters": func(n int) (string, string, map[string]string) {
			return "?" + repeated("p#=%20&", n), "", map[string]string{"Authorization": v4}
		},
		"of bad parameters":   func(n int) (string, string, map[string]string) { return "?" + repeated("p=%zz&", n), "", nil },
		"of pieces of a path": func(n int) (string, string, map[string]string) { return repeated("/x", n), "", nil },
		"of bytes in a date": func(n int) (string, string, map[string]string) {
			return "", "", map[string]string{"Date": repeated("\"\xff", n)}
		},
		"of header fields": func(n int) (string, string, map[string]string) {
			header := map[string]string{}
			for i := range n {
				header[fmt.Sprintf("X-Mns-%d", i)] = " v "
			}
			return "", "", header
		},
	} {
		t.Run("is in proportion to the number "+name, func(t *testing.T) {
			cost := func(n int) uint64 {
				target, body, own := shape(n)
				header := dated()
				header["Authorization"] = "MNS " + accessKey + ":bm9ib2R5"
				for name, value := range own {
					header[name] = value
				}
				return e.allocated(http.MethodPost, "/queues/q/messages"+target, body, header)
			}
			cost(few) // what is made once is made now
			little, much := cost(few), cost(many)
			if much > 2*little*many/few {
				t.Errorf("%d bytes for %d, %d bytes for %d", little, few, much, many)
			}
		})
	}
}
