// Package examples_test runs the examples of docs/how-to against the whole of Routinely on this machine.
package examples_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/stack"
	"routinely/shared/callback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit bounds each wait for something that does not come, between is the pause between two looks.
const (
	limit   = time.Minute
	between = 50 * time.Millisecond
)

// deployment is a stack with an example that runs beside it.
type deployment struct {
	stack  *stack.Stack
	client *http.Client
	// bin has the programs, and secret verifies callbacks.
	bin, secret string
}

func deploy(t *testing.T) *deployment {
	t.Helper()
	bin, err := localtest.Build(
		"functions/accept/main", "functions/provision/main", "functions/notify/main", "functions/janitor/main", "docs/how-to/examples/go")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(bin) })
	const free = "127.0.0.1:0"
	const deploymentSecret = "whsec_viLNN//tPrXM4AmQow00xsTZ4wXk4QOax5g9ZFNP3jc="
	secret, err := callback.SecretOf(deploymentSecret, "anonymous")
	if err != nil {
		t.Fatal(err)
	}
	d := &deployment{bin: bin, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, secret: secret}
	d.stack, err = stack.New(stack.Config{
		Addresses: stack.Addresses{HTTP: free, MNS: free, ESA: free, OTS: free, FC: free}, Dir: t.TempDir(), NoSync: true, ESALatency: time.Millisecond,
		Accept: filepath.Join(bin, "accept"), Provision: filepath.Join(bin, "provision"), Notify: filepath.Join(bin, "notify"),
		Janitor: filepath.Join(bin, "janitor"), CallbackSecrets: deploymentSecret,
	})
	if err != nil {
		t.Fatal(err)
	}
	stop, err := d.stack.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// run starts a program of the page that listens at an address, until the test ends.
func (d *deployment) run(t *testing.T, program []string, public string) (url string) {
	t.Helper()
	address := localtest.FreeAddress(t)
	if public == "" {
		public = "http://" + address
	}
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Env = append(os.Environ(), "ROUTINELY_URL="+d.stack.HTTPURL(), "CALLBACK_SECRETS="+d.secret, "LISTEN="+address, "PUBLIC_URL="+public, "POLL_MS=200")
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	until(t, "the program answers", func() bool {
		res, err := d.client.Get("http://" + address + "/customers/none")
		if err == nil {
			_ = res.Body.Close()
		}
		return err == nil
	})
	return "http://" + address
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(between)
	defer tick.Stop()
	for late := time.After(limit); !done(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited %s without effect: %s", limit, what)
		}
	}
}

// call makes a call and decodes what it answers into answer.
func (d *deployment) call(t *testing.T, method, url, body string, answer any, headers ...string) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := d.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer != nil {
		if err := json.Unmarshal(text, answer); err != nil {
			t.Fatalf("%s %s: %d %s", method, url, res.StatusCode, text)
		}
	}
	return res.StatusCode
}

// customer is what a program of the page shows.
type customer struct{ ID, Host, Job, State string }

// ends waits until a program shows an end of a customer's job.
func (d *deployment) ends(t *testing.T, url, id, state string) (c customer) {
	t.Helper()
	until(t, id+" is "+state, func() bool {
		d.call(t, http.MethodGet, url+"/customers/"+id, "", &c)
		return c.State == state
	})
	return c
}

