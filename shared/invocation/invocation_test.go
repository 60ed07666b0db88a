package invocation_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"

	"routinely/shared/config"
	"routinely/shared/invocation"
	"routinely/shared/logging"
)

func TestCredentials(t *testing.T) {
	log, err := logging.New(&bytes.Buffer{}, "info", "test")
	if err != nil {
		t.Fatal(err)
	}
	initial := config.Key{ID: "env-id", Secret: "env-secret", Token: "env-token"}
	begin := func(c *invocation.Credentials, given fccontext.Credentials) {
		c.Begin(fccontext.NewContext(t.Context(), &fccontext.FcContext{RequestID: "R1", Credentials: given}), log)
	}
	get := func(c *invocation.Credentials) string {
		id, secret, token := c.Get()
		return strings.Join([]string{id, secret, token}, " ")
	}
	t.Run("starts with the environment's key", func(t *testing.T) {
		if got := get(invocation.NewCredentials(initial)); got != "env-id env-secret env-token" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("takes the key of each call", func(t *testing.T) {
		c := invocation.NewCredentials(initial)
		begin(c, fccontext.Credentials{AccessKeyId: "id1", AccessKeySecret: "secret1", SecurityToken: "token1"})
		begin(c, fccontext.Credentials{AccessKeyId: "id2", AccessKeySecret: "secret2"})
		if got := get(c); got != "id2 secret2 " {
			t.Errorf("got %s", got)
		}
	})
	t.Run("keeps its key when a call brings none or half of one", func(t *testing.T) {
		c := invocation.NewCredentials(initial)
		begin(c, fccontext.Credentials{})
		begin(c, fccontext.Credentials{AccessKeyId: "id"})
		c.Begin(t.Context(), log)
		if got := get(c); got != "env-id env-secret env-token" {
			t.Errorf("got %s", got)
		}
	})
}

func TestBeginNamesTheCall(t *testing.T) {
	var out bytes.Buffer
	log, err := logging.New(&out, "info", "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx := invocation.NewCredentials(config.Key{}).Begin(fccontext.NewContext(t.Context(), &fccontext.FcContext{RequestID: "R1"}), log)
	logging.From(ctx).Info("hello")
	if !strings.Contains(out.String(), `"requestId":"R1"`) {
		t.Errorf("got %s", out.String())
	}
}
