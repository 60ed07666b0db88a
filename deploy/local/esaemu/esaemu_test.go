package esaemu_test

import (
	"errors"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
)

// siteID is longer than 32 bits, as the cloud's ids are.
const siteID = 54362329990032

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		serveUntilKilled()
		return
	}
	goleak.VerifyTestMain(m)
}

// bench is a server on a socket, a clock that stands still (unless the test brings one) and an official client.
type bench struct {
	*esaemu.Server
	clock *clock.Manual
	http  *httptest.Server
	sdk   *esa.Client
}

func config(dir string) esaemu.Config {
	return esaemu.Config{
		AccountID: "123456", AccessKeyID: "key", AccessKeySecret: "secret", Dir: dir, NoSync: true,
		Sites: map[int64]string{siteID: "example.com"},
	}
}

func open(t *testing.T, c esaemu.Config) *bench {
	t.Helper()
	b := &bench{}
	if c.Clock == nil {
		// The SDK signs the machine's time.
		b.clock = clock.NewManual(time.Now())
		c.Clock = b.clock
	}
	b.Server = must[*esaemu.Server](t)(esaemu.New(c))
	b.http = httptest.NewServer(b.Server)
	b.sdk = sdk(t, b.http.Listener.Addr().String(), "")
	t.Cleanup(b.shut)
	return b
}

// shut is safe to call again: a test that restarts a server shuts it early.
func (b *bench) shut() {
	b.Stop()
	b.http.Close()
	_ = b.Close()
}

func start(t *testing.T) *bench { return open(t, config(t.TempDir())) }

// sdk is an official client with the right key; a CA makes it use HTTPS.
func sdk(t *testing.T, address, ca string) *esa.Client {
	t.Helper()
	c := &openapi.Config{Endpoint: &address, Protocol: tea.String("HTTP"), AccessKeyId: tea.String("key"), AccessKeySecret: tea.String("secret")}
	if ca != "" {
		c.Protocol, c.Ca = tea.String("HTTPS"), &ca
	}
	return must[*esa.Client](t)(esa.NewClient(c))
}

// call makes any call with the official client and returns its error. Names and values of parameters follow the action.
func (b *bench) call(action string, parameters ...string) error {
	query := map[string]*string{}
	for pair := range slices.Chunk(parameters, 2) {
		query[pair[0]] = &pair[1]
	}
	_, err := b.sdk.CallApi(&openapi.Params{
		Action: &action, Version: tea.String("2024-09-10"), Protocol: tea.String("HTTP"), Pathname: tea.String("/"), Method: tea.String("POST"),
		AuthType: tea.String("AK"), Style: tea.String("RPC"), ReqBodyType: tea.String("formData"), BodyType: tea.String("json"),
	}, &openapi.OpenApiRequest{Query: query}, &dara.RuntimeOptions{})
	return err
}

func (b *bench) createRoutine(name string) error { return b.call("CreateRoutine", "Name", name) }

func (b *bench) createRecord(routine, name string) (int64, error) {
	resp, err := b.sdk.CreateRoutineRelatedRecord(&esa.CreateRoutineRelatedRecordRequest{
		Name: &routine, SiteId: tea.Int64(siteID), RecordName: &name,
	})
	if err != nil {
		return 0, err
	}
	return tea.Int64Value(resp.Body.RecordId), nil
}

// must ends the test on an error and hands the value through.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// do ends the test on an error.
func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want compares an error's ESA code; "" is success.
func want(t *testing.T, what string, err error, code string) {
	t.Helper()
	if got := codeOf(err); got != code {
		t.Errorf("%s: code %q, want %q (%v)", what, got, code, err)
	}
}

func wantStatus(t *testing.T, what string, err error, code string, status int) {
	t.Helper()
	want(t, what, err, code)
	var refused *tea.SDKError
	if errors.As(err, &refused) && tea.IntValue(refused.StatusCode) != status {
		t.Errorf("%s: status %d, want %d", what, tea.IntValue(refused.StatusCode), status)
	}
}

func codeOf(err error) string {
	var refused *tea.SDKError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refused):
		return tea.StringValue(refused.Code)
	}
	return "not an SDK error"
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