func TestBackends(t *testing.T) {
	d := deploy(t)
	programs := map[string][]string{"go": {filepath.Join(d.bin, "go")}}
	// An old Node.js has no fetch.
	if node, err := exec.LookPath("node"); err == nil && exec.Command(node, "-e", "process.exit(typeof fetch === 'function' ? 0 : 1)").Run() == nil {
		programs["node"] = []string{node, filepath.Join("node", "backend.mjs")}
	}
	for language, program := range programs {
		create := func(t *testing.T, url, id, zone string) (c customer, status int) {
			t.Helper()
			id = language + "-" + id
			status = d.call(t, http.MethodPost, url+"/customers", fmt.Sprintf(`{"id":%q,"host":"%s.%s"}`, id, id, zone), &c)
			return c, status
		}
		t.Run(language+" learns the end of a job by its callback", func(t *testing.T) {
			url := d.run(t, program, "")
			asked, status := create(t, url, "told", stack.SiteName)
			if status != http.StatusAccepted || asked.Job == "" {
				t.Fatalf("%d %+v", status, asked)
			}
			d.ends(t, url, asked.ID, "succeeded")
		})
		t.Run(language+" asks twice and gets one job", func(t *testing.T) {
			public := "http://" + localtest.FreeAddress(t)
			first, _ := create(t, d.run(t, program, public), "twice", stack.SiteName)
			again := d.run(t, program, public) // it has forgotten its customers
			second, _ := create(t, again, "twice", stack.SiteName)
			if first.Job == "" || first.Job != second.Job {
				t.Errorf("the jobs are %q and %q", first.Job, second.Job)
			}
		})
		t.Run(language+" asks for the end if no callback reaches it", func(t *testing.T) {
			url := d.run(t, program, "http://"+localtest.FreeAddress(t))
			asked, _ := create(t, url, "polled", stack.SiteName)
			d.ends(t, url, asked.ID, "succeeded")
		})
		t.Run(language+" shows a dead letter, and its end after a redrive", func(t *testing.T) {
			url := d.run(t, program, "")
			asked, _ := create(t, url, "dead", "example.org")
			dead := d.ends(t, url, asked.ID, "dead-lettered")
			if status := d.call(t, http.MethodPost, d.stack.HTTPURL()+"/v1/dead-letters/"+dead.Job+":redrive",
				fmt.Sprintf(`{"request":{"recordName":"%s.%s"}}`, asked.ID, stack.SiteName), nil, "Content-Type", "application/json"); status != http.StatusOK {
				t.Fatalf("redrive: %d", status)
			}
			d.ends(t, url, asked.ID, "succeeded")
		})
		t.Run(language+" passes on why a request is refused", func(t *testing.T) {
			url := d.run(t, program, "")
			res, err := d.client.Post(url+"/customers", "application/json", strings.NewReader(`{"id":"Upper","host":"a.example.com"}`))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(text), "is not a routine name") {
				t.Errorf("%d %s", res.StatusCode, text)
			}
			d.ends(t, url, "Upper", "refused")
		})
		t.Run(language+" takes no callback that is forged or old", func(t *testing.T) {
			url := d.run(t, program, "")
			asked, _ := create(t, url, "forged", stack.SiteName)
			d.ends(t, url, asked.ID, "succeeded")
			body := fmt.Sprintf(`{"type":"routinely.job.dead-lettered","data":{"id":"x","state":"dead-lettered","updatedAt":"2100-01-01T00:00:00Z","request":{"labels":{"customer":%q}}}}`, asked.ID)
			for name, test := range map[string]struct {
				secret string
				at     time.Time
				want   int
			}{
				"another secret": {"whsec_hoXyWgKeRBVSzLfJPOBB7/lmyOWOx1KLaFsyyrgJfvs=", time.Now(), http.StatusUnauthorized},
				"an old time":    {d.secret, time.Now().Add(-time.Hour), http.StatusUnauthorized},
				"all is right":   {d.secret, time.Now(), http.StatusNoContent},
			} {
				signer, err := standardwebhooks.NewWebhook(test.secret)
				if err != nil {
					t.Fatal(err)
				}
				signature, err := signer.Sign("msg_1", test.at, []byte(body))
				if err != nil {
					t.Fatal(err)
				}
				got := d.call(t, http.MethodPost, url+"/hook", body, nil,
					"webhook-id", "msg_1", "webhook-timestamp", fmt.Sprint(test.at.Unix()), "webhook-signature", signature)
				if got != test.want {
					t.Errorf("%s: %d, want %d", name, got, test.want)
				}
			}
		})
	}
	t.Run("a message on the queue is one job, also if it is sent twice", func(t *testing.T) {
		for range 2 {
			cmd := exec.Command(programs["go"][0], "message", "queued", "queued."+stack.SiteName)
			// The SDK wants an address of five parts.
			cmd.Env = append(os.Environ(), "MNS_ENDPOINT="+d.stack.MNSURL()+"/.", "MNS_QUEUE="+stack.Queue,
				"ALIBABA_CLOUD_ACCESS_KEY_ID="+stack.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+stack.AccessKeySecret)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		var list struct {
			Jobs []struct{ State, Caller string }
		}
		until(t, "the job succeeds", func() bool {
			list.Jobs = nil
			d.call(t, http.MethodGet, d.stack.HTTPURL()+"/v1/jobs?name=queued", "", &list)
			return len(list.Jobs) > 0 && list.Jobs[0].State == "succeeded"
		})
		if len(list.Jobs) != 1 || list.Jobs[0].Caller != "queue" {
			t.Errorf("%+v", list.Jobs)
		}
	})
}
