package accept

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/auth"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/retry"
)

const (
	// benchCallers is how many requests are under way at a time.
	benchCallers = 16
	// benchRequests is how many requests make one round.
	benchRequests = 400
	// benchRounds is how many rounds each side has, in turns: short ones, since a machine's speed drifts.
	benchRounds = 41
	// benchPairs is how many pairs of rounds are enough where both sides do the same.
	benchPairs = 5
)

// BenchmarkAccept measures how many requests the function takes in a second, from the event to the answer, with a local MNS and a local
// Tablestore on sockets that store everything on disk. The floor is what no such function can do without: the official SDKs reading the row of a
// routine, putting a row of the same size on condition that there is none, and sending a message of the same bytes, one after the other, to the
// same servers. MNS's is freed of the counter that would make it pause.
func BenchmarkAccept(b *testing.B) {
	_, url := localtest.MNS(b, nil, sim.JobQueue, sim.DeadLetterQueue, "bare")
	ots, otsURL := localtest.OTS(b, nil)
	for _, name := range []string{"jobs", "state", "bare"} {
		if err := ots.CreateTable(name, "p", "s"); err != nil {
			b.Fatal(err)
		}
	}
	accept, body := newAcceptSide(b, url, otsURL)
	bare := newBareSide(b, url, otsURL, body)
	for b.Loop() {
		accept.round(b)
		bare.round(b)
		var ratios, accepted, sent []float64
		for range benchRounds {
			a, s := accept.round(b), bare.round(b)
			ratios, accepted, sent = append(ratios, a/s), append(accepted, a), append(sent, s)
		}
		b.ReportMetric(middle(accepted), "requests/s")
		b.ReportMetric(middle(sent), "bare/s")
		b.ReportMetric(0, "ns/op")
		report(b, "ratio", middle(ratios), ">=", 0.75)
	}
}

// BenchmarkCallers measures what it adds to the time of a request to find out who sends it and whether they may: by the signature
// of a webhook, for which the secrets of ten callers are tried, and by a bearer token. It is a small part of a request, less than two
// rounds of the same requests differ by, so it is measured alone, by as many callers at a time, beside a function that lets everybody
// in.
func BenchmarkCallers(b *testing.B) {
	_, url := localtest.MNS(b, nil, sim.JobQueue, sim.DeadLetterQueue)
	ots, otsURL := localtest.OTS(b, nil)
	for _, name := range []string{"jobs", "state"} {
		if err := ots.CreateTable(name, "p", "s"); err != nil {
			b.Fatal(err)
		}
	}
	document, headers := benchCallersDocument()
	open, _ := newAcceptSide(b, url, otsURL)
	for name, header := range headers {
		b.Run(name, func(b *testing.B) {
			if err := newGuardedSide(b, url, otsURL, document, header...)()(); err != nil {
				b.Fatal(err)
			}
			proof := newProofSide(b, document, header)
			for b.Loop() {
				proof.round(b)
				var ratios []float64
				for range benchRounds {
					ratios = append(ratios, 1+open.round(b)/proof.round(b))
				}
				b.ReportMetric(0, "ns/op")
				report(b, "ratio", middle(ratios), "<=", 1.05)
			}
		})
	}
}

// BenchmarkTraces measures what a header traceparent costs: the rate of requests that have one, to that of requests that have none, in pairs of
// rounds.
func BenchmarkTraces(b *testing.B) {
	_, url := localtest.MNS(b, nil, sim.JobQueue, sim.DeadLetterQueue)
	ots, otsURL := localtest.OTS(b, nil)
	for _, name := range []string{"jobs", "state"} {
		if err := ots.CreateTable(name, "p", "s"); err != nil {
			b.Fatal(err)
		}
	}
	without := newGuardedSide(b, url, otsURL, "none")
	with := newGuardedSide(b, url, otsURL, "none", "traceparent", traceparent)
	for b.Loop() {
		without.round(b)
		with.round(b)
		var ratios []float64
		for range benchPairs {
			ratios = append(ratios, with.round(b)/without.round(b))
		}
		b.ReportMetric(0, "ns/op")
		report(b, "ratio", middle(ratios), ">=", 0.95)
	}
}

// newProofSide finds out who sends a request, and nothing else.
func newProofSide(b *testing.B, callers string, fields []string) side {
	b.Helper()
	guard, err := auth.Parse(callers)
	if err != nil {
		b.Fatal(err)
	}
	header, body := http.Header{}, []byte(good)
	for i := 0; i < len(fields); i += 2 {
		header.Set(fields[i], fields[i+1])
	}
	proof := func() error {
		caller, err := guard.Authenticate(header, body, time.Now())
		if err == nil {
			err = caller.May(auth.Submit)
		}
		if err == nil {
			err = guard.Admit(caller, 1, time.Now()).Err()
		}
		return err
	}
	return func() func() error { return proof }
}

// benchCallersDocument is a configuration of ten callers, with the header fields that show one of them.
func benchCallersDocument() (document string, headers map[string][]string) {
	var callers []string
	headers = map[string][]string{}
	for n := range 10 {
		digest := sha256.Sum256([]byte{byte(n)}) // any bytes that look random
		secret := digest[:]
		token, hash := auth.NewToken()
		callers = append(callers, fmt.Sprintf(`{"name":"caller-%d","scopes":["submit"],"tokens":[%q],"webhookSecrets":["whsec_%s"]}`,
			n, hash, base64.StdEncoding.EncodeToString(secret)))
		now := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("msg_1." + now + "." + good))
		headers["webhook"] = []string{"webhook-id", "msg_1", "webhook-timestamp", now, "webhook-signature", "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
		headers["token"] = []string{"Authorization", "Bearer " + token}
	}
	return `{"callers":[` + strings.Join(callers, ",") + `]}`, headers
}

