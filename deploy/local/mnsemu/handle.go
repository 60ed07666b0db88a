package mnsemu

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// newID is 128 random bits in upper-case hex, as the service's message ids are today.
func newID() string { return fmt.Sprintf("%016X%016X", rand.Uint64(), rand.Uint64()) }

// handle makes a receipt handle. It looks like the recorded ones: the MessageId, a hyphen, and in standard base64 some plain text of 49
// to 54 bytes, so that every length of padding occurs. The text holds the numbers of the message and of the receipt, and a seal over
// them, the MessageId and the queue's number, so that a handle that was never issued for this queue is recognized.
func (s *Server) handle(queue uint64, id string, number, receipt uint64) string {
	numbers := fmt.Sprintf("%016x %016x", number, receipt)
	mac := sum(sha256.New, s.account.SealKey, key(queue)+id+numbers)
	seal := hex.EncodeToString(mac)[:15+mac[len(mac)-1]%6]
	return id + "-" + base64.StdEncoding.EncodeToString([]byte(numbers+" "+seal))
}

// holder finds the message that a handle holds in a settled queue. A handle that was never issued is another error than one that is
// no longer valid.
func (s *Server) holder(q *queue, handle string) (*message, error) {
	id, encoded, _ := strings.Cut(handle, "-")
	text, err := base64.StdEncoding.DecodeString(encoded)
	var number, receipt uint64
	if err == nil {
		_, err = fmt.Sscanf(string(text), "%x %x", &number, &receipt)
	}
	if err != nil || !hmac.Equal([]byte(handle), []byte(s.handle(q.Number, id, number, receipt))) {
		return nil, badRequest("ReceiptHandleError", "The receipt handle you provide is not valid.")
	}
	at, found := slices.BinarySearchFunc(q.messages, number, func(m *message, n uint64) int { return cmp.Compare(m.Number, n) })
	if !found || q.messages[at].Visible <= s.nowMillis() || receipt < q.messages[at].Receipt {
		return nil, messageNotExist()
	}
	return q.messages[at], nil
}
