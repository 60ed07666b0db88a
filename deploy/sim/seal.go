package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"routinely/queue"
)

// Key is the id of the message key that the clients of Queue have.
const Key = "k1"

// failer is the part of a test, a benchmark or a property that can fail.
type failer interface {
	Helper()
	Fatal(args ...any)
}

func secretOf(keyID string) []byte {
	sum := sha256.Sum256([]byte("a key of tests: " + keyID))
	return sum[:]
}

// Keys are message keys, which are no secret. The same id always is the same key; the first seals.
func Keys(t failer, ids ...string) queue.Keys {
	t.Helper()
	keys, err := queue.ParseKeys(KeysText(ids...))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// KeysText is Keys as ROUTINELY_MESSAGE_KEYS has them.
func KeysText(ids ...string) string {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = id + ":" + base64.RawURLEncoding.EncodeToString(secretOf(id))
	}
	return strings.Join(keys, ",")
}

// Sealed is a message of a type of ours around data, whatever it is. Its seal is made without the product: HMAC-SHA256 over type, key id and
// data, with a line feed after the first two.
func Sealed(eventType, keyID, data string) string {
	mac := hmac.New(sha256.New, secretOf(keyID))
	fmt.Fprintf(mac, "%s\n%s\n%s", eventType, keyID, data)
	return `{"specversion":"1.0","id":"1","source":"/x","type":"` + eventType + `","keyid":"` + keyID + `","mac":"` +
		base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) + `","data":` + data + `}`
}