// report prints a figure beside its bound, at most ("<=") or at least (">="), and says so if it is missed.
func report(b *testing.B, name string, value float64, relation string, bound float64) {
	b.Helper()
	missed := ""
	if relation == "<=" && value > bound || relation == ">=" && value < bound {
		missed = " MISSED"
	}
	b.ReportMetric(value, name)
	b.Logf("\n%s  %.4g  %s %.4g%s", name, value, relation, bound, missed)
}

func middle(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// side makes one caller's function, which does one request.
type side func() func() error

// round does one round of requests and returns how many were done in a second.
func (s side) round(b *testing.B) float64 {
	b.Helper()
	turns := make(chan struct{}, benchRequests)
	for range benchRequests {
		turns <- struct{}{}
	}
	close(turns)
	failures := make(chan error, benchCallers)
	var running sync.WaitGroup
	began := time.Now()
	for range benchCallers {
		request := s()
		running.Go(func() {
			for range turns {
				if err := request(); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	running.Wait()
	took := time.Since(began)
	select {
	case err := <-failures:
		b.Fatal(err)
	default:
	}
	return benchRequests / took.Seconds()
}

// newAcceptSide calls a function that lets everybody in. It also returns the message that the function makes of the request.
func newAcceptSide(b *testing.B, url, otsURL string) (side, string) {
	b.Helper()
	accept := newGuardedSide(b, url, otsURL, "none")
	if err := accept()(); err != nil {
		b.Fatal(err)
	}
	messages, err := localtest.MNSClient(b, url).Receive(b.Context(), sim.JobQueue, 1, 0)
	if err != nil || len(messages) != 1 {
		b.Fatalf("%d messages, %v", len(messages), err)
	}
	return accept, messages[0].Body
}

// newGuardedSide calls the function as the platform does.
func newGuardedSide(b *testing.B, url, otsURL, callers string, headers ...string) side {
	b.Helper()
	log, err := logging.New(io.Discard, "info", "accept")
	if err != nil {
		b.Fatal(err)
	}
	guard, err := auth.Parse(callers)
	if err != nil {
		b.Fatal(err)
	}
	service, err := New(Config{
		Guard: guard, Queue: sim.Queue(b, queue.Config{Endpoint: url}), Ledger: sim.Ledger(b, ledger.Config{Endpoint: otsURL}),
		Now: time.Now, Sleep: retry.Sleep, NewID: uuid.NewV7, Bits: mathrand.Uint64,
	})
	if err != nil {
		b.Fatal(err)
	}
	text, err := json.Marshal(event("POST", "/v1/routines", good, headers...))
	if err != nil {
		b.Fatal(err)
	}
	ctx := logging.Into(b.Context(), log)
	request := func() error {
		if res, err := service.Handle(ctx, text); err != nil || res.StatusCode != 202 {
			return fmt.Errorf("accept answered %+v, %w", res, err)
		}
		return nil
	}
	return func() func() error { return request }
}

// newBareSide reads, puts and sends with the SDKs alone. The clients may be shared; a queue object is one caller's.
func newBareSide(b *testing.B, url, otsURL, body string) side {
	b.Helper()
	client := mns.NewAliMNSClientWithConfig(mns.AliMNSClientConfig{
		EndPoint:    "http://" + localtest.AccountID + ".mns.cn-local.aliyuncs.com",
		AccessKeyId: localtest.AccessKeyID, AccessKeySecret: localtest.AccessKeySecret, TimeoutSecond: 35,
	})
	client.SetTransport(&loopback{address: strings.TrimPrefix(url, "http://")})
	rows := tablestore.NewClient(otsURL, localtest.Instance, localtest.AccessKeyID, localtest.AccessKeySecret)
	return func() func() error {
		q := mns.NewMNSQueue("bare", client, 1<<30)
		return func() error {
			claim, key := new(tablestore.PrimaryKey), new(tablestore.PrimaryKey)
			claim.AddPrimaryKeyColumn("p", "pr-1")
			claim.AddPrimaryKeyColumn("s", "claim")
			key.AddPrimaryKeyColumn("p", rand.Text())
			key.AddPrimaryKeyColumn("s", "job")
			if _, err := rows.GetRow(&tablestore.GetRowRequest{SingleRowQueryCriteria: &tablestore.SingleRowQueryCriteria{
				TableName: "bare", PrimaryKey: claim, MaxVersion: 1,
			}}); err != nil {
				return err
			}
			change := &tablestore.PutRowChange{TableName: "bare", PrimaryKey: key}
			change.AddColumn("job", body)
			change.SetCondition(tablestore.RowExistenceExpectation_EXPECT_NOT_EXIST)
			if _, err := rows.PutRow(&tablestore.PutRowRequest{PutRowChange: change}); err != nil {
				return err
			}
			_, err := q.SendMessage(mns.MessageSendRequest{MessageBody: body, Priority: 8})
			return err
		}
	}
}

// loopback carries the SDK's requests to the local server: the SDK takes no endpoint but names of the cloud's form.
type loopback struct {
	address string
	once    sync.Once
}

func (l *loopback) RoundTrip(hc *fasthttp.HostClient, request *fasthttp.Request, response *fasthttp.Response) (bool, error) {
	// One client talks to one host, so that there is one host client.
	l.once.Do(func() { hc.Dial = func(string) (net.Conn, error) { return net.Dial("tcp", l.address) } })
	return fasthttp.DefaultTransport.RoundTrip(hc, request, response)
}
