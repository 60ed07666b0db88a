package accept

import (
	"testing"
	"time"
)

func TestNew(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no guard": func(c *Config) { c.Guard = nil }, "no queue": func(c *Config) { c.Queue = nil }, "no ledger": func(c *Config) { c.Ledger = nil },
		"no clock": func(c *Config) { c.Now = nil }, "no sleep": func(c *Config) { c.Sleep = nil }, "no ids": func(c *Config) { c.NewID = nil },
		"no bits":           func(c *Config) { c.Bits = nil },
		"less than no life": func(c *Config) { c.ExpiryMin = -time.Second }, "a longest life below the shortest": func(c *Config) { c.ExpiryMax = c.ExpiryMin - 1 },
		"less than no grace": func(c *Config) { c.ExpiryGrace = -time.Second },
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			cfg := start(t).Config
			spoil(&cfg)
			if _, err := New(cfg); err == nil {
				t.Error("no error")
			}
		})
	}
	t.Run("takes a deployment in which no routine has an end: a request that asks for one is refused", func(t *testing.T) {
		f := start(t)
		cfg := f.Config
		cfg.ExpiryMin, cfg.ExpiryMax, cfg.ExpiryGrace = 0, 0, 0
		var err error
		if f.Service, err = New(cfg); err != nil {
			t.Fatal(err)
		}
		p := f.refuses(t, event("POST", "/v1/routines", `{"name":"pr-1","recordName":"pr-1.example.com","expiresIn":"72h"}`), 422, "invalid-request")
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "/expiresIn" {
			t.Errorf("got %+v", p)
		}
		f.post(t, good)
	})
}
