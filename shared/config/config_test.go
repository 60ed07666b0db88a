package config_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"routinely/shared/config"
)

func TestLoad(t *testing.T) {
	least := []string{"ROUTINELY_MNS_ENDPOINT=http://localhost", "ROUTINELY_TABLESTORE_ENDPOINT=https://one.cn-hangzhou.ots-internal.aliyuncs.com", "ROUTINELY_MESSAGE_KEYS=k1:hush", "ROUTINELY_DELETE=requested"}
	common := config.Function{
		Prefix: "routinely", Queue: config.Queue{Endpoint: "http://localhost", Timeout: 5 * time.Second}, MessageKeys: "k1:hush", LogLevel: "info",
	}
	table := config.Ledger{Endpoint: "https://one.cn-hangzhou.ots-internal.aliyuncs.com", Instance: "one", Timeout: 2 * time.Second}
	account := config.ESA{Endpoint: "esa.cn-hangzhou.aliyuncs.com", Timeout: 30 * time.Second}
	t.Run("fills in the defaults", func(t *testing.T) {
		got, err := config.LoadProvision(least)
		if err != nil {
			t.Fatal(err)
		}
		want := config.Provision{
			LedgerFunction: config.LedgerFunction{Function: common, Ledger: table}, QueueLimits: config.NoLimits,
			Deletion: config.DeleteRequested, ESA: account,
			RetryBase: 2 * time.Second, RetryCap: 15 * time.Minute, RetryAttempts: 10, RetryInternalAttempts: 3, RetryMaxAge: 24 * time.Hour,
			LockPollMin: 200 * time.Millisecond, LockPollMax: 3 * time.Second, ParkWait: time.Minute, ParkDelayMin: time.Minute, ParkDelayMax: 5 * time.Minute,
			Reserve: 20 * time.Second,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		janitor, err := config.LoadJanitor(least)
		if err != nil {
			t.Fatal(err)
		}
		wantJanitor := config.Janitor{
			LedgerFunction: config.LedgerFunction{Function: common, Ledger: table}, Retention: 90 * 24 * time.Hour, Deletion: config.DeleteRequested, ESA: account,
			ExpirySettle: 10 * time.Minute, ExpiryGrace: 24 * time.Hour, ExpiryPerHour: 3,
		}
		if diff := cmp.Diff(wantJanitor, janitor); diff != "" {
			t.Errorf("janitor: -want +got:\n%s", diff)
		}
		sender, err := config.LoadAccept(append(least, "ROUTINELY_AUTH=none"))
		if diff := cmp.Diff([]time.Duration{time.Hour, 720 * time.Hour, 24 * time.Hour}, []time.Duration{sender.ExpiryMin, sender.ExpiryMax, sender.ExpiryGrace}); diff != "" || err != nil {
			t.Errorf("accept: %v, -want +got:\n%s", err, diff)
		}
	})
	t.Run("takes Tablestore's instance from the endpoint unless told otherwise", func(t *testing.T) {
		given := append(least, "ROUTINELY_AUTH=none", "ROUTINELY_TABLESTORE_INSTANCE=other")
		got, err := config.LoadAccept(given)
		if err != nil || got.Ledger.Instance != "other" {
			t.Errorf("%q, %v", got.Ledger.Instance, err)
		}
		setup, err := config.LoadSetup(append(least, "ROUTINELY_ACCOUNT_ID=7"))
		if err != nil || setup.Ledger.Instance != "one" {
			t.Errorf("%q, %v", setup.Ledger.Instance, err)
		}
	})
	t.Run("makes the endpoints of the setup and the janitor of region, account and instance, unless told otherwise", func(t *testing.T) {
		given := []string{"ROUTINELY_REGION=cn-beijing", "ROUTINELY_ACCOUNT_ID=7", "ROUTINELY_TABLESTORE_INSTANCE=one", "ROUTINELY_MNS_ENDPOINT=", "ROUTINELY_MESSAGE_KEYS=k1:hush", "ROUTINELY_DELETE=never"}
		got, err := config.LoadSetup(given)
		if err != nil {
			t.Fatal(err)
		}
		endpoints := []string{got.Queue.Endpoint, got.Ledger.Endpoint, got.Instances}
		want := []string{"https://7.mns.cn-beijing.aliyuncs.com", "https://one.cn-beijing.ots.aliyuncs.com", "tablestore.cn-beijing.aliyuncs.com"}
		if diff := cmp.Diff(want, endpoints); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		janitor, err := config.LoadJanitor(given)
		if diff := cmp.Diff(want[:2], []string{janitor.Queue.Endpoint, janitor.Ledger.Endpoint}); diff != "" || err != nil {
			t.Errorf("janitor: %v, -want +got:\n%s", err, diff)
		}
		got, err = config.LoadSetup(append(given, "ROUTINELY_MNS_ENDPOINT=http://localhost"))
		if err != nil || got.Queue.Endpoint != "http://localhost" {
			t.Errorf("%q, %v", got.Queue.Endpoint, err)
		}
		if _, err := config.LoadSetup(given[:1]); err == nil || !strings.Contains(err.Error(), "ROUTINELY_ACCOUNT_ID") || !strings.Contains(err.Error(), "ROUTINELY_TABLESTORE_ENDPOINT") {
			t.Errorf("of nothing: %v", err)
		}
	})
	t.Run("remembers jobs for a month at least, or for ever", func(t *testing.T) {
		for given, want := range map[string]time.Duration{"720h": 720 * time.Hour, "0": 0, "": 2160 * time.Hour} {
			got, err := config.LoadAccept(append(least, "ROUTINELY_AUTH=none", "ROUTINELY_RETENTION="+given))
			if err != nil || got.Retention != want {
				t.Errorf("%q: %s, %v", given, got.Retention, err)
			}
		}
		for _, given := range []string{"719h59m59s", "-720h", "long"} {
			if _, err := config.LoadAccept(append(least, "ROUTINELY_AUTH=none", "ROUTINELY_RETENTION="+given)); err == nil {
				t.Errorf("%q is accepted", given)
			}
		}
	})
	t.Run("wants to be told what is deleted, and says what each choice means", func(t *testing.T) {
		loads := map[string]func([]string) error{
			"accept": func(environ []string) error {
				_, err := config.LoadAccept(append(environ, "ROUTINELY_AUTH=none"))
				return err
			},
			"provision": func(environ []string) error { _, err := config.LoadProvision(environ); return err },
			"janitor":   func(environ []string) error { _, err := config.LoadJanitor(environ); return err },
			"rights": func(environ []string) error {
				_, err := config.LoadRights(append(environ, "ROUTINELY_ACCOUNT_ID=7", "ROUTINELY_TABLESTORE_INSTANCE=one"))
				return err
			},
		}
		for name, load := range loads {
			for _, given := range []string{"", "sometimes"} {
				err := load(append(least, "ROUTINELY_DELETE="+given))
				for _, part := range []string{"ROUTINELY_DELETE", "never (nothing)", "requested (what somebody asks", "expired-too (that, and routines whose time is over)"} {
					if err == nil || !strings.Contains(err.Error(), part) {
						t.Errorf("%s, %q: %v lacks %q", name, given, err, part)
					}
				}
			}
			if err := load(least); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("refuses times of expiry that cannot be", func(t *testing.T) {
		for _, given := range []string{"ROUTINELY_EXPIRY_MIN=0s", "ROUTINELY_EXPIRY_MAX=-1h", "ROUTINELY_EXPIRY_GRACE=0", "ROUTINELY_EXPIRY_MAX=59m"} {
			if _, err := config.LoadAccept(append(least, "ROUTINELY_AUTH=none", given)); err == nil || !strings.Contains(err.Error(), given[:20]) {
				t.Errorf("%s: %v", given, err)
			}
		}
		for _, given := range []string{"ROUTINELY_EXPIRY_SETTLE=0s", "ROUTINELY_EXPIRY_PER_HOUR=0", "ROUTINELY_EXPIRY_PER_HOUR=some"} {
			if _, err := config.LoadJanitor(append(least, given)); err == nil || !strings.Contains(err.Error(), given[:20]) {
				t.Errorf("%s: %v", given, err)
			}
		}
	})
	t.Run("reads how callbacks are signed and where they may go", func(t *testing.T) {
		// notify needs no ledger.
		given := append(least[:1:1], least[2], "ROUTINELY_CALLBACK_SECRETS=whsec_a,whsec_b", "ROUTINELY_CALLBACK_HTTP=true",
			"ROUTINELY_CALLBACK_NETWORKS=10.20.0.0/16,fd00::/8")
		got, err := config.LoadNotify(given)
		if err != nil {
			t.Fatal(err)
		}
		want := config.Notify{
			Function:  common,
			Receivers: config.Receivers{HTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd00::/8")}},
			Secrets:   []config.Secret{"whsec_a", "whsec_b"}, Timeout: 20 * time.Second,
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if _, err := config.LoadNotify(least); err == nil || !strings.Contains(err.Error(), "ROUTINELY_CALLBACK_SECRETS") {
			t.Errorf("without secrets: %v", err)
		}
	})
	t.Run("takes an empty variable for none", func(t *testing.T) {
		got, err := config.LoadProvision(append(least, "ROUTINELY_PREFIX=", "ROUTINELY_RETRY_CAP="))
		if err != nil || got.Prefix != config.DefaultPrefix || got.RetryCap != 15*time.Minute {
			t.Errorf("%q, %s, %v", got.Prefix, got.RetryCap, err)
		}
	})
	t.Run("names every variable that is wrong", func(t *testing.T) {
		_, err := config.LoadProvision([]string{"ROUTINELY_MNS_ENDPOINT=", "ROUTINELY_RETRY_ATTEMPTS=many", "ROUTINELY_RETRY_CAP=long", "ROUTINELY_PREFIX=A"})
		for _, part := range []string{"ROUTINELY_MNS_ENDPOINT", "ROUTINELY_TABLESTORE_ENDPOINT", "ROUTINELY_RETRY_ATTEMPTS", "ROUTINELY_RETRY_CAP", "ROUTINELY_PREFIX"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %s", err, part)
			}
		}
	})
}

func TestSecret(t *testing.T) {
	key := config.Key{ID: "id", Secret: "hush", Token: "hush"}
	text, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(text), fmt.Sprint(key), fmt.Sprintf("%+v %#v %s %q %x", key, key, key.Secret, key.Secret, key.Secret)} {
		if strings.Contains(shown, "hush") || strings.Contains(shown, "68757368") {
			t.Errorf("the secret can be read: %s", shown)
		}
	}
	if key.Secret.Reveal() != "hush" {
		t.Error("the secret is lost")
	}
}

func TestDeletion(t *testing.T) {
	for choice, want := range map[config.Deletion][2]bool{
		config.DeleteNever: {false, false}, config.DeleteRequested: {true, false}, config.DeleteExpiredToo: {true, true}, "": {false, false},
	} {
		if got := [2]bool{choice.MayDelete(), choice.MayExpire()}; got != want {
			t.Errorf("%q deletes what is requested and what is expired: %t, want %t", choice, got, want)
		}
	}
}

func TestVariables(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range append(config.Variables(&config.Accept{}), config.Variables(&config.Provision{})...) {
		if v.Name == "" || v.Doc == "" || v.Type == "" || v.Secret != (strings.HasSuffix(v.Name, "SECRET") || strings.HasSuffix(v.Name, "TOKEN") || strings.HasSuffix(v.Name, "AUTH") || strings.HasSuffix(v.Name, "KEYS")) {
			t.Errorf("got %+v", v)
		}
		seen[v.Name] = true
	}
	if len(seen) < 15 || !seen["ROUTINELY_RETRY_MAX_AGE"] || !seen["ALIBABA_CLOUD_SECURITY_TOKEN"] {
		t.Errorf("got %v", seen)
	}
	if first := config.Variables(&config.Queue{})[0]; !first.Required {
		t.Errorf("got %+v", first)
	}
}

// TestLimits tries values below the limits that a variable says it has.
func TestLimits(t *testing.T) {
	below := map[string][]string{"above 0": {"0s", "-1s"}, "0 or more": {"-1s"}, "at least 1": {"0", "-1"}, "0, or at least 720h": {"719h", "-1h"}}
	for name, load := range map[string]func([]string) error{
		"accept":    func(e []string) error { _, err := config.LoadAccept(e); return err },
		"provision": func(e []string) error { _, err := config.LoadProvision(e); return err },
		"notify":    func(e []string) error { _, err := config.LoadNotify(e); return err },
		"janitor":   func(e []string) error { _, err := config.LoadJanitor(e); return err },
	} {
		variables := map[string][]config.Variable{
			"accept": config.Variables(&config.Accept{}), "provision": config.Variables(&config.Provision{}),
			"notify": config.Variables(&config.Notify{}), "janitor": config.Variables(&config.Janitor{}),
		}[name]
		for _, v := range variables {
			if v.Limits == "" && (v.Type == "duration" || v.Type == "integer") {
				t.Errorf("%s: %s has no limits", name, v.Name)
			}
			for _, value := range below[v.Limits] {
				if err := load([]string{v.Name + "=" + value}); err == nil || !strings.Contains(err.Error(), `"`+v.Name+`": want `) {
					t.Errorf("%s: %s=%s: %v", name, v.Name, value, err)
				}
			}
			if v.Limits != "" && below[v.Limits] == nil {
				t.Errorf("%s: nobody has tried the limits %q", v.Name, v.Limits)
			}
		}
	}
}
